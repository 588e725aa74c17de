"""Checks of array arguments, so that a swapped or broken table is one line and not a wrong accuracy.

Shapes: N images, K classes, J = K + 1 prefixes.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.statistics.checks import class_labels, numbers, probability_column, probability_table

__all__ = ["class_labels", "prefix_lengths", "prefix_table", "probability_column", "probability_table", "thresholds"]


def prefix_table(given: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A prefix table as (N, K + 1) bool; `shape` is the switch's (N, K) where both are given.

    Raises:
        MetannError: not bool, or another shape.
    """
    array_NJ = np.asarray(given)
    if array_NJ.dtype != bool or array_NJ.ndim != 2 or array_NJ.shape[1] < 3:
        raise MetannError(
            f"correct_NJ is {array_NJ.dtype} of shape {array_NJ.shape}; needed: the bool (images, classes + 1) of prefix_correct"
        )
    if shape is not None and array_NJ.shape != (shape[0], shape[1] + 1):
        raise MetannError(f"correct_NJ has shape {array_NJ.shape} but switch_NK has {shape}; needed: {(shape[0], shape[1] + 1)}")
    return array_NJ


def prefix_lengths(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Prefix lengths as (N,) int64 in 0..K for a prefix table of `shape` (N, K + 1).

    Raises:
        MetannError: not whole numbers, another length, or outside 0..K.
    """
    array_N = np.asarray(given)
    if array_N.ndim != 1 or len(array_N) != shape[0] or (array_N.dtype.kind not in "iu" and len(array_N)):
        raise MetannError(f"lengths_N is {array_N.dtype} of shape {array_N.shape}; needed: whole numbers of shape ({shape[0]},)")
    if len(array_N) and not 0 <= array_N.min() <= array_N.max() < shape[1]:
        raise MetannError(f"lengths_N runs from {array_N.min()} to {array_N.max()}; needed: 0..{shape[1] - 1} active classes")
    return array_N.astype(np.int64)


def thresholds(given: Any) -> np.ndarray:
    """Thresholds of any shape as float64; infinity is one (no class is active).

    Raises:
        MetannError: not numbers, or NaN.
    """
    array = numbers("thresholds", given)
    if np.isnan(array).any():
        raise MetannError("thresholds hold NaN; give numbers")
    return array
