"""What each training and evaluation option does to the demo: test accuracy with and without it, over seeds.

    OMP_NUM_THREADS=1 python benchmarks/bench_options.py [--seeds 5] [--processes 2] [--only label_smoothing hard ...]

Everything else is the configuration's defaults: Fashion-MNIST's first 12,000 training images, the small CNN of depth 4, 8 epochs, whole
experts of 4, one dataset threshold (0.10). Options of a network are measured on the switch alone. Options of experts and of the evaluation
are measured on the meta neural network with the test threshold that is best on validation, chosen anew for each. Each option is compared
with the same seed without it:

    difference    mean over seeds, in points of test accuracy, with Student's 95 % interval
    fixed, broken images of all seeds that only the one or the other gets right, with McNemar's exact p. The 10,000 test images are the
                  same for every seed, so p speaks of these networks and not of new ones; the interval over seeds does
    training      seconds of all trainings that the option touches, as a share of those without it; noisy on a busy machine

Ten minutes on two idle cores. N images, K classes.
"""

import argparse
import contextlib
import csv
import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import _report
import numpy as np

THRESHOLD, FOLDS, CLASSES = 0.1, 5, 10
NETWORK = {
    "label_smoothing": {"label_smoothing": 0.1},
    "ema": {"ema": 0.99},
    "trapezoid": {"schedule": "trapezoid"},
}
EXPERT: dict[str, dict[str, Any]] = {
    "hard": {"sampler": "hard"},
    "head": {"train": "head"},
    "scratch": {"start": "scratch"},
    "out_of_fold": {},
    "tail_3": {"tail": 3},
    "tail_2": {"tail": 2},
    "unsure": {"unsure": 0.95},
    "combined": {"objective": "combined"},
    "residual": {"objective": "residual"},
    "second": {"body": "second"},
    "second_combined": {"body": "second", "objective": "combined"},
    "second_tail": {"body": "second", "objective": "combined", "tail": 3, "unsure": 0.95, "learning_rate": 0.02},
    "second_tail_2": {"body": "second", "objective": "combined", "tail": 2, "unsure": 0.95, "learning_rate": 0.02},
}
EVALUATION = {
    "temperature": {"temperature": "validation"},
    "replace": {"combine": "replace"},
    "product_calibrated": {"combine": "product_calibrated"},
    "functions": {"functions": ("contested", "unsure")},
}
CHEAP = {"contested": (0.05, 0.10, 0.25), "unsure": (0.50, 0.60, 0.70, 0.80, 0.90, 0.95)}
NAMES = {
    "label_smoothing": "`training.label_smoothing: 0.1`",
    "ema": "`training.ema: 0.99`",
    "trapezoid": "`training.schedule: trapezoid`",
    "hard": "`mnn.expert.sampler: hard`",
    "head": "`mnn.expert.train: head`",
    "scratch": "`mnn.expert.start: scratch`",
    "out_of_fold": "`mnn.probabilities: out_of_fold`",
    "temperature": "`mnn.temperature: validation`",
    "replace": "`mnn.combine: replace`",
    "product_calibrated": "`mnn.combine: product_calibrated`",
    "functions": "`contested` and `unsure` beside the thresholds",
    "tail_3": "`mnn.expert.tail: 3`",
    "tail_2": "`mnn.expert.tail: 2`",
    "unsure": "`mnn.unsure: 0.95`",
    "combined": "`mnn.expert.objective: combined`",
    "residual": "`mnn.expert.objective: residual`",
    "second": "`mnn.expert.body: second`",
    "second_combined": "`body: second`, `combined`",
    "second_tail": "`body: second`, `combined`, `tail: 3`, `unsure: 0.95`",
    "second_tail_2": "`body: second`, `combined`, `tail: 2`, `unsure: 0.95`",
}


class Outcome(NamedTuple):
    """One network or meta neural network: which test images it gets right, experts asked per image, seconds of its trainings."""

    right_N: np.ndarray
    experts: float
    seconds: float


