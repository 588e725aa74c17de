"""Intervals and paired tests: what may be said about a difference between two classifiers on the same images.

Shapes: N images, C cells of a grid. scipy is imported inside the functions, because stages that only name this module start faster.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metann.errors import MetannError

_EXACT_SEEDS = 20
_BLOCK = 256


class Interval(NamedTuple):
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float


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


def wilson_interval(correct: Any, n: Any, confidence: float = 0.95) -> tuple[Any, Any]:
    """Wilson's score interval of a share (Wilson 1927): (low, high), numbers or arrays as `correct` and `n` are.

    Without images nothing is known: (0, 1).

    Raises:
        MetannError: correct outside 0..n, or a confidence outside (0, 1).
    """
    correct, n = np.broadcast_arrays(np.asarray(correct, np.float64), np.asarray(n, np.float64))
    if not ((correct >= 0) & (correct <= n)).all():
        raise MetannError("wilson_interval: correct must lie in 0..n everywhere")
    z = _normal_quantile(confidence)
    total = n + z * z
    centre = (correct + z * z / 2) / total
    half = z / total * np.sqrt(correct * (1 - correct / np.maximum(n, 1)) + z * z / 4)
    # The ends are 0 and 1 exactly where nothing, or everything, is right; rounding would leave 1e-17.
    low = np.where(correct == 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(correct == n, 1.0, np.minimum(centre + half, 1.0))
    return low[()], high[()]


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
    net = fixed - broken
    gain, error = net / n, float(np.sqrt(fixed + broken - net * net / n)) / n
    half = _normal_quantile(confidence) * error
    return PairedComparison(n, fixed, broken, gain, error, gain - half, gain + half, float(mcnemar_p(fixed, broken)), confidence)


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


def verdict(comparison: PairedComparison) -> str:
    """One plain sentence; 'no evidence of a gain' whenever the interval of the gain holds 0.

    A gain or a loss is one only when the exact test agrees: with few differing images the normal interval is too narrow.
    """
    c = comparison
    sure = c.p <= 1 - c.confidence
    if sure and c.low > 0:
        word = "a gain"
    elif sure and c.high < 0:
        word = "no evidence of a gain but of a loss"
    else:
        word = "no evidence of a gain"
    return (
        f"{word}: {100 * c.gain:+.2f} points ({100 * c.confidence:g} % interval {100 * c.low:+.2f} to {100 * c.high:+.2f}, "
        f"{c.fixed} fixed and {c.broken} broken of {c.n} images, exact McNemar p = {c.p:.2g})"
    )


def t_interval(values: Any, confidence: float = 0.95) -> Interval:
    """Mean over seeds with Student's t interval; the ends are NaN for a single value, which says nothing of the spread.

    Raises:
        MetannError: no values, or values that are not finite.
    """
    from scipy.special import stdtrit

    values = _values(values)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stdtrit(n - 1, 0.5 + _confidence(confidence) / 2) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def sign_flip_p(values: Any, seed: int = 0) -> float:
    """Two-sided p that the mean of paired differences is 0: the share of all sign patterns whose |sum| is as large.

    Exact up to 20 values (its floor is 2 / 2^n: six seeds are the least for 0.05); above, 100,000 random patterns and the
    observed one.

    Raises:
        MetannError: no values, or values that are not finite.
    """
    values = _values(values)
    bound = abs(values.sum()) - 1e-12 * np.abs(values).sum()  # sums of the same numbers in another order differ in the last bits
    if len(values) <= _EXACT_SEEDS:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= bound))
    rng, hits, patterns = np.random.default_rng(seed), 1, 100_000
    for start in range(0, patterns, 1000):
        signs = rng.integers(0, 2, (min(1000, patterns - start), len(values))) * 2 - 1
        hits += int(np.count_nonzero(np.abs(signs @ values) >= bound))
    return hits / (patterns + 1)


def maximum_permutation_p(baseline_N: Any, cells_NC: Any, permutations: int = 2000, seed: int = 0) -> float:
    """p of the best cell of a grid: how often chance alone gives a best gain as large, when no cell differs from the baseline.

    Under that hypothesis baseline and cell may be exchanged image by image. One exchange per image acts on all cells at once,
    which keeps their dependence; the statistic is the maximum over cells of (fixed - broken) / sqrt(fixed + broken), each gain in
    units of its own noise (Westfall and Young 1993). The raw gain would let one wild cell, such as a threshold near 0 where
    thousands of images differ, drown all others.

    Args:
        baseline_N: (N,) bool, whether the baseline is right.
        cells_NC: (N, C) bool, whether each cell is right.
        permutations: random exchanges; the observed one is counted too, so p >= 1 / (permutations + 1).
        seed: of the random exchanges.

    Raises:
        MetannError: not bool, shapes that do not belong together, no cell, or fewer than one permutation.
    """
    baseline_N, cells_NC = np.asarray(baseline_N), np.asarray(cells_NC)
    fits = baseline_N.ndim == 1 and cells_NC.ndim == 2 and len(cells_NC) == len(baseline_N) and cells_NC.shape[1] > 0
    if not fits or baseline_N.dtype != bool or cells_NC.dtype != bool or permutations < 1:
        raise MetannError(
            f"maximum_permutation_p: needed bool (N,) and (N, cells) and permutations >= 1; given {baseline_N.dtype} "
            f"{baseline_N.shape}, {cells_NC.dtype} {cells_NC.shape}, {permutations}"
        )
    differing_N = (cells_NC != baseline_N[:, None]).any(axis=1)
    # float32 for BLAS; sums of +-1 are exact in it below 2^24 images.
    difference_MC = cells_NC[differing_N].astype(np.float32) - baseline_N[differing_N, None]
    noise_C = np.sqrt(np.maximum(np.abs(difference_MC).sum(axis=0), 1))  # the same whatever the signs
    observed = (difference_MC.sum(axis=0) / noise_C).max()
    rng, hits = np.random.default_rng(seed), 1
    for start in range(0, permutations, _BLOCK):
        signs = rng.integers(0, 2, (min(_BLOCK, permutations - start), len(difference_MC)), dtype=np.int8) * 2 - 1
        chance = (signs.astype(np.float32) @ difference_MC / noise_C).max(axis=1)
        hits += int(np.count_nonzero(chance >= observed - 1e-5))  # equal gains may round apart
    return hits / (permutations + 1)


def _values(given: Any) -> np.ndarray:
    values = np.asarray(given, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise MetannError(f"needed one or more finite values, one per seed; given shape {values.shape}")
    return values


def _counts(given: Any) -> np.ndarray:
    counts = np.asarray(given)
    if counts.size and (counts.dtype.kind not in "iu" or (counts < 0).any()):
        raise MetannError("mcnemar_p: fixed and broken are counts of images, whole numbers >= 0")
    return counts.astype(np.int64)  # int16 columns would overflow in the sum


def _confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise MetannError(f"confidence {confidence!r} is not between 0 and 1; write one such as 0.95")
    return float(confidence)


def _normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + _confidence(confidence) / 2))
