"""What the meta neural network's stages read: tables of a switch and its experts, evaluations, sets of experts, controls."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from metann.errors import MetannError, one_of
from metann.files.headers import read_sealed_json
from metann.mnn.expert_sets import SetHeader
from metann.mnn.prefix import Prefix
from metann.mnn.setting import functions_of
from metann.mnn.training_length import Trained
from metann.tables.frames import read_arrow
from metann.tables.join import joined
from metann.tables.probabilities import read_expert_answers, read_probabilities
from metann.tables.samples import Probabilities, Samples
from metann.tables.sealed import CURE
from metann.training.history import read_history

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("val", "test")
Table = TypeVar("Table", bound=Samples)


def evaluated(table: Table) -> Table:
    """The validation and test images of a table: experts know no others."""
    return table.take(np.flatnonzero(np.isin(table.split, SPLITS)))


def read_experts(paths: list[Path], dataset_threshold: float, switch: Probabilities) -> tuple[np.ndarray, list[dict]]:
    """What experts say, in the order of the switch's rows and classes, and what each expert's table says of itself.

    Returns:
        (N, K) float64, column c what expert c says of its class; or (N, K, K) float32, [n, c] what expert c says of all classes; and K
        dictionaries.
    """
    classes = switch.p_NK.shape[1]
    answers: np.ndarray | None = None
    found: dict[int, Samples] = {}  # without their rows: those of 1,000 experts are ten times the table that is made
    for path in paths:
        expert = evaluated(read_expert_answers(path))
        c, trained_at, seed = (expert.metadata.get(key) for key in ("class", "dataset_threshold", "seed"))
        if not isinstance(c, int) or not 0 <= c < classes:
            raise MetannError(f"{path} is for class {c!r}; the switch knows 0 .. {classes - 1}")
        if c in found:
            raise MetannError(f"class {c} is given twice: {found[c].where} and {path}; give one expert table for each class")
        if trained_at is not None and abs(trained_at - dataset_threshold) > 1e-9:
            raise MetannError(
                f"{path} was trained at dataset threshold {trained_at}, not {dataset_threshold}; give the tables of one threshold"
            )
        if (other := switch.metadata.get("seed")) is not None and seed is not None and seed != other:
            raise MetannError(f"{path} is of seed {seed}, {switch.where} of seed {other}; give tables of one seed")
        if (name := switch.metadata.get("network")) is not None and expert.metadata.get("switch", name) != name:
            raise MetannError(f"{path} is of switch {expert.metadata['switch']!r}, {switch.where} of {name!r}; give the switch's own table")
        same = joined(switch, expert)
        says = same.p_NK if isinstance(same, Probabilities) else same.expert_probability
        if answers is None:
            answers = np.empty((len(switch), classes, *says.shape[1:]), says.dtype)
        elif answers.ndim != says.ndim + 1:
            first = next(iter(found.values())).where
            raise MetannError(f"of {first} and {path} one is for one class and one for all: 2 kinds are given; give one kind")
        answers[:, c] = says
        found[c] = expert.take(np.arange(0))
    if missing := [c for c in range(classes) if c not in found]:
        raise MetannError(f"no expert table for class {missing[0]} ({len(missing)} of {classes} missing); give one for each class")
    assert answers is not None  # there are two classes or more
    return answers, [found[c].metadata for c in range(classes)]


def evaluation_metadata(table: Probabilities, experts: list[dict]) -> dict[str, Any]:
    given = table.metadata
    names = given.get("class_names") or [str(k) for k in range(table.p_NK.shape[1])]
    seeds = {expert["seed"] for expert in experts if expert.get("seed") is not None} | ({given.get("seed")} - {None})
    macs = [expert.get("macs") for expert in experts]
    trunks = [expert["trunk_macs"] for expert in experts if expert.get("trunk_macs")]
    return {
        "dataset": given.get("dataset"),
        "digest": given.get("digest"),
        "class_names": names,
        "seed": min(seeds, default=0),
        "network": given.get("network"),
        "architecture": given.get("architecture"),
        "switch_macs": given.get("macs"),
        "expert_macs": None if None in macs else sum(macs) / len(macs),
        **({"trunk_macs": trunks[0]} if trunks else {}),
        "states": [expert.get("state") for expert in experts],
    }


def read_evaluations(folders: Sequence[Path]) -> list[Prefix]:
    """Prefix tables in order of seed and dataset threshold, all of one dataset and one way to evaluate."""
    found = []
    for folder in folders:
        path = folder / "prefix.parquet" if folder.suffix != ".parquet" else folder
        arrow, metadata = read_arrow(path, "prefix")
        columns = {name: arrow.column(name).to_numpy() for name in arrow.column_names}
        try:
            found.append(replace(Prefix.of(columns, metadata), file=path))
        except MetannError as error:
            raise MetannError(f"{path}: {error}; {CURE}") from None
    if not found:
        raise MetannError("no evaluation given; give the folders that evaluate-mnn wrote")
    found.sort(key=lambda prefix: (prefix.metadata["seed"], prefix.metadata["dataset_threshold"]))
    first = found[0]
    seen: dict[tuple[int, float], str] = {}
    for prefix in found:
        for key in ("digest", "class_names", "combine", "temperature", "network", "switch_functions"):
            if prefix.metadata.get(key) != first.metadata.get(key):
                raise MetannError(f"{prefix.where} has another {key} than {first.where}; evaluate both in one run")
        if prefix.splits != ("val", "test"):
            raise MetannError(
                f"{prefix.where} has no {'test' if 'val' in prefix.splits else 'val'} images; both are needed: val chooses, test reports"
            )
        cell = prefix.metadata["seed"], prefix.metadata["dataset_threshold"]
        if cell in seen:
            raise MetannError(f"seed {cell[0]} and dataset threshold {cell[1]} are given twice: {seen[cell]} and {prefix.where}")
        seen[cell] = prefix.where
    seeds, thresholds = sorted({seed for seed, _ in seen}), sorted({threshold for _, threshold in seen})
    for seed in seeds:
        for threshold in thresholds:
            if (seed, threshold) not in seen:
                raise MetannError(f"seed {seed} has no dataset threshold {threshold}, other seeds have; evaluate it too")
    return found


def read_cells(found: Sequence[Prefix]) -> "pd.DataFrame":
    """results.parquet: the cells that each prefix table, as it was read, names."""
    files = [prefix.file.parent / "cells" / f"{f.slug}.parquet" for prefix in found for f in functions_of(prefix)]
    parts = [read_arrow(file, "cell")[0] for file in files]
    return pa.concat_tables(part.replace_schema_metadata(None) for part in parts).to_pandas()


def read_self_checks(found: Sequence[Prefix]) -> "pd.DataFrame":
    """What evaluate-mnn wrote of each expert on its own question, beside the prefix tables."""
    parts = [read_arrow(prefix.file.parent / "self_check.parquet", "self_check")[0] for prefix in found]
    return pa.concat_tables(part.replace_schema_metadata(None) for part in parts).to_pandas()


def read_controls(paths: Sequence[Path], seeds: set[int]) -> list[Probabilities]:
    """Validation and test images of networks of these seeds, or of none."""
    found = [evaluated(read_probabilities(path)) for path in paths]
    for table in found:
        if table.metadata.get("seed") not in {*seeds, None}:
            raise MetannError(f"control {table.where} is of seed {table.metadata['seed']}; the evaluations have {one_of(seeds)}")
    return found


def read_trainings(folder: Path, switch: Probabilities) -> list[Trained]:
    """How long each expert of a dataset threshold was trained; those that were not are left out.

    Args:
        folder: of the dataset threshold, with class_0, class_1 and so on.
        switch: its table, whose multiply-accumulates are 1.

    Raises:
        MetannError: an expert is missing, or its files are not what train-expert wrote.
    """
    found = []
    for c in range(switch.p_NK.shape[1]):
        of_class = folder / f"class_{c}"
        facts, epochs = read_sealed_json(of_class / "expert_set.json", SetHeader), len(read_history(of_class / "training.csv"))
        macs, whole = read_expert_answers(of_class / "expert_probabilities.parquet").metadata.get("macs"), switch.metadata.get("macs")
        if epochs:
            found.append(Trained(int(facts["size"]), epochs, macs / whole if macs and whole else 1.0))
    return found


def read_expert_sets(paths: Sequence[Path], class_names: Sequence[str]) -> "pd.DataFrame":
    """One row per seed, dataset threshold, expert and true class: how many images of the class the expert learned from."""
    import pandas as pd

    files = [file for path in paths for file in (sorted(path.rglob("expert_set.json")) if path.is_dir() else [path])]
    rows: list[dict[str, Any]] = []
    for file in files:
        facts = read_sealed_json(file, SetHeader)
        described = {key: facts[key] for key in ("seed", "dataset_threshold", "class", "state", "size", "val_size")}
        pairs = list(zip(facts["composition"], facts["val_composition"], strict=True))
        if len(pairs) != len(class_names) or facts["class"] >= len(class_names):
            raise MetannError(f"{file} counts {len(pairs)} classes, the evaluations have {len(class_names)}; give the sets of this run")
        described["class_name"] = class_names[facts["class"]]
        rows += [
            described | {"true_class": c, "true_name": class_names[c], "images": images, "val_images": val_images}
            for c, (images, val_images) in enumerate(pairs)
        ]
    columns = [
        "seed",
        "dataset_threshold",
        "class",
        "class_name",
        "true_class",
        "true_name",
        "images",
        "val_images",
        "size",
        "val_size",
        "state",
    ]
    return pd.DataFrame(rows, columns=columns).sort_values([*columns[:3], "true_class"], ignore_index=True)
