"""Made-up generators for the tests of what is said about them: the tables of a trained generator and its arms, on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metann.hypernetwork.tasks import assign_sets, build_tasks, task_columns
from metann.stages.collect_hypernetwork import collect_hypernetwork
from metann.stages.evaluate_hypernetwork import evaluate_hypernetwork
from metann.tables.frames import write_frame
from metann.tables.probabilities import write_probabilities
from metann.tables.samples import Probabilities

NUMBERS, Z_SIZE = 1209, 8
NO_SHOTS = ("zero_shot", "general_net")
# arm -> (accuracy with one image per class, with many; numbers trained)
ARMS: dict[str, tuple[float, float, int]] = {
    "zero_shot": (0.50, 0.50, 0),
    "z_adapt": (0.80, 0.90, Z_SIZE),
    "z_adapt_random_generator": (0.60, 0.72, Z_SIZE),
    "random_subspace": (0.58, 0.70, Z_SIZE),
    "pca_subspace": (0.75, 0.86, Z_SIZE),
    "probe_last": (0.70, 0.88, 17),
    "bias_only": (0.66, 0.80, 33),
    "finetune_net": (0.74, 0.95, NUMBERS),
    "scratch_net": (0.65, 0.94, NUMBERS),
    "full_generator": (0.72, 0.94, 80_000),
    "general_net": (0.50, 0.50, 0),
    "repo_bug": (0.72, 0.93, 80_000),
}
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "E1": {"scheme": "anchor", "held_out": "tasks"},
    "E2": {"scheme": "mirror", "held_out": "flips"},
    "E2b": {"scheme": "mirror", "held_out": "pairs"},
    "E2d": {"scheme": "all_pairs", "held_out": "classes"},
}


def write_generator(
    folder: Path,
    experiment: str = "E2b",
    generator: str = "mlp",
    seed: int = 0,
    classes: int = 10,
    test: int = 3,
    validation: int = 0,
    arms: Mapping[str, tuple[float, float, int]] = ARMS,
    shots: Sequence[int] = (1, 5, 25),
    draws: int = 3,
    images: int = 60,
    use: float = 0.42,
    names: str = "class {}".format,
    multiclass: bool = True,
    noise: float = 0.03,
    **metadata: Any,
) -> Path:
    """The tables of one generator, as the training and the adaptation write them.

    Args:
        use: how much better than 0.5 a task's own z is, and worse the mirror's; 0 for a general network (then all z give 0.9).
        noise: spread of the accuracies over tasks; half of it over seeds.

    Returns:
        The folder.
    """
    how = EXPERIMENTS[experiment]
    class_names = [names(k) for k in range(classes)]
    tasks = build_tasks(how["scheme"], class_names)
    columns = task_columns(tasks, assign_sets(tasks, how["held_out"], test, validation), class_names)
    rng = np.random.default_rng([seed, len(tasks)])
    per_task = np.random.default_rng(11).normal(scale=noise, size=len(tasks)) + rng.normal(scale=noise / 2)
    common: dict[str, Any] = {"experiment": experiment, **how, "generator": generator, "bound": "tanh", "z": "learned", "z_size": Z_SIZE}
    common |= {"seed": seed, "classifier": "small", "numbers": NUMBERS, "parameters": 84_000, "macs": 12_345}
    common |= {"digest": "d", "dataset": "made up", "class_names": class_names, "generator_digest": f"g{seed}"} | metadata

    def write(path: str, frame: Mapping[str, Any], kind: str, extra: Mapping[str, Any] | None = None) -> None:
        write_frame(folder / path, frame, f"hypernetwork_{kind}", common | dict(extra or {}))

    write("tasks.parquet", columns, "tasks")
    trained = np.flatnonzero(columns["set"] == "train")
    _write_trained(write, columns, trained, use, images, rng)
    held_out = np.flatnonzero(columns["set"] == "test")
    for arm, (few, many, numbers) in arms.items():
        for n in (0,) if arm in NO_SHOTS else shots:
            how_far = np.log1p(n) / np.log1p(max(shots))
            mean = few + (many - few) * how_far + (0.38 if arm in NO_SHOTS and how["scheme"] == "anchor" else 0)
            _write_arm(write, arm, n, numbers, mean + per_task[held_out], held_out, 1 if n == 0 else draws, images, rng, common)
    if multiclass:
        _write_multiclass(folder / "multiclass.parquet", classes, common, rng)
    return folder


def adapted(folder: Path) -> list[Path]:
    """The arms' tables, as the workflow would name them."""
    return sorted(path for path in (folder / "adapt").glob("*.parquet") if not path.stem.endswith("_curve"))


