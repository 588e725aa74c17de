"""The repository's SLURM profile on a real SLURM: two nodes, GPUs, jobs that fail in every way, and a head process that is killed."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import ROOT
from digits_run import RUN, checkout, command, environment, fingerprint, left_over, run, undisturbed

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

# The profile as it is; only the polling is faster than on a cluster with many users.
PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", 1)
# SLURM remembers jobs for minutes: those of an earlier test session are not ours.
EARLIER: set[str] = set()


def slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    if not shutil.which("sbatch") or not shutil.which("sinfo"):
        pytest.skip("NO SLURM: sbatch is not installed here; nothing of the cluster profile is tested")
    nodes = subprocess.run(["sinfo", "-h", "-N", "-t", "idle,mix,alloc", "-o", "%N"], capture_output=True, text=True, check=False)
    if len(set(nodes.stdout.split())) < 2:
        pytest.skip(f"NO SLURM: fewer than two nodes are up ({nodes.stderr.strip() or nodes.stdout!r}); the cluster profile is not tested")
    EARLIER.update(slurm("squeue", "-h", "-t", "all", "-o", "%i").split())


def jobs(folder: Path, states: str = "all") -> list[dict[str, str]]:
    """SLURM's jobs that were submitted from a folder: id, name, rule, state and node."""
    lines = slurm("squeue", "-h", "-t", states, "-o", "%i|%j|%k|%T|%N|%Z").splitlines()
    found = [dict(zip(("id", "name", "rule", "state", "node", "folder"), line.split("|"), strict=True)) for line in lines]
    return [job for job in found if job["folder"] == str(folder) and job["id"] not in EARLIER]


def wait_for(what: object, seconds: float, text: str) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, f"{text}: not within {seconds} s"
        time.sleep(0.3)


