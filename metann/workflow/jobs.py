"""What a run was to do, written down when it starts, and how far it is, read from the files of its jobs: also on another machine.

Snakemake's own log says which jobs failed; whether one runs, its log and its outputs say. Times are seconds since 1970.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from metann import layout
from metann.errors import MetannError
from metann.files import read_json, write_json
from metann.training.history import Row, read_history

State = Literal["done", "running", "waiting", "failed", "stopped"]
_EPOCHS = (re.compile(r'\.epochs=(\d+)|"epochs": (\d+)'), re.compile(r"\.steps=(\d+)"), re.compile(r"\.block=(\d+)"))
_FAILED = re.compile(r"^Error in rule .*?^    log: (.+?) \(check log", re.MULTILINE | re.DOTALL)
_OVER = ("\nExiting because", "Complete log(s):", "\nTerminating processes on user request")


def write_jobs(dag: Any, run: Path, logs: Sequence[str]) -> None:
    """Keep what Snakemake is about to do: every job of the run with its files, and whether it has to run.

    Args:
        dag: Snakemake's.
        run: folder of the run.
        logs: Snakemake's own log files.
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
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / layout.JOBS, {"started": time.time(), "host": os.uname().nodename, "logs": list(map(str, logs)), "jobs": jobs})


def _epochs(params: Iterable[str]) -> int:
    """How many rows each history of a job will have, by its parameters; 0 where it trains nothing."""
    text = " ".join(params)
    epochs, steps, block = (pattern.search(text) for pattern in _EPOCHS)
    if steps and block:
        return int(steps[1]) // int(block[1])
    return int(epochs[1] or epochs[2]) if epochs else 0


@dataclass(frozen=True)
class Job:
    """How far one job is.

    Attributes:
        name: its rule.
        about: the folder of its first output, below the run.
        state: done, running, waiting, failed, or stopped: begun, and nobody works on it any more.
        epochs: done and in all, over all that it trains; 0 of 0 where it trains nothing.
        accuracy: on validation, of the last epoch; None where there is none.
        end: when it will end, if the epochs to come take as long as those before; None where nobody knows.
        last: the last line of its log.
    """

    name: str
    about: str
    state: State
    epochs: tuple[int, int] = (0, 0)
    accuracy: float | None = None
    end: float | None = None
    last: str = ""


def read_jobs(run: Path, now: float | None = None) -> list[Job]:
    """Every job of a run, in Snakemake's order.

    Args:
        run: its folder, such as results/demo.
        now: what time it is.

    Raises:
        MetannError: no such folder, or nothing in it says what was to be done.
    """
    if not (run / layout.JOBS).is_file():
        what = "is no folder" if not run.is_dir() else "is no run that snakemake has started (or of an earlier version)"
        raise MetannError(f"{run} {what}; give the folder of one, such as results/demo")
    found = read_json(run / layout.JOBS)
    try:
        jobs, started, logs = found["jobs"], float(found["started"]), [str(path) for path in found["logs"]]
        work = run.absolute().parents[1]
        text = "".join((work / path).read_text(encoding="utf-8", errors="replace") for path in logs if (work / path).is_file())
        failed, over = _failures(text), any(words in text for words in _OVER)
        return [_job(job, work, run, started, failed, over, time.time() if now is None else now) for job in jobs]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MetannError(f"{run / layout.JOBS} is not as metann writes it; start snakemake again") from None


def _failures(text: str) -> dict[str, int]:
    """Log of a job -> how often it failed."""
    return Counter(_FAILED.findall(text))


def _job(job: dict[str, Any], work: Path, run: Path, started: float, failed: dict[str, int], over: bool, now: float) -> Job:
    outputs, log = [work / path for path in job["outputs"]], work / job["log"]
    inside = [path.relative_to(run.absolute()) for path in outputs[:1] if path.is_relative_to(run.absolute())]
    about = str(inside[0].parent) if inside else ""
    if all(path.exists() for path in outputs) and (not job["needed"] or all(path.stat().st_mtime >= started - 1 for path in outputs)):
        return Job(job["name"], about, "done")
    if not job["needed"] or not job["log"] or not log.is_file() or log.stat().st_mtime < started - 1:
        return Job(job["name"], about, "waiting")
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    histories = [path for path in outputs if path.name == "training.csv"]
    rows = [_rows(path, started) for path in histories]
    done, whole = sum(map(len, rows)), job["epochs"] * len(histories)
    newest = next((part for part in reversed(rows) if part), [])  # experts train one after the other
    accuracy = newest[-1].get("val_accuracy") if newest else None
    shown = (done, whole)
    kept = float(accuracy) if isinstance(accuracy, int | float) else None
    if failed.get(job["log"]) and (over or last.startswith("metann: error:") or _ended_badly(lines)):
        return Job(job["name"], about, "failed", shown, kept, None, last)
    if over:
        return Job(job["name"], about, "stopped", shown, kept, None, last)
    seconds = [float(row["seconds"]) for part in rows for row in part if isinstance(row.get("seconds"), int | float)]
    end = max(log.stat().st_mtime, now) + (whole - done) * median(seconds) if seconds and whole >= done else None
    return Job(job["name"], about, "running", shown, kept, end, last)


def _ended_badly(lines: Sequence[str]) -> bool:
    return any(line.startswith("Traceback") for line in lines)


def _rows(path: Path, started: float) -> list[Row]:
    try:
        return read_history(path) if path.stat().st_mtime >= started - 1 else []
    except (OSError, MetannError):
        return []
