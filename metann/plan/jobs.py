"""What a run was to do, written down when it starts, and how far it is, read from the files of its jobs: also on another machine.

Whether a job runs or failed, its log and its outputs say; what was killed without a word, Snakemake's own log says. Times are seconds
since 1970.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from metann import layout
from metann.errors import MetannError
from metann.files.text import read_json, write_json
from metann.plan.snakemake_log import failures, is_over, own_words
from metann.training.history import Row, read_history

State = Literal["done", "running", "waiting", "failed", "stopped"]
_EPOCHS = (re.compile(r'\.epochs=(\d+)|"epochs": (\d+)'), re.compile(r"\.steps=(\d+)"), re.compile(r"\.block=(\d+)"))
_TAIL = 20_000  # bytes of a log that are read


def write_jobs(dag: Any, run: Path, logs: Sequence[str], local: bool) -> None:
    """Keep what Snakemake is about to do: every job of the run with its files, and whether it has to run.

    Args:
        dag: Snakemake's.
        run: folder of the run.
        logs: Snakemake's own log files.
        local: whether the jobs are processes of this machine, and not a cluster's.
    """
    jobs = [
        {
            "name": job.rule.name,
            "outputs": [str(path) for path in job.output],
            "log": str(job.log[0]) if job.log else "",
            "needed": bool(dag.needrun(job)),
            "epochs": _epochs([str(value) for value in job.params]),
        }
        for job in dag.jobs
        if job.output
    ]
    head = {"host": os.uname().nodename, "process": os.getpid(), "local": local}
    with contextlib.suppress(OSError, MetannError):  # a folder that cannot be written is told by Snakemake, whose job it keeps from running
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / layout.JOBS, {"started": time.time(), **head, "logs": list(map(str, logs)), "jobs": jobs})


def _epochs(params: Iterable[str]) -> int:
    """How many rows each history of a job will have, by its parameters; 0 where it trains nothing, or as long as a file says."""
    text = " ".join(params)
    epochs, steps, block = (pattern.search(text) for pattern in _EPOCHS)
    if steps and block:
        return int(steps[1]) // int(block[1])
    return int(epochs[1] or epochs[2]) if epochs and "--epochs-of=" not in text else 0


@dataclass(frozen=True)
class Job:
    """How far one job is.

    Attributes:
        name: its rule.
        about: the folder of its first output, below the run.
        state: done, running, waiting, failed, or stopped: begun, and nobody works on it any more.
        epochs: done and in all, over all that it trains; 0 in all where nobody knows, or it trains nothing.
        accuracy: on validation, of the last epoch; None where there is none.
        end: when it will end, if the epochs to come take as long as those before; None where nobody knows.
        last: the last line of its log, or of the cluster's log of it.
    """

    name: str
    about: str
    state: State
    epochs: tuple[int, int] = (0, 0)
    accuracy: float | None = None
    end: float | None = None
    last: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        jobs: in Snakemake's order.
        over: whether Snakemake has ended, so that nothing that waits will begin.
    """

    jobs: tuple[Job, ...]
    over: bool


@dataclass(frozen=True)
class _Head:
    """The Snakemake of a run: where it works, since when, whether it is over, and own log of a failed job -> the cluster's logs of it."""

    work: Path
    run: Path
    started: float
    over: bool
    failed: Mapping[str, Sequence[str]]


def read_progress(run: Path, now: float | None = None) -> Progress:
    """How far every job of a run is.

    Args:
        run: its folder, such as results/demo.
        now: what time it is.

    Raises:
        MetannError: no such folder, or nothing in it says what was to be done.
    """
    kept = run / layout.JOBS
    if not kept.is_file():
        what = "is no folder" if not run.is_dir() else "is no run that snakemake has started (or of an earlier version)"
        raise MetannError(f"{run} {what}; give the folder of one, such as results/demo")
    found = read_json(kept)
    try:
        run = run.absolute()
        work = run.parents[1]
        logs = [path for log in found["logs"] if (path := work / log).is_file()]
        text = own_words("".join(path.read_text(encoding="utf-8", errors="replace") for path in logs))
        # By the clock of the disk, which is that of the outputs too.
        started = min(float(found["started"]), kept.stat().st_mtime) - 1
        head = _Head(work, run, started, is_over(text, found), failures(text))
        return Progress(tuple(_job(job, head, time.time() if now is None else now) for job in found["jobs"]), head.over)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise MetannError(f"{kept} is not as metann writes it; start snakemake again") from None


def _job(job: Mapping[str, Any], head: _Head, now: float) -> Job:
    outputs, log, needed = [head.work / path for path in job["outputs"]], head.work / job["log"], bool(job["needed"])
    about = outputs[0].parent.relative_to(head.run).as_posix() if outputs[0].is_relative_to(head.run) else ""
    if all(path.exists() for path in outputs) and (not needed or all(path.stat().st_mtime >= head.started for path in outputs)):
        return Job(job["name"], about, "done")
    if not needed or not job["log"] or not log.is_file() or log.stat().st_mtime < head.started:
        return Job(job["name"], about, "waiting")
    lines = _lines(log)
    histories = [path for path in outputs if path.name == "training.csv"]
    rows = [_rows(path, head.started) for path in histories]
    shown = sum(map(len, rows)), int(job["epochs"]) * len(histories)
    newest = next((part for part in reversed(rows) if part), [])  # experts train one after the other
    accuracies = [row["val_accuracy"] for row in newest[-1:] if isinstance(row.get("val_accuracy"), int | float)]
    accuracy = float(accuracies[0]) if accuracies and accuracies[0] == accuracies[0] else None
    told = any(line.startswith(("Traceback", "metann: error:")) for line in lines)
    if told or job["log"] in head.failed:
        last = (lines or [""])[-1] if told else _said([*head.failed[job["log"]], log], head.work)
        return Job(job["name"], about, "failed", shown, accuracy, None, last)
    if head.over:
        return Job(job["name"], about, "stopped", shown, accuracy, None, (lines or [""])[-1])
    seconds = [float(row["seconds"]) for part in rows for row in part if isinstance(row.get("seconds"), int | float)]
    end = None
    if seconds and shown[1] >= shown[0]:
        newest_epoch = max(path.stat().st_mtime for path, part in zip(histories, rows, strict=True) if part)
        end = max(newest_epoch + (shown[1] - shown[0]) * median(seconds), now)
    return Job(job["name"], about, "running", shown, accuracy, end, (lines or [""])[-1])


def _lines(log: Path) -> list[str]:
    """The last lines of a log that say something; none where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _TAIL, 0))
            return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def _said(logs: Iterable[str | Path], work: Path) -> str:
    """What the scheduler says in one of the logs, or else the last line that names an error, or else the last line of all."""
    lines = [line for log in logs for line in _lines(work / log)]
    killed = [line for line in lines if line.startswith("slurmstepd") and "error:" in line]
    named = [line for line in lines if "error" in line.lower()]
    return (killed[:1] or named[-1:] or lines[-1:] or [""])[0]


def _rows(path: Path, started: float) -> list[Row]:
    try:
        return read_history(path) if path.stat().st_mtime >= started else []
    except (OSError, MetannError):
        return []
