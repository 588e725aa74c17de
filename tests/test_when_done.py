"""A command that runs at the end of a job, whichever way it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metann.workflow.when_done import followed_by

COMMAND = 'sleep {rest}; echo "$METANN_STATUS:$METANN_REPORT" >> said'


def started(folder: Path, body: str, rest: float = 0, before: str = "") -> subprocess.Popen[str]:
    """A process that writes `ready` and then does `body`, followed by a command that writes `said`."""
    program = f"""
import pathlib, signal, sys, time
from metann.workflow.when_done import followed_by
{before}
with followed_by({COMMAND.format(rest=rest)!r}, pathlib.Path("report.md")):
    pathlib.Path("ready").touch()
    {body}
print("after")
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(folder / "ready")
    return process


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_it_runs_after_a_signal_and_names_no_older_report(tmp_path: Path, number: int) -> None:
    (tmp_path / "report.md").write_text("of an older run")
    process = started(tmp_path, "time.sleep(60)")
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=60)
    assert (tmp_path / "said").read_text() == "failed:\n"
    assert process.returncode not in (0, None)
    if number != signal.SIGINT:
        assert process.returncode == 128 + number
    assert "after" not in out


def test_the_command_is_not_cut_off_by_a_second_signal(tmp_path: Path) -> None:
    process = started(tmp_path, "time.sleep(60)", rest=1, before="pathlib.Path('begun')")
    for _ in range(3):
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.2)
    process.communicate(timeout=60)
    assert (tmp_path / "said").read_text() == "failed:\n"
    assert process.returncode == 128 + signal.SIGTERM


def test_a_process_that_was_told_to_outlive_its_terminal_does(tmp_path: Path) -> None:
    """As under nohup."""
    process = started(tmp_path, "time.sleep(1)", before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    os.kill(process.pid, signal.SIGHUP)
    out, _ = process.communicate(timeout=60)
    assert (tmp_path / "said").read_text() == "done:report.md\n"
    assert (process.returncode, out) == (0, "after\n")


def test_signals_are_as_before_afterwards(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with followed_by(f"echo $METANN_STATUS > {tmp_path}/said", tmp_path / "report.md"):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] != before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
    assert (tmp_path / "said").read_text() == "done\n"
    with followed_by(None, tmp_path / "report.md"):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_command_that_fails_is_said_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), followed_by("exit 3", tmp_path / "report.md"):
        raise KeyError
    assert "the command of --when-done ended with 3: exit 3" in capsys.readouterr().out
