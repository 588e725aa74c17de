"""The times of a run that was done, from the Snakemake benchmark files and training.csv beside its outputs."""

import csv
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, median
from typing import Any

from metann import layout
from metann.config.run import Config
from metann.errors import MetannError, one_of
from metann.plan.graph import Times
from metann.training.history import read_history

_OF_THEIR_OWN = ("train_network", "train_longer", "train_fold", "export_probabilities", "export_out_of_fold", "train_expert")
"""Rules whose times depend on the network, or on the classes that a job trains."""


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
    folder: Path, planned: Config, rules: Iterable[str], network_seconds: float | None = None, expert_seconds: float | None = None
) -> tuple[Times, list[str]]:
    """What a run's files say, scaled to the epochs of `planned`; means over seeds.

    Args:
        folder: of the measured run.
        planned: the configuration to plan for.
        rules: names of the rules whose jobs are planned.
        network_seconds, expert_seconds: instead of measured ones.

    Returns:
        the times, and the names of the rules that were not measured.

    Raises:
        MetannError: no such run, or a network of `planned` that it did not train.
    """
    if not folder.is_dir():
        raise MetannError(f"no run {folder} to take times from; run the workflow, or give --run, or --network-seconds and --expert-seconds")
    rules = set(rules)
    networks, exports = {}, {}
    for name, section in planned.networks.items():
        jobs = _benchmarks(path for path, _ in layout.found(folder, f"{layout.NETWORK}/train_network.tsv", network=name))
        if network_seconds is not None or section.imported:
            networks[name] = network_seconds or 0.0
        elif jobs:
            networks[name] = fmean(_scaled(job, planned.training_of(name).epochs) for job in jobs)
        elif "train_network" in rules:
            known = {fields["network"] for _, fields in layout.found(folder, f"{layout.NETWORK}/train_network.tsv")}
            raise MetannError(f"{folder} did not train network {name!r}, only: {one_of(known) or 'none'}; plan from another --run")
        exported = layout.found(folder, f"{layout.NETWORK}/export_probabilities.tsv", network=name)
        if seconds := [s for _, s in _benchmarks(path for path, _ in exported)]:
            exports[name] = fmean(seconds)
    others = sorted(rules - set(_OF_THEIR_OWN))
    small = {rule: fmean(seconds) for rule in others if (seconds := [s for _, s in _benchmarks(folder.rglob(f"{rule}.tsv"))])}
    missing = [rule for rule in others if rule not in small]
    experts = {} if planned.mnn is None else expert_times(folder, planned.mnn.expert.epochs, expert_seconds)
    return Times(networks, exports, **experts, rules=small), missing


def _scaled(job: tuple[Path, float], epochs: int) -> float:
    """Seconds of a training job with another number of epochs: what is not training stays as it is."""
    path, seconds = job
    measured = _epochs(path.with_name("training.csv"))
    return max(seconds - sum(measured), 0.0) + epochs * median(measured) if measured else seconds


def expert_times(folder: Path, epochs: int, expert_seconds: float | None = None, **known: object) -> dict[str, Any]:
    """Times of the experts: what each class took, and what a job took beyond its classes.

    Args:
        folder: of the measured run.
        epochs: of an expert that is planned.
        expert_seconds: instead of a measured one.
        known: the `seed` and `dataset_threshold` that alone are looked at; none: all.

    Raises:
        MetannError: no measured experts.
    """
    of_class: dict[tuple[str, int], list[float]] = {}
    beyond: list[float] = []
    measured: dict[tuple[str, str], dict[int, list[float]]] = {}
    for path, at in layout.found(folder, f"{layout.EXPERT}/training.csv", **known):
        measured.setdefault((at["seed"], at["dataset_threshold"]), {})[int(at["c"])] = _epochs(path)
    for (seed, threshold), classes in measured.items():
        for c, seconds in classes.items():
            of_class.setdefault((threshold, c), []).append(epochs * median(seconds) if seconds else 0.0)
        # A job trains the classes from the one that it is named after to the next job's.
        files = layout.found(folder, f"{layout.EXPERTS}/train_expert_{{first}}.tsv", seed=seed, dataset_threshold=threshold)
        jobs = {int(at["first"]): _benchmarks([path])[0][1] for path, at in files}
        ends = [*sorted(jobs)[1:], max(classes, default=-1) + 1]
        for first, end in zip(sorted(jobs), ends, strict=True):
            beyond.append(max(jobs[first] - sum(sum(classes.get(c, [])) for c in range(first, end)), 0.0))
    if expert_seconds is not None:
        return {"expert": expert_seconds, "expert_start": fmean(beyond) if beyond else 0.0}
    if not of_class or not beyond:
        raise MetannError(f"{folder} has no measured experts; run the workflow, or give --expert-seconds")
    known = {key: fmean(seconds) for key, seconds in of_class.items()}
    return {"expert": fmean(known.values()), "expert_of": known, "expert_start": fmean(beyond)}
