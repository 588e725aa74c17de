"""Score functions: how sure a network is of its answer to one image.

Shapes: N images, K >= 2 classes. Every public function here is a score function: it takes `p_NK` (class probabilities of
one network) and gives `s_N` (float64, computed in float64 from the float32 values). Its attribute `sure` says which side
means a sure network, "high" or "low". A function with a further argument `labels_N` looks at the truth: a bound to
compare with, not a method. Nothing else in this module is public, because the configuration takes its names from here.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., np.ndarray])


def _sure_when(side: str) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        function.sure = side  # type: ignore[attr-defined]
        return function

    return mark


@_sure_when("high")
def max_probability(p_NK: np.ndarray) -> np.ndarray:
    """Largest probability, in [1/K, 1]."""
    return p_NK.max(axis=1).astype(np.float64)


@_sure_when("high")
def difference(p_NK: np.ndarray) -> np.ndarray:
    """Largest minus second largest probability, in [0, 1]; an equal top two give 0."""
    top_N2 = np.partition(p_NK, -2, axis=1)[:, -2:].astype(np.float64)
    return top_N2[:, 1] - top_N2[:, 0]


@_sure_when("low")
def entropy(p_NK: np.ndarray) -> np.ndarray:
    """Shannon entropy divided by ln K, in [0, 1]: 0 for a certain answer, 1 for a uniform one; 0 ln 0 = 0.

    The division makes one threshold mean the same for every number of classes, in the search and at run time alike.
    """
    p_NK = p_NK.astype(np.float64)
    log_p_NK = np.log(np.where(p_NK > 0, p_NK, 1.0))
    # rows sum to 1 only within float32: without the clip a uniform row could lie above a threshold of 1
    return np.clip(-np.einsum("nk,nk->n", p_NK, log_p_NK) / np.log(p_NK.shape[1]), 0.0, 1.0)


@_sure_when("high")
def oracle(p_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """1 where the network is right, 0 where it is wrong: no score can send better images to the next network."""
    return (p_NK.argmax(axis=1) == labels_N).astype(np.float64)