def trained_for(folder: Path) -> float:
    """Seconds of all trainings below a folder."""
    total = 0.0
    for path in folder.rglob("training.csv"):
        with path.open(newline="") as file:
            total += sum(float(row["seconds"]) for row in csv.DictReader(file))
    return total


def switch(data: Path, folder: Path, seed: int, name: str = "switch", **change: Any) -> Path:
    """Train the switch, or a network like it from other weights, with changed settings and export its probabilities; returns the folder."""
    from metann.config.run import Config
    from metann.stages.export_probabilities import export_probabilities
    from metann.stages.train_network import train_network

    config = Config()
    where = {key: change.pop(key) for key in ("fold", "folds") if key in change}
    training = config.training.model_copy(update={"device": "cpu", **change})
    train_network(name=name, network=config.networks["switch"], training=training, data=data, seed=seed, output=folder, **where)
    if not where:
        export_probabilities(weights=[folder / "weights.safetensors"], data=data, output=folder / "probabilities.parquet", device="cpu")
    return folder


def experts(
    data: Path, base: Path, folder: Path, seed: int, selection: Path | None = None, second: Path | None = None, **change: Any
) -> Path:
    """Train all experts of a switch with changed settings; returns the folder."""
    from metann.config.mnn import MnnSection
    from metann.stages.train_expert import train_expert

    train_expert(
        classes=list(range(CLASSES)),
        dataset_threshold=THRESHOLD,
        switch=base / "weights.safetensors",
        probabilities=base / "probabilities.parquet",
        data=data,
        unsure=change.pop("unsure", None),
        expert=MnnSection().expert.model_copy(update={"device": "cpu", **change}),
        seed=seed,
        output=folder,
        selection=selection,
        body=second / "weights.safetensors" if second and change.get("body") == "second" else None,
    )
    return folder


def alone(folder: Path) -> Outcome:
    """A network by itself on the test images."""
    from metann.tables.probabilities import read_probabilities

    table = read_probabilities(folder / "probabilities.parquet", "test")
    return Outcome(table.p_NK.argmax(axis=1) == table.label, 0.0, trained_for(folder))


def together(base: Path, trained: Path, output: Path, also: float = 0.0, functions: tuple[str, ...] = (), **how: str) -> Outcome:
    """Switch and experts on the test images, with the test threshold (or one of the cheap functions) that is best on validation; of equals
    the one that asks least."""
    from metann.config.mnn import MnnEvaluation
    from metann.mnn.prefix import Prefix
    from metann.stages.evaluate_mnn import evaluate_mnn
    from metann.tables.frames import read_arrow

    grid = list(MnnEvaluation().test_thresholds)
    tables = [trained / f"class_{c}" / "expert_probabilities.parquet" for c in range(CLASSES)]
    switch_table = base / "probabilities.parquet"
    options = MnnEvaluation(test_thresholds=grid, switch_functions=(), **how)
    evaluate_mnn(switch=switch_table, experts=tables, dataset_threshold=THRESHOLD, output=output, options=options)
    arrow, metadata = read_arrow(output / "prefix.parquet", "prefix")
    prefix = Prefix.of({name: arrow.column(name).to_numpy() for name in arrow.column_names}, metadata)
    val, test = prefix.select("val"), prefix.select("test")
    tried = [_function("threshold", t) for t in grid] + [_function(name, t) for name in functions for t in CHEAP[name]]
    best = max(tried, key=lambda function: (int(val.right(function).sum()), -float(val.lengths(function).mean())))
    return Outcome(test.right(best), float(test.lengths(best).mean()), trained_for(trained) + also)


def _function(name: str, parameter: float) -> Any:
    from metann.function_call import SwitchFunction

    return SwitchFunction(name=name, parameters=(parameter,))


