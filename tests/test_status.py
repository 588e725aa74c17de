"""How far a run is, from made folders: every state, a cluster's logs, tries after a failure, and what is no run."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import metann

from metann import layout
from metann.errors import MetannError
from metann.files.text import read_json, write_json
from metann.plan.jobs import Job, read_progress, write_jobs
from metann.plan.progress import progress_lines
from metann.plan.snakemake_log import failures

STARTED = 1_700_000_000.0
ERROR = """[Wed Nov 25 07:06:03 2026]
Error in rule train_network:
    message: SLURM-job '40' failed, SLURM status is: 'FAILED'.
What the plugin adds stands at the margin.
    jobid: {number}
    input: data/images.npy
    output: weights.safetensors, training.csv
    log: {logs} (check log file(s) for error details)
    shell:
        metann train-network
"""
EPOCHS = "epoch,val_accuracy,seconds\n1,0.5,10\n2,0.625,20\n3,,\n"


@dataclass
class MadeRun:
    """A run as files: what is written has the time of the disk that it says, in seconds after its start."""

    work: Path
    jobs: list[dict[str, Any]]

    @property
    def folder(self) -> Path:
        return self.work / "results/made"

    def job(self, name: str, *outputs: str, needed: bool = True, epochs: int = 0) -> str:
        """Add a job, and give the path of its log."""
        log = f"results/made/{Path(outputs[0]).parent}/{name}.log"
        paths = [f"results/made/{path}" for path in outputs]
        self.jobs.append({"name": name, "outputs": paths, "log": log, "needed": needed, "epochs": epochs})
        return log

    def file(self, path: str, text: str = "", after: float = 1.0) -> None:
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (STARTED + after, STARTED + after))

    def start(self, log: str = "", **head: Any) -> None:
        self.file(".snakemake/log/one.log", log)
        found = {
            "started": STARTED,
            "host": "elsewhere",
            "process": 1,
            "local": True,
            "logs": [".snakemake/log/one.log"],
            "jobs": self.jobs,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / layout.JOBS, found | head)

    def states(self) -> dict[str, str]:
        return {job.name: job.state for job in read_progress(self.folder).jobs}

    def the_job(self) -> Job:
        (job,) = read_progress(self.folder, now=STARTED + 50).jobs
        return job


@pytest.fixture
def run(tmp_path: Path) -> MadeRun:
    return MadeRun(tmp_path, [])


def test_done_is_what_has_all_its_outputs_since_the_start(run: MadeRun) -> None:
    run.job("old", "old/a", needed=False)
    run.file("results/made/old/a", after=-500)
    run.job("whole", "whole/a", "whole/b")
    run.job("half", "half/a", "half/b")
    run.job("stale", "stale/a")
    run.job("lost", "lost/a", needed=False)
    for path in ("whole/a", "whole/b", "half/a"):
        run.file(f"results/made/{path}")
    run.file("results/made/stale/a", after=-500)
    run.start()
    assert run.states() == {"old": "done", "whole": "done", "half": "waiting", "stale": "waiting", "lost": "waiting"}


def test_a_log_since_the_start_is_a_job_that_runs(run: MadeRun) -> None:
    for name, after in (("begun", 1.0), ("before", -500.0)):
        run.file(run.job(name, f"{name}/a"), "words\n", after)
    run.start()
    assert run.states() == {"begun": "running", "before": "waiting"}


def test_a_training_says_its_epochs_accuracy_and_end(run: MadeRun) -> None:
    run.file(run.job("train_network", "net/weights.safetensors", "net/training.csv", epochs=8))
    run.file("results/made/net/training.csv", EPOCHS.replace("3,,\n", ""), after=40)
    run.start()
    assert run.the_job() == Job("train_network", "net", "running", (2, 8), 0.625, STARTED + 40 + 6 * 15)
    assert "train_network net, epoch 2 of 8, validation accuracy 62.50 %, ends at about " in "\n".join(
        progress_lines("made", read_progress(run.folder, STARTED + 50), STARTED + 50)
    )


def test_experts_of_one_job_count_together(run: MadeRun) -> None:
    run.file(run.job("train_expert_0", *(f"class_{c}/training.csv" for c in range(3)), "class_2/weights", epochs=2))
    run.file("results/made/class_0/training.csv", "epoch,val_accuracy,seconds\n1,0.1,3\n2,0.2,3\n", after=5)
    run.file("results/made/class_1/training.csv", "epoch,val_accuracy,seconds\n1,0.7,3\n", after=10)
    run.file("results/made/class_2/training.csv", "epoch,val_accuracy,seconds\n1,0.9,9\n2,0.9,9\n", after=-900)  # of an older run
    run.start()
    job = run.the_job()
    assert (job.epochs, job.accuracy, job.end) == ((3, 6), 0.7, STARTED + 50)  # by its files it should have ended already


def test_half_a_line_of_epochs_stops_nothing(run: MadeRun) -> None:
    run.file(run.job("train_network", "net/weights", "net/training.csv", epochs=8))
    run.file("results/made/net/training.csv", "epoch,val_accuracy\n1,")
    run.start()
    assert (run.the_job().state, run.the_job().accuracy) == ("running", None)
    run.file("results/made/net/training.csv", "epoch,val_accuracy\n1")
    assert (run.the_job().state, run.the_job().epochs) == ("running", (0, 8))


@pytest.mark.parametrize(
    "text", ["word\nmetann: error: no such file; give one\n\n", "Traceback (most recent call last):\n  x\nValueError: y\n"]
)
def test_failed_says_the_last_line_of_its_log(run: MadeRun, text: str) -> None:
    """Also where Snakemake's own log, with --quiet, names no failed job."""
    run.file(run.job("prepare_data", "data/a"), text)
    run.start()
    assert (run.the_job().state, run.the_job().last) == ("failed", text.strip().splitlines()[-1])


