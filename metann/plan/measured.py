"""The times of a run that was done, from the Snakemake benchmark files and training.csv beside its outputs."""

import csv
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, median
from typing import Any

from metann.config.run import Config
from metann.errors import MetannError, one_of
from metann.plan.graph import Times
from metann.training.history import read_history


def _benchmarks(paths: Iterable[Path]) -> list[tuple[Path, float]]:
    """Snakemake benchmark files and their seconds; a file may hold several rows, the last is the last attempt."""
    found = []
    for path in sorted(paths):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                found.append((path, float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])))
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            raise MetannError(f"{path} is not a benchmark file of Snakemake; delete it, or plan from another --run") from None
    return found


def _epochs(path: Path) -> list[float]:
    """Seconds of each epoch in a training.csv."""
    try:
        return [float(row["seconds"]) for row in read_history(path)]
    except (MetannError, ValueError, KeyError):
        raise MetannError(f"{path} does not say how long its epochs took; delete it and run snakemake again") from None


def measured_times(
    folder: Path, planned: Config, network_seconds: float | None = None, expert_seconds: float | None = None
) -> tuple[Times, list[str]]:
    """What a run's files say, scaled to the epochs of `planned`; means over seeds.

    Returns:
        the times, and the names of the jobs that were not measured.

    Raises:
        MetannError: no such run, or a network of `planned` that it did not train.
    """
    if not folder.is_dir():
        raise MetannError(f"no run {folder} to take times from; run the workflow, or give --run, or --network-seconds and --expert-seconds")
    networks, exports = {}, {}
    for name, section in planned.networks.items():
        jobs = _benchmarks(folder.glob(f"networks/{name}/seed_*/train_network.tsv"))
        if network_seconds is not None or section.imported:
            networks[name] = network_seconds or 0.0
        elif not jobs:
            known = {path.parts[-3] for path in folder.glob("networks/*/seed_*/train_network.tsv")}
            raise MetannError(f"{folder} did not train network {name!r}, only: {one_of(known) or 'none'}; plan from another --run")
        else:
            networks[name] = fmean(_scaled(job, planned.training_of(name).epochs) for job in jobs)
        if seconds := [s for _, s in _benchmarks(folder.glob(f"networks/{name}/seed_*/export_probabilities.tsv"))]:
            exports[name] = fmean(seconds)
    small: dict[str, Any] = {}
    patterns = {"prepare": "data/prepare_data.tsv", "evaluate": "mnn/*/*/evaluation/evaluate_mnn.tsv", "collect": "mnn/collect_mnn.tsv"}
    for key, pattern in patterns.items():
        if seconds := [s for _, s in _benchmarks(folder.glob(pattern))]:
            small[key] = fmean(seconds)
    missing = sorted(set(patterns) - set(small)) if planned.mnn else []
    experts = {} if planned.mnn is None else _expert_times(folder, planned.mnn.expert.epochs, expert_seconds)
    return Times(networks, exports, **experts, **small), missing


def _scaled(job: tuple[Path, float], epochs: int) -> float:
    """Seconds of a training job with another number of epochs: what is not training stays as it is."""
    path, seconds = job
    measured = _epochs(path.with_name("training.csv"))
    return max(seconds - sum(measured), 0.0) + epochs * median(measured) if measured else seconds


def _expert_times(folder: Path, epochs: int, expert_seconds: float | None) -> dict[str, Any]:
    """Times of the experts: what each class took, and what a job took beyond its classes."""
    of_class: dict[tuple[str, int], list[float]] = {}
    beyond: list[float] = []
    for threshold in sorted(folder.glob("mnn/seed_*/dataset_threshold_*")):
        measured = {int(path.parent.name.removeprefix("class_")): _epochs(path) for path in threshold.glob("class_*/training.csv")}
        for c, seconds in measured.items():
            key = threshold.name.removeprefix("dataset_threshold_"), c
            of_class.setdefault(key, []).append(epochs * median(seconds) if seconds else 0.0)
        # A job trains the classes from the one that it is named after to the next job's.
        jobs = {int(path.stem.removeprefix("train_expert_")): s for path, s in _benchmarks(threshold.glob("train_expert_*.tsv"))}
        ends = [*sorted(jobs)[1:], max(measured, default=-1) + 1]
        for first, end in zip(sorted(jobs), ends, strict=True):
            beyond.append(max(jobs[first] - sum(sum(measured.get(c, [])) for c in range(first, end)), 0.0))
    if expert_seconds is not None:
        return {"expert": expert_seconds, "expert_start": fmean(beyond) if beyond else 0.0}
    if not of_class or not beyond:
        raise MetannError(f"{folder} has no measured experts; run the workflow, or give --expert-seconds")
    known = {key: fmean(seconds) for key, seconds in of_class.items()}
    return {"expert": fmean(known.values()), "expert_of": known, "expert_start": fmean(beyond)}
