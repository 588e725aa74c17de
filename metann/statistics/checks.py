"""Checks of tables of probabilities, so that a swapped or broken one is one line and not a wrong accuracy.

Shapes: N images, K classes.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError


def probability_table(name: str, given: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A table of probabilities as (N, K) float64, K >= 2; `shape` is the switch's where both must agree.

    float64, because NumPy 2 compares a float32 array with a Python number in float32: 0.1 in a float32 table would then
    pass a threshold of 0.10000000001.

    Raises:
        MetannError: not numbers, another shape, NaN, or values outside [0, 1].
    """
    array_NK = numbers(name, given)
    if array_NK.ndim != 2 or array_NK.shape[1] < 2:
        raise MetannError(f"{name} has shape {array_NK.shape}; needed: (images, classes) with 2 classes or more")
    if shape is not None and array_NK.shape != shape:
        raise MetannError(f"{name} has shape {array_NK.shape} but switch_NK has {shape}; both need a row per image and a column per class")
    _check_unit(name, array_NK)
    return array_NK


def probability_column(name: str, given: Any) -> np.ndarray:
    """Probabilities of one class as (N,) float64.

    Raises:
        MetannError: not numbers, not one-dimensional, NaN, or values outside [0, 1].
    """
    array_N = numbers(name, given)
    if array_N.ndim != 1:
        raise MetannError(f"{name} has shape {array_N.shape}; needed: one probability per image")
    _check_unit(name, array_N)
    return array_N


def class_labels(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """True classes as (N,) int64 in 0..K-1 for a table of `shape` (N, K).

    Raises:
        MetannError: not whole numbers, another length, or outside 0..K-1.
    """
    array_N = np.asarray(given)
    if array_N.ndim != 1 or len(array_N) != shape[0]:
        raise MetannError(f"labels_N has shape {array_N.shape}; needed: ({shape[0]},), one class per image")
    if array_N.dtype.kind not in "iu" and len(array_N):
        raise MetannError(f"labels_N is {array_N.dtype}; needed: whole numbers in 0..{shape[1] - 1}")
    if len(array_N) and not 0 <= array_N.min() <= array_N.max() < shape[1]:
        raise MetannError(f"labels_N runs from {array_N.min()} to {array_N.max()}; needed: 0..{shape[1] - 1}")
    return array_N.astype(np.int64)


def numbers(name: str, given: Any) -> np.ndarray:
    """An array as float64; a MetannError where it holds no numbers."""
    try:
        return np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise MetannError(f"{name} is not an array of numbers; give probabilities as floats") from None


def _check_unit(name: str, array: np.ndarray) -> None:
    inside = (array >= 0) & (array <= 1)  # NaN is in neither
    if not inside.all():
        where = tuple(int(i) for i in np.unravel_index(np.argmin(inside), inside.shape))
        at = where[0] if len(where) == 1 else where
        raise MetannError(f"{name}[{at}] is {array[where]}; probabilities lie in [0, 1] (are these logits?)")