@pytest.fixture(scope="module", autouse=True)
def faults_running(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen]]:  # noqa: ARG001
    """The workflow of faults, started at once in the background: most of its time is waiting for SLURM's clock."""
    folder = tmp_path_factory.mktemp("faults") / "faults"
    folder.mkdir()
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    with (folder / "output").open("w") as output:
        words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "tests/slurm_faults.smk"), *map(str, PROFILE)]
        head = subprocess.Popen(words, cwd=folder, stdout=output, stderr=output, stdin=subprocess.DEVNULL)

    def attempts(case: str) -> list[str]:
        path = folder / f"{case}.attempts"
        return path.read_text().split() if path.exists() else []

    wait_for(lambda: attempts("cancelled") and attempts("requeued"), 60, "first jobs on the cluster")
    slurm("scancel", attempts("cancelled")[0])
    slurm("scontrol", "requeue", attempts("requeued")[0])
    yield folder, head
    if head.poll() is None:
        head.send_signal(signal.SIGINT)
        head.wait(60)
    for job in jobs(folder, "pending,running"):
        slurm("scancel", job["id"])
    for process in left_over(folder):  # without cgroups SLURM loses sight of a process whose parent has ended
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def finished(faults_running: object, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """The digits run on the cluster. Not to be changed."""
    folder = checkout(tmp_path_factory.mktemp("slurm") / "metann project", undisturbed(tmp_path_factory.getbasetemp()))
    run(folder, *PROFILE)
    return folder


@pytest.fixture(scope="module")
def faults(faults_running: tuple[Path, subprocess.Popen], finished: Path) -> tuple[Path, str]:  # noqa: ARG001 - runs meanwhile
    """Folder and output of the workflow of faults, ended."""
    folder, head = faults_running
    assert head.wait(400) == 0, (folder / "output").read_text()
    return folder, (folder / "output").read_text()


def logs_of(folder: Path, case: str) -> str:
    """SLURM's own logs of the failed attempts of a rule; those of successful jobs are deleted."""
    return "\n".join(path.read_text() for path in sorted((folder / f"logs/slurm/rule_{case}").glob("*.log")))


@pytest.mark.parametrize(
    ("case", "state", "cause"),
    [
        ("flaky", "FAILED", "returned non-zero exit status 1"),
        ("cancelled", "CANCELLED", "CANCELLED AT"),
        ("slow", "TIMEOUT", "DUE TO TIME LIMIT"),
        # OUT_OF_MEMORY where SLURM uses cgroups; the local cluster polls.
        ("hungry", "(FAILED|OUT_OF_MEMORY)", "([Ee]xceeded (job )?memory limit|oom)"),
    ],
)
def test_a_failed_job_is_reported_with_its_cause_and_tried_again(faults: tuple[Path, str], case: str, state: str, cause: str) -> None:
    folder, output = faults
    assert re.search(rf"Error in rule {case}:\n    message: SLURM-job '\d+' failed, SLURM status is: '{state}'", output)
    assert re.search(cause, logs_of(folder, case))
    assert re.search(cause, output), "the cause stands in the output of the head process too"
    assert len((folder / f"{case}.attempts").read_text().split()) == 2
    assert (folder / f"{case}.txt").exists()


def test_a_second_attempt_asks_for_more(faults: tuple[Path, str]) -> None:
    folder, _ = faults
    assert (folder / "slow.txt").read_text() == "2\n"
    assert (folder / "hungry.txt").read_text() == "1400\n"


def test_a_requeued_job_is_waited_for(faults: tuple[Path, str]) -> None:
    """As after preemption: SLURM starts the same job again by itself."""
    folder, output = faults
    first, second = (folder / "requeued.attempts").read_text().split()
    assert first == second
    assert "Error in rule requeued" not in output


def test_a_gpu_request_lands_on_a_gpu(faults: tuple[Path, str]) -> None:
    folder, _ = faults
    assert re.fullmatch(r"\d+\n", (folder / "on_gpu.txt").read_text())
    assert (folder / "flaky.txt").read_text().strip() in ("", "NoDevFiles"), "no GPU for a job that did not ask for one"


def test_two_nodes_make_the_same_bytes_as_one_machine(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    submitted = jobs(finished)
    assert {job["node"] for job in submitted} == {"n1", "n2"}
    rules = [re.sub(r"_wildcards.*", "", job["rule"]) for job in submitted]
    assert sorted(set(rules)) == ["rule_export_probabilities", "rule_train_expert_0", "rule_train_expert_5", "rule_train_network"]
    assert len(rules) == 2 + 2 + 4, "small rules are not submitted"
    assert all(job["name"].startswith("metann_") for job in submitted)
    assert fingerprint(finished) == fingerprint(undisturbed(tmp_path_factory.getbasetemp()))
    assert re.search(r"SLURM job \d+ on n[12]", (finished / RUN / "networks/switch/seed_0/train_network.log").read_text())
    assert "Nothing to be done" in run(finished, "--dry-run").stdout


def test_after_a_killed_head_nothing_finished_is_trained_again(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(finished, folder)  # with Snakemake's records and the files' times
    for name in ("mnn", "mnn.md", "tables", "figures", "results.parquet", "summary.md"):
        path = folder / RUN / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    switch = folder / RUN / "networks/switch/seed_0/weights.safetensors"
    before = switch.stat().st_mtime_ns

    head = subprocess.Popen(
        command(*PROFILE, "--jobs", 2),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    wait_for(lambda: len(jobs(folder, "running")) == 2, 60, "two experts on the cluster")
    head.kill()
    head.wait()

    refused = run(folder, *PROFILE, check=False)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout

    # As the README says: wait for (or scancel) what runs, unlock, the same command again.
    first = {job["rule"] for job in jobs(folder)}
    wait_for(lambda: not jobs(folder, "pending,running,completing"), 120, "orphaned jobs")
    trained = {path: path.stat().st_mtime_ns for path in (folder / RUN / "mnn").rglob("weights.safetensors")}
    assert len(trained) == 10, "both orphans ended well"
    run(folder, *PROFILE, "--unlock")
    run(folder, *PROFILE)
    submitted = [job["rule"] for job in jobs(folder)]
    assert len(submitted) == len(set(submitted)) == 4, "each expert job once, over both calls"
    assert first < set(submitted)
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert switch.stat().st_mtime_ns == before
    assert fingerprint(folder) == fingerprint(finished)


def test_the_profile_says_which_lines_are_the_sites() -> None:
    text = (ROOT / "slurm/config.yaml").read_text()
    assert [key for key in ("slurm_account", "slurm_partition", "gpu_model") if re.search(rf"^  # {key}: ", text, re.MULTILINE)] == [
        "slurm_account",
        "slurm_partition",
        "gpu_model",
    ]
    assert "retries" not in "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk")), "a rule's retries repeat inside one job"
