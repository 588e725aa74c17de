"""A command that runs at the end of a long job, whichever way it ends."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # of a scheduler and of a closed terminal; SIGINT is an exception already


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _wait(_number: int, _frame: FrameType | None) -> None:
    """The command is not cut off. A function, because a signal that is ignored would be ignored by the command too."""


@contextlib.contextmanager
def followed_by(command: str | None, report: Path) -> Iterator[None]:
    """Run a shell command after the block: also after an error, an interrupt, SIGTERM and SIGHUP, which end the process after it.

    Its environment has METANN_STATUS, 'done' or 'failed', and METANN_REPORT, the report; empty where the block failed, because a report
    that lies there is then of an older run. What the command returns changes nothing; a failure of it is printed.

    Args:
        command: None for none; then signals do what they always do.
        report: what the block writes.
    """
    if not command:
        yield
        return
    previous = {}
    if threading.current_thread() is threading.main_thread():  # elsewhere Python has no signals
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, and batch systems that mean it
                previous[number] = signal.signal(number, _leave)
    status = "failed"
    try:
        yield
        status = "done"
    finally:
        for number in previous:
            signal.signal(number, _wait)
        environment = os.environ | {"METANN_STATUS": status, "METANN_REPORT": str(report) if status == "done" else ""}
        result = subprocess.run(command, shell=True, env=environment, check=False)
        if result.returncode:
            print(f"the command of --when-done ended with {result.returncode}: {command}")
        for number, handler in previous.items():
            signal.signal(number, handler)
