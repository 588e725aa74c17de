"""Frontiers of accuracy against cost, and what may be said of two accuracies that were counted apart.

Shapes: R settings, B budgets.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.statistics.intervals import wilson_interval


def unbeaten(cost_R: Any, accuracy_R: Any) -> np.ndarray:
    """(R,) bool: no other setting is as accurate at less cost, or more accurate at no more; of equal settings the first.

    An unknown cost (NaN) is never on the frontier.
    """
    cost_R, accuracy_R = np.asarray(cost_R, np.float64), np.asarray(accuracy_R, np.float64)
    front_R, best = np.zeros(len(cost_R), bool), -np.inf
    for row in np.lexsort([np.arange(len(cost_R)), -accuracy_R, cost_R]):
        front_R[row] = accuracy_R[row] > best and np.isfinite(cost_R[row])
        best = max(best, accuracy_R[row]) if np.isfinite(cost_R[row]) else best
    return front_R


def best_within(cost_R: Any, accuracy_R: Any, budgets_B: Any) -> np.ndarray:
    """(B,) int64: the most accurate setting of at most each cost, of equals the cheapest, then the first; -1 where none is so cheap.

    Args:
        cost_R, accuracy_R: on the images that choose.
        budgets_B: in the unit of the costs.
    """
    cost_R = np.asarray(cost_R, np.float64)
    front = np.flatnonzero(unbeaten(cost_R, accuracy_R))
    front = front[np.argsort(cost_R[front], kind="stable")]
    place_B = np.searchsorted(cost_R[front], np.asarray(budgets_B, np.float64), side="right") - 1
    return np.where(place_B >= 0, front[np.maximum(place_B, 0)], -1) if len(front) else np.full(len(place_B), -1)


def difference_interval(correct_a: int, n_a: int, correct_b: int, n_b: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of share a minus share b, each of images of its own: Newcombe's hybrid of Wilson's (1998, method 10).

    On the same images the two go together, and the interval is wider than a paired one would be: it errs on the side of no evidence.
    """
    a, b = correct_a / n_a, correct_b / n_b
    (low_a, high_a), (low_b, high_b) = wilson_interval(correct_a, n_a, confidence), wilson_interval(correct_b, n_b, confidence)
    below, above = np.hypot(a - low_a, high_b - b), np.hypot(high_a - a, b - low_b)
    return float(a - b - below), float(a - b + above)


def fisher_p(correct_a: int, n_a: int, correct_b: int, n_b: int) -> float:
    """Fisher's exact two-sided p that two shares are the same: all tables of these margins no likelier than this one.

    Raises:
        MetannError: more right than there are.
    """
    from scipy.special import gammaln, logsumexp

    if not (0 <= correct_a <= n_a and 0 <= correct_b <= n_b):
        raise MetannError(f"cannot compare {correct_a} of {n_a} with {correct_b} of {n_b}; needed: no more right than there are")
    right = correct_a + correct_b
    first = np.arange(max(0, right - n_b), min(n_a, right) + 1)

    def chosen(n: int, k: Any) -> Any:
        return gammaln(n + 1) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n, k) + 1)

    weight = chosen(n_a, first) + chosen(n_b, right - first)
    weight -= logsumexp(weight)
    here = weight[correct_a - first[0]]
    return float(min(1.0, np.exp(logsumexp(weight[weight <= here + 1e-7]))))
