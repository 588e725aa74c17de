"""What is known of images: which there are, and what a network, an expert or a gate says about each. Rows of the tables between stages.

A class is a kind of table, and its `COLUMNS` are the one declaration that writer, reader, checks and import follow: a new column is
one line there, a new kind one class. Shapes: N images, K classes, E experts.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from metann.tables import checks
from metann.tables.checks import SPLITS as SPLITS
from metann.tables.checks import Column
from metann.tables.columns import to_arrow, to_dictionary

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Samples:
    """Which images there are.

    Attributes:
        sample_id: (N,) int32, unique over all splits.
        split: (N,) text, one of `SPLITS`.
        label: (N,) int16 in 0..K-1.
        metadata: what the table says of itself; `dataset`, `digest` and `class_names` at least.
        file: where it was read from; None for a table that was made here.
    """

    KIND: ClassVar[str] = "samples"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("sample_id", "sample_id", np.int32, checks.unique),
        Column("split", "split", str, checks.known_splits),
        Column("label", "label", np.int16, checks.classes),
    )

    sample_id: np.ndarray
    split: np.ndarray
    label: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)
    file: Path | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.sample_id)

    @property
    def where(self) -> str:
        """The file that the table came from, for errors."""
        return str(self.file) if self.file is not None else "a table in memory"

    @property
    def network(self) -> str:
        """Whose answers these are: what the table says of itself, or the file's name."""
        return str(self.metadata.get("network") or (self.file.stem if self.file is not None else "unnamed"))

    @property
    def classes(self) -> int | None:
        """K; None where the table does not say."""
        names = self.metadata.get("class_names")
        return len(names) if names else None

    def rows(self, split: str) -> np.ndarray:
        """(n,) int64 positions of a split's images in this table."""
        return np.flatnonzero(self.split == split)

    def take(self, rows: np.ndarray) -> Self:
        """These rows, in this order."""
        return replace(self, **{column.field: getattr(self, column.field)[rows] for column in self.COLUMNS})

    def select(self, split: str) -> Self:
        """The rows of one split."""
        return self.take(self.rows(split))

    def to_pandas(self) -> "pd.DataFrame":
        """One row per image; probabilities as columns p_0 .. p_{K-1}."""
        return as_arrow(self).to_pandas()


_PROBABILITIES = Column("p_NK", "p_", np.float32, checks.distributions("the probabilities", "; are they logits?"), least=2)


@dataclass(frozen=True)
class Probabilities(Samples):
    """What one network says about every image.

    Attributes:
        p_NK: (N, K) float32 class probabilities in eval mode; rows sum to 1.
        log_partition: (N,) float32, logsumexp of the logits: logit_k = log p_k + log_partition.
    """

    KIND = "probabilities"
    COLUMNS = (*Samples.COLUMNS, _PROBABILITIES, Column("log_partition", "log_partition", np.float32))

    p_NK: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    log_partition: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def classes(self) -> int:
        """K."""
        return self.p_NK.shape[1]


@dataclass(frozen=True)
class ExpertProbabilities(Samples):
    """What one expert says: the probability that an image belongs to the expert's class.

    Attributes:
        expert_probability: (N,) float64 in [0, 1]: its odds count, and next to 1 a float32 has lost them.
    """

    KIND = "expert_probabilities"
    COLUMNS = (*Samples.COLUMNS, Column("expert_probability", "expert_probability", np.float64, checks.share))

    expert_probability: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Gate(Samples):
    """What one mixture says about every image.

    Attributes:
        gate_NE: (N, E) float32, the gate's distribution after the routing of evaluation; rows sum to 1 (top-1: a one and zeros).
        expert: (N,) int16 in 0..E-1, the first largest of the gate row.
        answer_NE: (N, E) int16 in 0..K-1, the class that each expert alone would say.
        p_NK: (N, K) float32, the mixture's class probabilities; rows sum to 1.
        macs: (N,) float64, multiply-accumulates that the image's own route costs.
    """

    KIND = "gate"
    COLUMNS = (
        *Samples.COLUMNS,
        Column("gate_NE", "g_", np.float32, checks.distributions("the gate's shares")),
        Column("expert", "expert", np.int16, checks.first_largest),
        Column("answer_NE", "y_", np.int16, checks.answers),
        _PROBABILITIES,
        Column("macs", "macs", np.float64, checks.cost),
    )

    gate_NE: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    expert: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    answer_NE: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    p_NK: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    macs: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def classes(self) -> int:
        """K."""
        return self.p_NK.shape[1]

    @property
    def experts(self) -> int:
        """E."""
        return self.gate_NE.shape[1]

    @property
    def prediction(self) -> np.ndarray:
        """(N,) class that the mixture says, the first of equals."""
        return self.p_NK.argmax(axis=1)


def as_arrow(table: Samples) -> pa.Table:
    """One row per image; the columns of the table files."""
    columns: dict[str, pa.Array] = {}
    for column in table.COLUMNS:
        values = getattr(table, column.field)
        if column.several:
            values_CN = np.ascontiguousarray(np.asarray(values, column.dtype).T)
            columns |= {f"{column.name}{i}": to_arrow(values_N) for i, values_N in enumerate(values_CN)}
        else:
            columns[column.name] = to_dictionary(values) if column.dtype is str else to_arrow(np.asarray(values, column.dtype))
    return pa.table(columns)
