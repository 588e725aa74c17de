"""Reading and writing what a mixture says of every image: gate.parquet, the table between training and everything after it.

Shapes: N images, E experts, K classes. Columns: sample_id, split, label, g_0 .. g_{E-1}, expert, y_0 .. y_{E-1}, p_0 .. p_{K-1}, macs.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError
from metann.files import atomic
from metann.tables.columns import to_arrow, to_numpy
from metann.tables.frames import read_arrow
from metann.tables.join import align
from metann.tables.probabilities import SCHEMA_VERSION, _check, _columns, _keys, _numbers, one_line, read_probabilities
from metann.tables.samples import Probabilities, Samples, as_arrow
from metann.tables.sealed import CURE, seal

KIND = "gate"
HISTORY = ("step", "epoch", "phase", "expert", "usage", "val_accuracy", "val_loss")
ANSWERS = ("sample_id", "split", "label", "right")


@dataclass(frozen=True)
class Gate(Samples):
    """What one mixture says about every image.

    Attributes:
        gate_NE: (N, E) float32, the gate's distribution after the routing of evaluation; rows sum to 1 (top-1: a one and zeros).
        expert: (N,) int16, the first largest of the gate row.
        answer_NE: (N, E) int16, the class that each expert alone would say.
        p_NK: (N, K) float32, the mixture's class probabilities; rows sum to 1.
        macs: (N,) float64, multiply-accumulates that the image's own route costs.

    The metadata say `setting`, `preset`, `seed`, `parameters`, `architecture` (of an expert), `class_sets` (one list of classes for each
    expert, or None) and `options` (everything that the setting chooses, as the configuration has it), beside the keys of `Samples`.
    """

    gate_NE: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    expert: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    answer_NE: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    p_NK: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    macs: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def experts(self) -> int:
        """E."""
        return self.gate_NE.shape[1]

    @property
    def prediction(self) -> np.ndarray:
        """(N,) class that the mixture says, the first of equals."""
        return self.p_NK.argmax(axis=1)


def write_gate(path: Path, table: Gate) -> None:
    """Write gate.parquet, whole or not at all, after the checks of `read_gate`."""
    path = Path(path)
    _check_gate(path, table)
    keys = as_arrow(Samples(table.sample_id, table.split, table.label))
    columns: dict[str, Any] = {name: keys.column(name) for name in keys.column_names}
    columns |= {f"g_{e}": to_arrow(g_N) for e, g_N in enumerate(np.ascontiguousarray(np.asarray(table.gate_NE, np.float32).T))}
    columns["expert"] = to_arrow(np.asarray(table.expert, np.int16))
    columns |= {f"y_{e}": to_arrow(y_N) for e, y_N in enumerate(np.ascontiguousarray(np.asarray(table.answer_NE, np.int16).T))}
    columns |= {f"p_{k}": to_arrow(p_N) for k, p_N in enumerate(np.ascontiguousarray(np.asarray(table.p_NK, np.float32).T))}
    columns["macs"] = to_arrow(np.asarray(table.macs, np.float64))
    arrow = seal(pa.table(columns), table.metadata | {"schema": SCHEMA_VERSION, "kind": KIND})
    with atomic(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def read_gate(path: Path) -> Gate:
    """Read gate.parquet, all splits.

    Raises:
        MetannError: missing, truncated or foreign file, columns that are missing, rows that are no distributions, an expert that is
            not the first largest of its row, or classes and costs out of range. One line that names the file.
    """
    path = Path(path)
    columns, metadata = _columns(path, KIND)
    wide = {letter: _numbered(path, columns, letter) for letter in "gyp"}
    values = {letter: np.stack([_numbers(path, columns, name) for name in names], axis=1) for letter, names in wide.items()}
    expert, macs = _numbers(path, columns, "expert"), _numbers(path, columns, "macs")
    keys = _keys(path, columns)
    table = Gate(*keys, metadata, gate_NE=values["g"], expert=expert, answer_NE=values["y"], p_NK=values["p"], macs=macs)
    _check_gate(path, table)
    return table


def _numbered(path: Path, columns: dict[str, Any], letter: str) -> list[str]:
    names = sorted((name for name in columns if name[:2] == f"{letter}_" and name[2:].isdigit()), key=lambda name: int(name[2:]))
    if not names or names != [f"{letter}_{i}" for i in range(len(names))]:
        raise MetannError(f"{path}: columns {one_line(columns)} have no {letter}_0, {letter}_1, ... without a gap; {CURE}")
    return names


def _check_gate(path: Path, table: Gate) -> None:
    n, experts = len(table), table.experts
    _check(path, Probabilities(table.sample_id, table.split, table.label, table.metadata, p_NK=table.p_NK, log_partition=np.zeros(n)))
    shapes = {"gate_NE": (n, experts), "expert": (n,), "answer_NE": (n, experts), "macs": (n,)}
    for name, wanted in shapes.items():
        if getattr(table, name).shape != wanted:
            raise MetannError(f"{path}: {name} has shape {getattr(table, name).shape}, needed: {wanted}; {CURE}")
    sums_N = table.gate_NE.sum(axis=1, dtype=np.float64)
    classes = table.p_NK.shape[1]
    checks = [
        ((np.abs(sums_N - 1) <= 1e-4) & (table.gate_NE >= 0).all(axis=1), "has a gate row that is no distribution"),
        (table.expert == table.gate_NE.argmax(axis=1), "names an expert that is not the first largest of its gate row"),
        (((table.answer_NE >= 0) & (table.answer_NE < classes)).all(axis=1), f"has an expert's answer outside 0 .. {classes - 1}"),
        (np.isfinite(table.macs) & (table.macs >= 0), "has multiply-accumulates below 0 or without a number"),
    ]
    for good_N, what in checks:
        if not good_N.all():
            raise MetannError(f"{path}: sample {table.sample_id[int(np.argmin(good_N))]} {what} ({int((~good_N).sum())} such rows); {CURE}")


@dataclass(frozen=True)
class Answers:
    """Whether a mixture or a control is right, image by image.

    Attributes:
        name: of the setting or the control.
        seed: of its training.
        sample_id, split, right: (N,), of all images.
        macs: multiply-accumulates per image, NaN where unknown.
        likelihood: (N,) float64 probability of the true class.
        metadata: of the table that it was read from.
    """

    name: str
    seed: int
    sample_id: np.ndarray
    split: np.ndarray
    right: np.ndarray
    macs: float
    likelihood: np.ndarray
    metadata: dict[str, Any]


def read_control(path: Path, reference: Samples, reference_path: Path) -> Answers:
    """A control's probabilities.parquet, in the order of a gate table's images.

    Raises:
        MetannError: as `read_probabilities` and `align`; or a table that does not name its network and seed.
    """
    table = read_probabilities(path)
    for key in ("network", "seed"):
        if table.metadata.get(key) is None:
            raise MetannError(f"{path} does not say of which {key} it is; give tables that export-probabilities wrote")
    positions = align(reference, table, reference_path, path)
    p_NK, macs = table.p_NK[positions], table.metadata.get("macs")
    return Answers(
        str(table.metadata["network"]),
        int(table.metadata["seed"]),
        reference.sample_id,
        reference.split,
        p_NK.argmax(axis=1) == reference.label,
        float("nan") if macs is None else float(macs),
        p_NK[np.arange(len(p_NK)), reference.label].astype(np.float64),
        table.metadata,
    )


def read_history(path: Path, experts: int) -> dict[str, list[Any]]:
    """training.csv as columns: step (1, 2, ... over all phases), epoch, phase, expert, usage, val_accuracy, val_loss; a row per expert.

    Raises:
        MetannError: missing, or without the columns that a mixture's training writes.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise MetannError(f"cannot read {path} ({error.strerror}); run train-mixture first") from None
    wanted = ["epoch", "phase", "val_accuracy", "val_loss", *(f"usage_{e}" for e in range(experts))]
    if rows and (missing := [name for name in wanted if name not in rows[0]]):
        raise MetannError(f"{path} has no column {missing[0]!r}; is it the training.csv of a mixture with {experts} experts?")
    columns: dict[str, list[Any]] = {name: [] for name in HISTORY}
    for step, row in enumerate(rows, 1):
        for e in range(experts):
            values = (step, int(float(row["epoch"])), row["phase"], e, *(float(row[n]) for n in (f"usage_{e}", "val_accuracy", "val_loss")))
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
    return columns


def answers_columns(gate: Gate) -> dict[str, np.ndarray]:
    """Whether a mixture is right, image by image: the columns of answers.parquet."""
    return dict(zip(ANSWERS, (gate.sample_id, gate.split, gate.label, gate.prediction == gate.label), strict=True))


def read_answers(path: Path) -> tuple[Samples, np.ndarray]:
    """(the images, whether the mixture is right), as evaluate-mixture wrote them."""
    arrow, metadata = read_arrow(path, "mixture_answers")
    sample_id, label, right = (to_numpy(arrow.column(name)) for name in ("sample_id", "label", "right"))
    split = np.asarray(arrow.column("split").to_pylist())
    return Samples(sample_id, split, label, metadata), right
