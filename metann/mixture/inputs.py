"""What the evaluation of mixtures reads: right or wrong of every run and control, image by image, and the course of a training.

Shapes: N images. The table of a mixture's answers itself, gate.parquet, is one of `metann.tables`.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.tables.columns import to_numpy
from metann.tables.frames import read_arrow
from metann.tables.join import joined
from metann.tables.probabilities import read_probabilities
from metann.tables.samples import Gate, Samples

HISTORY = ("step", "epoch", "phase", "expert", "usage", "val_accuracy", "val_loss")
ANSWERS = ("sample_id", "split", "label", "right")


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


def read_control(path: Path, reference: Samples) -> Answers:
    """A control's probabilities.parquet, in the order of the images of `reference`.

    Raises:
        MetannError: as `read_probabilities` and `joined`; or a table that does not name its network and seed.
    """
    table = joined(reference, read_probabilities(path))
    for key in ("network", "seed"):
        if table.metadata.get(key) is None:
            raise MetannError(f"{path} does not say of which {key} it is; give tables that export-probabilities wrote")
    macs = table.metadata.get("macs")
    return Answers(
        table.network,
        int(table.metadata["seed"]),
        table.sample_id,
        table.split,
        table.p_NK.argmax(axis=1) == table.label,
        float("nan") if macs is None else float(macs),
        table.p_NK[np.arange(len(table)), table.label].astype(np.float64),
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
    return Samples(sample_id, split, label, metadata, file=path), right