def test_what_a_cluster_killed_says_the_clusters_log(run: MadeRun) -> None:
    log = run.job("train_network", "net/weights", "net/training.csv", epochs=4)
    run.file(log, "SLURM job 40 on n1\n")
    inner = f"host n1\nslurmstepd: error: StepId=40.0 exceeded memory limit (1 > 0)\n{ERROR.format(number=0, logs=log)}"
    inner += "Exiting because a job execution failed.\nComplete log(s): x\nsrun: error: n1: task 0: Exited with exit code 1\n"
    run.file(".snakemake/slurm_logs/40.log", inner)
    line = "=" * 80
    failed = ERROR.format(number=3, logs=f"{log}, .snakemake/slurm_logs/40.log")
    failed += f"Logfile {log}:\n{line}\nSLURM job 40 on n1\n{line}\nLogfile .snakemake/slurm_logs/40.log:\n{line}\n{inner}{line}\n"
    run.start(failed)
    assert (run.the_job().state, run.the_job().last) == ("failed", "slurmstepd: error: StepId=40.0 exceeded memory limit (1 > 0)")
    assert not read_progress(run.folder).over, "the job's Snakemake has ended, not the run's"
    run.start(f"{failed}Trying to restart job 3.\n")
    assert run.the_job().state == "running", "it is tried again"
    run.start(f"{failed}Trying to restart job 3.\n{failed}")
    assert run.the_job().state == "failed", "and failed again"


def test_failures_are_those_that_are_not_tried_again() -> None:
    text = ERROR.format(number=3, logs="a.log") + ERROR.format(number=4, logs="b.log, c.log") + "Trying to restart job 3.\n"
    assert failures(text) == {"b.log": ["c.log"]}
    assert failures("Error in rule all of the words:\n    no log here\n") == {}


def test_what_runs_when_snakemake_has_ended_was_stopped(run: MadeRun) -> None:
    run.file(run.job("train_network", "net/weights", "net/training.csv", epochs=4), "half\n")
    run.job("collect", "collect/a")
    run.start("Execute 1 jobs...\nComplete log(s): .snakemake/log/one.log\n")
    assert run.states() == {"train_network": "stopped", "collect": "waiting"}
    lines = progress_lines("made", read_progress(run.folder), STARTED)
    assert lines[0].endswith(": 0 done, 1 waiting, 1 stopped, of 2 jobs; snakemake has ended, start it again to go on")
    assert lines[1] == "  stopped: train_network net, half"


