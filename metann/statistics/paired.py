"""Intervals and paired tests: what may be said about a difference between two classifiers on the same images.

Shapes: N images, C cells of a grid. scipy is imported inside the functions, because stages that only name this module start faster.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.statistics.intervals import normal_quantile


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers on the same images; b is compared with a.

    Attributes:
        n: images.
        fixed: wrong in a, right in b.
        broken: right in a, wrong in b.
        gain: accuracy of b minus accuracy of a, a share (0.01 is one point).
        standard_error: of the gain.
        low, high: ends of the normal interval of the gain.
        p: exact two-sided McNemar p.
        confidence: of the interval.
    """

    n: int
    fixed: int
    broken: int
    gain: float
    standard_error: float
    low: float
    high: float
    p: float
    confidence: float


def mcnemar_p(fixed: Any, broken: Any) -> Any:
    """Exact two-sided McNemar p: a two-sided binomial test of `fixed` in fixed + broken with probability 1/2.

    Args:
        fixed: images wrong before and right after; a count or an array of counts.
        broken: images right before and wrong after.

    Returns:
        p in (0, 1], of the broadcast shape; 1 where the two classifiers never differ.

    Raises:
        MetannError: not counts.
    """
    from scipy.special import bdtr

    fixed, broken = _counts(fixed), _counts(broken)
    tail = bdtr(np.minimum(fixed, broken).astype(np.float64), fixed + broken, 0.5)
    return np.minimum(2 * tail, 1.0)[()]


def compare_counts(n: int, fixed: int, broken: int, confidence: float = 0.95) -> PairedComparison:
    """The paired comparison from its counts: gain (b - c)/n with SE sqrt(b + c - (b - c)^2/n)/n and the exact McNemar p.

    Raises:
        MetannError: no images, or more differences than images.
    """
    n, fixed, broken = int(n), int(fixed), int(broken)
    if n < 1 or fixed < 0 or broken < 0 or fixed + broken > n:
        raise MetannError(f"cannot compare: {fixed} fixed and {broken} broken of {n} images; needed: n >= 1 and fixed + broken <= n")
    gain, error = (float(value) for value in gain_with_error(n, fixed, broken))
    half = normal_quantile(confidence) * error
    return PairedComparison(n, fixed, broken, gain, error, gain - half, gain + half, float(mcnemar_p(fixed, broken)), confidence)


def gain_with_error(n: Any, fixed: Any, broken: Any) -> tuple[Any, Any]:
    """The gain (b - c)/n and its standard error sqrt(b + c - (b - c)^2/n)/n; counts, or arrays of counts."""
    net = fixed - broken
    return net / n, np.sqrt(fixed + broken - net * net / n) / n


def compare_paired(correct_a_N: Any, correct_b_N: Any, confidence: float = 0.95) -> PairedComparison:
    """Compare b with a on the same images.

    Args:
        correct_a_N: (N,) bool, whether the baseline is right.
        correct_b_N: (N,) bool, whether the other classifier is right, in the same order of images.
        confidence: of the interval of the gain.

    Raises:
        MetannError: not bool, lengths that differ, or no images.
    """
    a_N, b_N = np.asarray(correct_a_N), np.asarray(correct_b_N)
    if a_N.dtype != bool or b_N.dtype != bool or a_N.ndim != 1 or a_N.shape != b_N.shape:
        raise MetannError(f"compare_paired: needed two bool arrays of one length; given {a_N.dtype} {a_N.shape}, {b_N.dtype} {b_N.shape}")
    return compare_counts(len(a_N), np.count_nonzero(~a_N & b_N), np.count_nonzero(a_N & ~b_N), confidence)


def _counts(given: Any) -> np.ndarray:
    counts = np.asarray(given)
    if counts.size and (counts.dtype.kind not in "iu" or (counts < 0).any()):
        raise MetannError("mcnemar_p: fixed and broken are counts of images, whole numbers >= 0")
    return counts.astype(np.int64)  # int16 columns would overflow in the sum
