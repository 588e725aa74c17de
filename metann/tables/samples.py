"""What is known of images: which there are, and what a network or an expert says about each. Rows of the tables between stages.

Shapes: N images, K classes.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from metann.tables.columns import to_arrow, to_dictionary

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Samples:
    """Which images there are.

    Attributes:
        sample_id: (N,) int32, unique over all splits.
        split: (N,) text, one of `SPLITS`.
        label: (N,) int16 in 0..K-1.
        metadata: what the table says of itself; `dataset`, `digest` and `class_names` at least.
    """

    sample_id: np.ndarray
    split: np.ndarray
    label: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sample_id)

    def rows(self, split: str) -> np.ndarray:
        """(n,) int64 positions of a split's images in this table."""
        return np.flatnonzero(self.split == split)

    def select(self, split: str) -> "Samples":
        """The rows of one split."""
        rows = self.rows(split)
        columns = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **columns)

    def to_pandas(self) -> "pd.DataFrame":
        """One row per image; probabilities as columns p_0 .. p_{K-1}."""
        return as_arrow(self).to_pandas()


@dataclass(frozen=True)
class Probabilities(Samples):
    """What one network says about every image.

    Attributes:
        p_NK: (N, K) float32 class probabilities in eval mode; rows sum to 1.
        log_partition: (N,) float32, logsumexp of the logits: logit_k = log p_k + log_partition.
    """

    p_NK: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    log_partition: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True)
class ExpertProbabilities(Samples):
    """What one expert says: the probability that an image belongs to the expert's class.

    Attributes:
        expert_probability: (N,) float64 in [0, 1]: its odds count, and next to 1 a float32 has lost them.
    """

    expert_probability: np.ndarray = field(default_factory=lambda: np.zeros(0))


def as_arrow(table: Samples) -> pa.Table:
    """One row per image; the columns of the table files."""
    columns: dict[str, pa.Array] = {
        "sample_id": to_arrow(np.asarray(table.sample_id, np.int32)),
        "split": to_dictionary(table.split),
        "label": to_arrow(np.asarray(table.label, np.int16)),
    }
    if isinstance(table, Probabilities):
        p_KN = np.ascontiguousarray(np.asarray(table.p_NK, np.float32).T)
        columns |= {f"p_{k}": to_arrow(p_N) for k, p_N in enumerate(p_KN)}
        columns["log_partition"] = to_arrow(np.asarray(table.log_partition, np.float32))
    if isinstance(table, ExpertProbabilities):
        columns["expert_probability"] = to_arrow(np.asarray(table.expert_probability, np.float64))
    return pa.table(columns)
