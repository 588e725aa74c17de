"""A run without networks: tables of a switch, its experts and a control, as the training stages would leave them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metann import layout
from metann.config.mnn import MnnEvaluation
from metann.config.section import read_section
from metann.files.text import write_json
from metann.stages.collect_mnn import collect_mnn
from metann.stages.evaluate_mnn import evaluate_mnn
from metann.tables.probabilities import (
    ExpertProbabilities,
    Probabilities,
    read_expert_probabilities,
    read_probabilities,
    write_expert_probabilities,
    write_probabilities,
)

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.9, 1.0)
FUNCTIONS = ("top_k(2)", "top_p(0.9)", "only_if_unsure(0.6, 2)", "none", "all")


def softmax(score_NK: np.ndarray) -> np.ndarray:
    p_NK = np.exp(score_NK - score_NK.max(axis=1, keepdims=True))
    return p_NK / p_NK.sum(axis=1, keepdims=True)


def write_switch(path: Path, p_NK: np.ndarray, labels_N: np.ndarray, split_N: np.ndarray, **metadata: object) -> dict[str, object]:
    """Write a network's table and return its metadata."""
    classes = p_NK.shape[1]
    described = {"dataset": "synthetic", "digest": "d1", "class_names": [f"class {c}" for c in range(classes)], "network": "switch"}
    described |= {"seed": 0, "architecture": "small_cnn", "macs": 1_000_000} | metadata
    ids = np.arange(len(labels_N), dtype=np.int32)
    log_partition = np.zeros(len(labels_N), np.float32)
    write_probabilities(
        path,
        Probabilities(ids, split_N, labels_N.astype(np.int16), described, p_NK=p_NK.astype(np.float32), log_partition=log_partition),
    )
    return described


def write_expert(path: Path, answers_N: np.ndarray, labels_N: np.ndarray, split_N: np.ndarray, **metadata: object) -> None:
    """Write an expert's table: its validation and test images only."""
    rows = np.flatnonzero(split_N != "train")
    ids = rows.astype(np.int32)
    answers = answers_N[rows].astype(np.float32)
    write_expert_probabilities(
        path, ExpertProbabilities(ids, split_N[rows], labels_N[rows].astype(np.int16), dict(metadata), expert_probability=answers)
    )


def expert_path(folder: Path, seed: int, threshold: float, c: int) -> Path:
    return layout.place(folder, layout.EXPERT, seed=seed, dataset_threshold=threshold, c=c)


def make_tables(
    folder: Path,
    *,
    classes: int = 4,
    val: int = 300,
    test: int = 1000,
    train: int = 40,
    seeds: Sequence[int] = (0,),
    dataset_thresholds: Sequence[float] = (0.1, 0.2),
    skill: float = 0.0,
    switch_skill: float = 1.5,
    macs: int | None = 1_000_000,
    names: Callable[[int], str] = "class {}".format,
) -> None:
    """Tables of switch, experts and a control network `wide`.

    `skill` is what the experts know beyond the switch: the mean of their log-odds against their own class or for it. 0 makes
    experts that answer noise around 1/K, the null hypothesis.
    """
    rng = np.random.default_rng(42)
    n = train + val + test
    split_N = np.repeat(np.array(["train", "val", "test"]), [train, val, test])
    labels_N = rng.integers(0, classes, n)
    one_hot_NK = np.eye(classes)[labels_N]
    class_names = [names(c) for c in range(classes)]
    for seed in seeds:
        p_NK = softmax(1.5 * (switch_skill * one_hot_NK + rng.normal(size=(n, classes))))
        common = {"seed": seed, "macs": macs, "class_names": class_names}
        described = write_switch(
            folder / "networks" / "switch" / f"seed_{seed}" / "probabilities.parquet", p_NK, labels_N, split_N, **common
        )
        wide_NK = softmax(1.5 * ((switch_skill + 0.1) * one_hot_NK + rng.normal(size=(n, classes))))
        wide = common | {"network": "wide", "macs": macs and 2.2 * macs}
        write_switch(folder / "networks" / "wide" / f"seed_{seed}" / "probabilities.parquet", wide_NK, labels_N, split_N, **wide)
        for threshold in dataset_thresholds:
            for c in range(classes):
                logit_N = skill * (2 * one_hot_NK[:, c] - 1) + 0.7 * rng.normal(size=n) - np.log(classes - 1)
                path = expert_path(folder, seed, threshold, c)
                keys = {key: described[key] for key in ("dataset", "digest", "class_names")}
                keys |= {"class": c, "dataset_threshold": threshold, "seed": seed, "state": "trained", "macs": macs and 0.4 * macs}
                write_expert(path / "expert_probabilities.parquet", 1 / (1 + np.exp(-logit_N)), labels_N, split_N, **keys)
                counts = {
                    split: np.bincount(labels_N[(split_N == split) & (p_NK[:, c] >= threshold)], minlength=classes).tolist()
                    for split in ("train", "val")
                }
                facts = {"class": c, "dataset_threshold": threshold, "seed": seed, "state": "trained"}
                facts |= {"size": sum(counts["train"]), "positives": counts["train"][c], "composition": counts["train"]}
                write_json(path / "expert_set.json", facts | {"val_size": sum(counts["val"]), "val_composition": counts["val"]})


def evaluate(folder: Path, seed: int, threshold: float, **options: object) -> Path:
    """Evaluate one dataset threshold; returns the folder of the evaluation."""
    output = layout.place(folder, layout.EVALUATION, seed=seed, dataset_threshold=threshold)
    experts = sorted(expert_path(folder, seed, threshold, 0).parent.glob("class_*/expert_probabilities.parquet"))
    arguments = {"test_thresholds": list(THRESHOLDS), "switch_functions": list(FUNCTIONS)} | options
    switch = folder / "networks" / "switch" / f"seed_{seed}" / "probabilities.parquet"
    evaluate_mnn(switch=switch, experts=experts, dataset_threshold=threshold, output=output, options=read_section(MnnEvaluation, arguments))
    return output


def make_run(folder: Path, *, options: dict[str, object] | None = None, collect: dict[str, object] | None = None, **tables: object) -> Path:
    """Tables, evaluations and collected results; returns the run's folder."""
    make_tables(folder, **tables)
    seeds, thresholds = tables.get("seeds", (0,)), tables.get("dataset_thresholds", (0.1, 0.2))
    evaluations = [evaluate(folder, seed, threshold, **options or {}) for seed in seeds for threshold in thresholds]
    controls = sorted(folder.glob("networks/wide/*/probabilities.parquet"))
    collect_mnn(evaluations=evaluations, output=folder, expert_sets=[folder / "mnn"], controls=controls, **collect or {})
    return folder


def relabel_test(folder: Path, classes: int) -> None:
    """Give all test images of a run new labels, in every table."""
    new = np.random.default_rng(7).integers(0, classes, 10**5)
    for path in folder.rglob("*probabilities.parquet"):
        expert = path.name.startswith("expert")
        table = (read_expert_probabilities if expert else read_probabilities)(path)
        label = np.where(table.split == "test", new[table.sample_id], table.label).astype(np.int16)
        (write_expert_probabilities if expert else write_probabilities)(path, replace(table, label=label))
