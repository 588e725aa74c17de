"""How the answers of all networks asked so far become one: their mean, or their product.

Shapes: N images, K classes.

Evidence adds up: probabilities for the mean, their logarithms for the product (networks whose errors are independent, a uniform prior;
Kittler and others 1998). Both are rounded to whole multiples of a power of two, 2^-45 and 2^-32, finer than float32 can tell
probabilities apart, so that sums are exact: evidence of the same networks is the same to the last bit in whatever order they were
asked. Classes whose products tie on paper by different factors (0.2 x 4/7 and 0.4 x 2/7) may then lie one step for each network apart,
and are made equal again (`combined`); ties go to the lower index.

Exact zeros. A probability of exactly 0 stands for one and the same e^-10000: the product of probabilities where it is not zero for
every class, else the limit for all zeros shrinking together, in which first the fewest zeros decide. (The log of the least float32 is
-103: it takes a hundred of them to weigh as much as one zero.)
"""

import numpy as np

from metann.cascade.rowwise import row_sum

ADDED = ("mean", "product")
"""Answers that are made of all answers so far; the others keep the answer of one network."""

_MEAN_STEPS, _LOG_STEPS = 2.0**45, 2.0**32
_ZERO_LOG = -1e4


def evidence_of(answer: str, p_NK: np.ndarray) -> np.ndarray:
    """(N, K) float64: what one network adds.

    Args:
        answer: one of `ADDED`.
        p_NK: its probabilities.
    """
    p_NK = np.ascontiguousarray(p_NK, np.float64)
    if answer == "mean":
        return np.rint(p_NK * _MEAN_STEPS) / _MEAN_STEPS
    log_NK = np.where(p_NK > 0, np.log(np.where(p_NK > 0, p_NK, 1.0)), _ZERO_LOG)
    return np.rint(log_NK * _LOG_STEPS) / _LOG_STEPS


def combined(answer: str, evidence_NK: np.ndarray, networks: int) -> np.ndarray:
    """(N, K) float64 probabilities of the sum of the evidence of so many networks. A row does not depend on the rows beside it.

    Args:
        answer: one of `ADDED`.
        evidence_NK: sum of `evidence_of`.
        networks: how many were asked.
    """
    if answer == "mean":
        return evidence_NK / networks
    below_NK = np.ascontiguousarray(evidence_NK - evidence_NK.max(axis=1, keepdims=True))
    # Each logarithm of either class was rounded by half a step at most.
    below_NK[below_NK >= -networks / _LOG_STEPS] = 0
    p_NK = np.exp(below_NK)
    return p_NK / row_sum(p_NK)[:, None]
