"""One GPU to a job: pretended devices, real processes, real locks."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT

from metann.compute import gpus as devices
from metann.config.run import TrainingSection
from metann.errors import MetannError
from metann.workflow import rules as workflow

# Takes a device, says which and when, holds it until it is told to stop (or for as long as it is told to).
HOLDER = """
import sys, time
from metann.compute.gpus import take_gpu
device, start = take_gpu(), time.monotonic()
assert "torch" not in sys.modules
print("took", device, start, flush=True)
time.sleep(float(sys.argv[1]))
print("left", device, time.monotonic(), flush=True)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that takes a device and holds it for some seconds."""
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float, gpus: str = "0,1", **environment: str) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("CUDA", "SLURM"))}
        environment = kept | {"METANN_GPUS": gpus, "METANN_LOCKS": str(tmp_path / "locks")} | environment
        command = [sys.executable, "-c", HOLDER, str(seconds)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def words(process: subprocess.Popen[str], first: str) -> list[str]:
    """The next line of a process that begins with `first`."""
    assert process.stdout
    for line in process.stdout:
        if line.split()[:1] == [first]:
            return line.split()
    raise AssertionError(f"no line {first!r}")


def test_never_two_jobs_on_a_device_and_all_are_served(holder: Callable) -> None:
    jobs = [holder(0.25) for _ in range(6)]
    spans: dict[str, list[tuple[float, float]]] = {"0": [], "1": []}
    for job in jobs:
        _, device, start = words(job, "took")
        _, _, end = words(job, "left")
        spans[device].append((float(start), float(end)))
        assert job.wait() == 0
    assert sum(map(len, spans.values())) == 6
    assert all(spans.values()), "both devices are used"
    for taken in spans.values():
        taken.sort()
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(taken))


def test_a_killed_job_leaves_its_device(tmp_path: Path, holder: Callable) -> None:
    first = holder(60, gpus="0")
    words(first, "took")
    second = holder(0, gpus="0")
    text = second.stdout.readline()
    assert text.startswith("waiting for a GPU: 0 are taken")
    assert str(tmp_path / "locks") in text
    assert second.poll() is None
    assert (tmp_path / "locks/gpu_0.lock").read_text() == f"{first.pid}\n"
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert words(second, "took")[1] == "0"
    assert second.wait() == 0


def test_a_lock_file_left_behind_locks_nothing(tmp_path: Path, holder: Callable) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/gpu_0.lock").write_text("12345\n")
    assert words(holder(0, gpus="0"), "took")[1] == "0"


@pytest.mark.parametrize("chosen", ["5", "0,1", ""], ids=["one", "two", "none"])
def test_a_choice_from_outside_is_kept(tmp_path: Path, holder: Callable, chosen: str) -> None:
    """Slurm, or the user."""
    assert words(holder(0, CUDA_VISIBLE_DEVICES=chosen), "took")[1] == "None"
    assert not (tmp_path / "locks").exists()


def test_the_device_is_told_to_cuda_and_to_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(devices, "_held", [])
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("METANN_GPUS", "3, 7")
    monkeypatch.setenv("METANN_LOCKS", str(tmp_path))
    assert devices.take_gpu() == "3"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert capsys.readouterr().out == "GPU 3 (of 3, 7)\n"
    assert devices.take_gpu() is None, "a process takes one"
    for handle in devices._held:
        os.close(handle)


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("METANN_GPUS", "0")
    monkeypatch.setenv("METANN_LOCKS", str(tmp_path / "file"))
    with pytest.raises(MetannError, match=r"cannot lock a GPU in .*; set METANN_LOCKS"):
        devices.take_gpu()


@pytest.mark.parametrize(("given", "found"), [("", []), ("0", ["0"]), (" 2 ,3,", ["2", "3"])])
def test_devices_named_in_the_environment(given: str, found: list[str]) -> None:
    assert devices.local_gpus({"METANN_GPUS": given}) == found


def test_training_on_the_cpu_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metann.compute.process import start_torch

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("METANN_GPUS", "0")
    monkeypatch.setenv("METANN_LOCKS", str(tmp_path / "locks"))
    assert start_torch("cpu", 1).type == "cpu"
    assert not (tmp_path / "locks").exists()


def settings(resources: tuple[str, ...] = (), defaults: tuple[str, ...] | None = None) -> SimpleNamespace:
    return SimpleNamespace(resources=dict.fromkeys(resources, 1), default_resources=defaults and dict.fromkeys(defaults, 1))


@pytest.mark.parametrize(
    ("environment", "given", "there"),
    [
        ({}, settings(), False),
        ({"METANN_GPUS": "0"}, settings(), True),
        ({}, settings(resources=("gpu",)), True),
        ({}, settings(defaults=("runtime", "gpu_model")), True),
        ({}, settings(defaults=("runtime",)), False),
        # Inside a Slurm job only the allocation counts, whatever the machine has.
        ({"SLURM_JOB_ID": "7", "METANN_GPUS": "0"}, settings(), False),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "1"}, settings(), True),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_GPUS": "0"}, settings(), True),
    ],
)
def test_where_auto_means_a_gpu(monkeypatch: pytest.MonkeyPatch, environment: dict, given: SimpleNamespace, there: bool) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"METANN_GPUS": ""} | environment).items():
        monkeypatch.setenv(name, value)
    assert workflow.gpus_are_there(given) is there
    assert workflow.gpus(TrainingSection(device="auto"), there) == int(there)
    assert workflow.gpus(TrainingSection(device="cuda"), there) == 1
    assert workflow.gpus(TrainingSection(device="cpu"), there) == 0


@pytest.mark.slow
def test_a_training_job_says_which_device_it_has(tmp_path: Path) -> None:
    from digits_networks import prepared

    words = ["train-network", "--name=s", "--network.architecture=small_cnn", "--network.settings.width=4", "--training.epochs=1"]
    words += ["--training.device=auto", f"--data={prepared(tmp_path / 'data')}", "--seed=0", f"--output={tmp_path / 'out'}"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CUDA", "SLURM"))}
    environment = kept | {"METANN_GPUS": "0", "METANN_LOCKS": str(tmp_path / "locks")}
    done = subprocess.run([sys.executable, "-m", "metann", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "GPU 0 (of 0)"
    assert (tmp_path / "locks/gpu_0.lock").exists()
