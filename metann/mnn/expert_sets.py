"""Which images an expert learns from. N images, K classes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


def active(probability_N: np.ndarray, dataset_threshold: float) -> np.ndarray:
    """(N,) bool: the images whose probability for the expert's class reaches the threshold (in float64, as everywhere)."""
    return np.asarray(probability_N, np.float64) >= dataset_threshold


@dataclass(frozen=True)
class ExpertSet:
    """What an expert has to learn from.

    Attributes:
        state: 'trained'; 'empty' (no image) or 'one_sided' (all of the class, or none): such an expert answers E = S_c.
        size, positives: training images, and how many are of the class.
        composition: K counts of the training images by true class.
        val_size, val_composition: the same for validation.
    """

    state: str
    size: int
    positives: int
    composition: list[int]
    val_size: int
    val_composition: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def describe(class_index: int, labels_N: np.ndarray, val_labels_N: np.ndarray, classes: int) -> ExpertSet:
    """Describe an expert's set by the labels of its training and validation images."""
    composition, val_composition = (np.bincount(labels, minlength=classes).tolist() for labels in (labels_N, val_labels_N))
    size, positives = len(labels_N), composition[class_index]
    state = "empty" if size == 0 else "one_sided" if positives in (0, size) else "trained"
    return ExpertSet(state, size, positives, composition, len(val_labels_N), val_composition)