def one_seed(seed: int, only: list[str], data: Path) -> dict[str, tuple[Outcome, Outcome]]:
    """Option -> without it and with it."""
    from metann.stages.export_probabilities import export_probabilities

    found = {}
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(None):  # without the stages' logs
        folder = Path(name)
        base = switch(data, folder / "base", seed)
        for option in only:
            if option in NETWORK:
                found[option] = alone(base), alone(switch(data, folder / option, seed, **NETWORK[option]))
        if set(only) - set(NETWORK):
            plain = experts(data, base, folder / "experts", seed)
            reference = together(base, plain, folder / "evaluation")
        for option in only:
            if option in EVALUATION:
                found[option] = reference, together(base, plain, folder / f"evaluation_{option}", **EVALUATION[option])
            elif option in EXPERT:
                selection, also = None, 0.0
                if option == "out_of_fold":
                    parts = [switch(data, folder / f"fold_{fold}", seed, fold=fold, folds=FOLDS) for fold in range(FOLDS)]
                    selection, also = folder / "out_of_fold.parquet", sum(map(trained_for, parts))
                    weights = [part / "weights.safetensors" for part in parts]
                    export_probabilities(weights=weights, data=data, output=selection, device="cpu", seed=seed, out_of_fold=True)
                second = folder / "second"
                if EXPERT[option].get("body") == "second" and not second.exists():
                    switch(data, second, seed, name="second")
                trained = experts(data, base, folder / option, seed, selection, second, **EXPERT[option])
                found[option] = reference, together(base, trained, folder / f"evaluation_{option}", also)
    return found


def line(option: str, pairs: list[tuple[Outcome, Outcome]]) -> list[str]:
    """A row of the table."""
    from metann.statistics.intervals import t_interval
    from metann.statistics.paired import compare_paired

    before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    gains = t_interval([100 * (b.right_N.mean() - a.right_N.mean()) for a, b in pairs])
    paired = compare_paired(*(np.concatenate([outcome.right_N for outcome in side]) for side in (before, after)))
    accuracy = [f"{100 * np.mean([outcome.right_N.mean() for outcome in side]):.2f} %" for side in (before, after)]
    asked = "" if option in NETWORK else " -> ".join(f"{np.mean([outcome.experts for outcome in side]):.2f}" for side in (before, after))
    share = "1 (same)" if option in EVALUATION else f"{statistics.median(b.seconds / a.seconds for a, b in pairs):.2f}"
    return [
        NAMES[option],
        "switch" if option in NETWORK else "mnn",
        f"{len(pairs)} x {len(before[0].right_N)}",
        *accuracy,
        f"{gains.mean:+.2f} [{gains.low:+.2f}, {gains.high:+.2f}]",
        f"{paired.fixed}, {paired.broken}",
        f"{paired.p:.2g}",
        asked,
        share,
    ]


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--processes", type=int, default=2, help="seeds at once")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="options to measure")
    given = parser.parse_args()
    print(f"{_report.machine('torch')}; config.yaml at dataset threshold {THRESHOLD}, seeds 0 .. {given.seeds - 1}\n")

    from metann.config.data import DataSection
    from metann.stages.prepare_data import prepare_data

    with tempfile.TemporaryDirectory() as name:
        data, found = Path(name), []
        with contextlib.redirect_stdout(None):
            prepare_data(data=DataSection(), output=data)
        with ProcessPoolExecutor(given.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            jobs = [pool.submit(one_seed, seed, given.only, data) for seed in range(given.seeds)]
            for seed, job in enumerate(jobs):
                found.append(job.result())
                _report.progress(f"seed {seed + 1} of {given.seeds}")
    head = ["option", "measured on", "seeds x test images", "without", "with", "difference, points", "fixed, broken", "McNemar p"]
    rows = [line(option, [of_seed[option] for of_seed in found]) for option in given.only]
    print(_report.table([*head, "experts asked per image", "training"], rows))


if __name__ == "__main__":
    main()