def test_a_killed_snakemake_is_seen_on_its_own_machine_alone(run: MadeRun) -> None:
    run.file(run.job("train_network", "net/weights"))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = {"host": os.uname().nodename, "process": ended.pid}
    for head, state in [
        (here, "stopped"),
        (here | {"process": os.getpid()}, "running"),
        (here | {"local": False}, "running"),  # a cluster's jobs run on
        ({"process": ended.pid}, "running"),  # looked at from elsewhere
    ]:
        run.start(**head)
        assert run.the_job().state == state


@dataclass(frozen=True)
class FakeJob:
    """As much of Snakemake's jobs as is kept."""

    rule: Any
    output: list[str]
    log: list[str]
    params: list[Any]


class Dag:
    """As much of Snakemake's graph."""

    def __init__(self, *params: Any) -> None:
        rule = type("Rule", (), {"name": "one"})()
        self.jobs = [FakeJob(rule, ["results/made/x/training.csv"], ["x.log"], list(params)), FakeJob(rule, [], [], [])]

    def needrun(self, job: FakeJob) -> bool:
        return bool(job.output)


@pytest.mark.parametrize(
    ("params", "epochs"),
    [
        ([["--training.epochs=20", "--training.flip"]], 20),
        ([["--expert.epochs=4"], "--classes 0 1"], 4),
        (['{"training": {"batch_size": 128, "epochs": 10}}'], 10),
        ([["--training.steps=2000", "--training.block=100"]], 20),
        ([["--training.epochs=20"], ["--epochs-of=training.json"]], 0),
        ([["--data.root=x"], "code"], 0),
    ],
)
def test_what_is_kept_at_the_start(tmp_path: Path, params: list[Any], epochs: int) -> None:
    write_jobs(Dag(*params), tmp_path / "results/made", ["one.log"], local=True)
    kept = read_json(tmp_path / "results/made" / layout.JOBS)
    (job,) = kept["jobs"]
    assert job == {"name": "one", "outputs": ["results/made/x/training.csv"], "log": "x.log", "needed": True, "epochs": epochs}
    assert (kept["process"], kept["local"], kept["logs"]) == (os.getpid(), True, ["one.log"])
    assert abs(kept["started"] - time.time()) < 60


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (False, "is no folder; give the folder of one, such as results/demo"),
        (True, "is no run that snakemake has started (or of an earlier version); give the folder"),
    ],
)
def test_no_run_is_one_line(tmp_path: Path, there: bool, says: str) -> None:
    (tmp_path / ("results/other" if there else "results")).mkdir(parents=True)
    done = metann("status", "results/other", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"metann: error: results/other {says}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", ["{}", "[]", '{"jobs": [{}], "started": 1, "host": "x", "local": true, "logs": []}', "no json"])
def test_a_damaged_record_is_one_line(run: MadeRun, content: str) -> None:
    run.start()
    (run.folder / layout.JOBS).write_text(content)
    with pytest.raises(MetannError, match=r"\.jobs\.json"):
        read_progress(run.folder)


def test_plain_lines_and_watching_to_the_end(run: MadeRun) -> None:
    run.job("prepare_data", "data/a")
    run.start()
    command = [sys.executable, "-m", "metann", "status", "results/made", "--watch", "--every", "0.05"]
    with subprocess.Popen(command, cwd=run.work, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert "0 done, 1 waiting, of 1 jobs" in watching.stdout.readline()
        run.file("results/made/data/a")
        rest = watching.stdout.read()
        assert watching.wait() == 0
    assert rest.splitlines()[-1].endswith(": 1 done, of 1 jobs")
    assert "\x1b" not in rest
    assert metann("status", "results/made", "--every", 0, cwd=run.work, check=False).returncode == 2
