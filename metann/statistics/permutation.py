"""Tests by exchanging signs, for seeds and for the best of many cells.

Shapes: N images, C cells of a grid.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.statistics.intervals import checked_values

_EXACT_SEEDS = 20


_BLOCK = 256


def sign_flip_p(values: Any, seed: int = 0) -> float:
    """Two-sided p that the mean of paired differences is 0: the share of all sign patterns whose |sum| is as large.

    Exact up to 20 values (its floor is 2 / 2^n: six seeds are the least for 0.05); above, 100,000 random patterns and the
    observed one.

    Raises:
        MetannError: no values, or values that are not finite.
    """
    values = checked_values(values)
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