def _write_trained(write: Any, columns: Mapping[str, Any], trained: np.ndarray, use: float, images: int, rng: np.random.Generator) -> None:
    mirror = columns["mirror"]
    rows = []
    for split, n in (("val", images // 2), ("test", images)):
        for i in trained:
            for j in trained:
                share = 0.9 if use == 0 else 0.5 + use * (i == j) - use * (mirror[i] == j)
                rows.append((i, j, split, n, rng.binomial(n, np.clip(share + 0.02 * rng.normal(), 0, 1))))
    task_i, z_j, split, n, correct = zip(*rows, strict=True)
    frame = {"task_i": np.int16(task_i), "z_j": np.int16(z_j), "split": np.array(split), "n": np.int32(n), "correct": np.int32(correct)}
    write("reliance.parquet", frame, "reliance")
    places = rng.normal(size=(len(columns["task"]), Z_SIZE)) * np.linspace(1.5, 0.3, Z_SIZE)
    z = np.where(columns["flipped"][:, None], -places[np.maximum(mirror, 0)], places) + 0.1 * rng.normal(size=places.shape)
    write("codes.parquet", {"task": trained.astype(np.int16), **{f"z_{d}": z[trained, d] for d in range(Z_SIZE)}}, "codes")
    layers = [("conv1.weight", 72), ("conv1.bias", 8), ("conv2.weight", 576), ("fc.weight", 512), ("output.weight", 16)]
    frame = {"layer": np.array([name for name, _ in layers]), "numbers": np.int64([size for _, size in layers])}
    frame |= {"variance_share": np.linspace(0.2, 0.9, 5), "effective_rank": np.linspace(2, 6, 5), "saturation": np.linspace(0, 0.3, 5)}
    write("layers.parquet", frame, "layers")
    rows = [
        (i, mirror[i], position, images, rng.binomial(images, 0.5 + use * np.tanh(6 * (0.5 - position)) / np.tanh(3)))
        for i in trained
        if mirror[i] in trained
        for position in np.linspace(0, 1, 11)
    ]
    task, other, position, n, correct = zip(*rows, strict=True) if rows else ([],) * 5
    frame = {"task": np.array(task, np.int16), "mirror": np.array(other, np.int16), "position": np.array(position, np.float64)}
    write("interpolation.parquet", frame | {"n": np.array(n, np.int32), "correct": np.array(correct, np.int32)}, "interpolation")


def _write_arm(
    write: Any,
    arm: str,
    shots: int,
    numbers: int,
    accuracy_H: np.ndarray,
    held_out: np.ndarray,
    draws: int,
    images: int,
    rng: np.random.Generator,
    common: Mapping[str, Any],
) -> None:
    tasks, half, steps = len(held_out), images // 2, 0 if shots == 0 else 100
    share = np.clip(np.repeat(accuracy_H, draws) + 0.02 * rng.normal(size=tasks * draws), 0.02, 0.98)
    positive, negative = rng.binomial(half, share), rng.binomial(images - half, share)
    rows = tasks * draws
    frame = {"arm": np.repeat(arm, rows), "shots": np.full(rows, shots, np.int16), "draw": np.tile(np.arange(draws, dtype=np.int16), tasks)}
    frame |= {"task": np.repeat(held_out, draws).astype(np.int16), "steps": np.full(rows, steps, np.int32)}
    frame |= {"learning_rate": np.full(rows, 0.01), "trained_numbers": np.full(rows, numbers, np.int64)}
    frame |= {
        "n": np.full(rows, images, np.int32),
        "correct": (positive + negative).astype(np.int32),
        "correct_positive": positive.astype(np.int32),
    }
    frame |= {"n_positive": np.full(rows, half, np.int32), "cross_entropy": -np.log(share), "auc": np.clip(share + 0.03, 0, 1)}
    frame |= {"steps_to_95": np.full(rows, 0 if shots == 0 else 20.0)}
    moved = arm in ("full_generator", "repo_bug")
    after = {"generator_digest_after": "other" if moved else common["generator_digest"], "frozen": not moved}
    write(f"adapt/{arm}_{shots}.parquet", frame, "adapt", after)
    at = np.array([0]) if steps == 0 else np.arange(0, 101, 10)
    way = 1 - np.exp(-at / 20) if steps else np.ones(1)
    accuracy = 0.5 + (share[:, None] - 0.5) * way
    curve = {name: np.repeat(frame[name], len(at)) for name in ("task", "draw")} | {"step": np.tile(at, rows).astype(np.int32)}
    curve |= {"support_loss": (0.7 - 0.6 * np.tile(way, (rows, 1))).ravel(), "test_loss": (1 - accuracy).ravel() * 1.4}
    write(f"adapt/{arm}_{shots}_curve.parquet", curve | {"test_accuracy": accuracy.ravel()}, "curve", after)


def _write_multiclass(path: Path, classes: int, common: Mapping[str, Any], rng: np.random.Generator, n: int = 400) -> None:
    labels_N = rng.integers(0, classes, n)
    logits_NK = rng.normal(size=(n, classes))
    logits_NK[np.arange(n), labels_N] += 2.2
    p_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    split = np.array(["val", "test"])[np.arange(n) % 2]
    ids = np.arange(n, dtype=np.int32)
    own = {"network": f"{common['experiment']}_{common['generator']}", "macs": classes * common["macs"], "parameters": common["parameters"]}
    zeros_N = np.zeros(n, np.float32)
    table = Probabilities(ids, split, labels_N.astype(np.int16), dict(common) | own, p_NK=p_NK.astype(np.float32), log_partition=zeros_N)
    write_probabilities(path, table)


def make_run(folder: Path, parts: Sequence[Mapping[str, Any]], seeds: Sequence[int] = (0,), figures: Sequence[str] = ()) -> Path:
    """A run's folder with its collected tables and page.

    Args:
        parts: arguments of `write_generator`, one for each experiment and generator.
    """
    evaluations = []
    for seed in seeds:
        for part in parts:
            name = f"{part.get('experiment', 'E2b')}_{part.get('generator', 'mlp')}"
            mine = write_generator(folder / f"hypernetwork/seed_{seed}/{name}", seed=seed, **part)
            table = mine / "multiclass.parquet"
            evaluations.append(mine / "evaluation")
            evaluate_hypernetwork(
                generator=mine, adapted=adapted(mine), output=evaluations[-1], multiclass=table if table.is_file() else None
            )
    collect_hypernetwork(evaluations=evaluations, output=folder, figures=list(figures))
    return folder
