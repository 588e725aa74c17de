"""Switch functions: how many of an image's most probable classes are active, that is, whose experts are asked.

Shapes: N images, K classes. Every public function here is a switch function by its name: the first argument is switch_NK,
(N, K) probabilities; the others are its parameters; it returns (N,) int64 in 0..K. To add one, write one function: the
configuration knows it at once. `k` is a count, every other parameter a number in [0, 1].

All of them choose a prefix of the classes in falling order of probability, so all are read from one table (`prefix_correct`).
"""

from typing import Any

import numpy as np

from metann.mnn import checks

# A sum of float32 probabilities is off by at most half a unit in the last place of 1, 6e-8.
_ROUNDING = 1e-7


def threshold(switch_NK: Any, t: float) -> np.ndarray:
    """Classes with probability >= t: the published switch function. 0 asks every expert; above the top probability, none."""
    return np.count_nonzero(_switch(switch_NK) >= t, axis=1).astype(np.int64)


def top_k(switch_NK: Any, k: int) -> np.ndarray:
    """The k most probable classes of every image (all, where k > K)."""
    return _constant(switch_NK, k)


def top_p(switch_NK: Any, p: float) -> np.ndarray:
    """The fewest classes whose probabilities sum to p or more; none for p = 0, all K where they fall short of p.

    A sum that misses p by less than 1e-7 has reached it, so that 0.6 + 0.3 is 0.9.
    """
    sums_NK = np.cumsum(-np.sort(-_switch(switch_NK), axis=1), axis=1)
    short_N = np.count_nonzero(sums_NK < p - _ROUNDING, axis=1)
    return np.minimum(short_N + (p > 0), sums_NK.shape[1]).astype(np.int64)


def margin(switch_NK: Any, m: float) -> np.ndarray:
    """Classes whose probability is at most m below the best one's; the best is always active, and with m = 0 its equals."""
    switch_NK = _switch(switch_NK)
    return np.count_nonzero(switch_NK.max(axis=1, keepdims=True) - switch_NK <= m, axis=1).astype(np.int64)


def only_if_unsure(switch_NK: Any, t: float, k: int) -> np.ndarray:
    """The k most probable classes of images whose top probability is below t; none for the others."""
    return np.where(_switch(switch_NK).max(axis=1) < t, _constant(switch_NK, k), 0)


def contested(switch_NK: Any, t: float) -> np.ndarray:
    """Classes with probability >= t where at least two have it; none for the others: one candidate alone has nothing to be decided."""
    reached_N = threshold(switch_NK, t)
    return np.where(reached_N >= 2, reached_N, 0)


def unsure(switch_NK: Any, u: float) -> np.ndarray:
    """The most probable class of images whose top probability is below u; none for the others."""
    return only_if_unsure(switch_NK, u, 1)


def none(switch_NK: Any) -> np.ndarray:
    """No class: the switch alone."""
    return _constant(switch_NK, 0)


def all(switch_NK: Any) -> np.ndarray:
    """Every class: every expert is asked about every image."""
    switch_NK = _switch(switch_NK)
    return _constant(switch_NK, switch_NK.shape[1])


def _switch(switch_NK: Any) -> np.ndarray:
    return checks.probability_table("switch_NK", switch_NK)


def _constant(switch_NK: Any, k: float) -> np.ndarray:
    n, classes = _switch(switch_NK).shape
    return np.full(n, min(int(k), classes), np.int64)
