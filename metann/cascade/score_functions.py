"""Score functions: how sure a network is of its answer to one image.

Shapes: N images, K >= 2 classes. Every public function here is a score function: it takes `p_NK` (class probabilities of
one network) and gives `s_N` (float64, computed in float64 from the float32 values). Its attribute `sure` says which side
means a sure network, "high" or "low". A function with a further argument `labels_N` looks at the truth: a bound to
compare with, not a method. Nothing else in this module is public, because the configuration takes its names from here.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from metann.cascade import rowwise as rows

Function = TypeVar("Function", bound=Callable[..., np.ndarray])


def _sure_when(side: str) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        function.sure = side  # type: ignore[attr-defined]
        return function

    return mark


@_sure_when("high")
def max_probability(p_NK: np.ndarray) -> np.ndarray:
    """Largest probability, in [1/K, 1]."""
    return np.ascontiguousarray(p_NK.T).max(axis=0).astype(np.float64)


@_sure_when("high")
def difference(p_NK: np.ndarray) -> np.ndarray:
    """Largest minus second largest probability, in [0, 1]; an equal top two give 0."""
    largest_N, second_N = rows.top_two(p_NK)
    return largest_N.astype(np.float64) - second_N


@_sure_when("low")
def entropy(p_NK: np.ndarray) -> np.ndarray:
    """Shannon entropy divided by ln K, in [0, 1]: 0 for a certain answer, 1 for a uniform one; 0 ln 0 = 0.

    The division makes one threshold mean the same for every number of classes, in the search and at run time alike.
    """
    # rows sum to 1 only within float32: without the clip a uniform row could lie above a threshold of 1
    return np.clip(rows.sum_p_log_p(p_NK) / -np.log(p_NK.shape[1]), 0.0, 1.0)


@_sure_when("high")
def oracle(p_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """1 where the network is right, 0 where it is wrong: no score can send better images to the next network."""
    return (rows.first_argmax(p_NK) == labels_N).astype(np.float64)
