"""Accuracy over the test threshold, exactly: every value at which anything changes, not a grid.

Shapes: N images, K classes, J = K + 1 prefixes, B breakpoints.

A threshold t activates the prefix of length #{k: S_nk >= t}. As t falls below one value of S, one image's prefix grows by one
class and its state goes from correct[n, j - 1] to correct[n, j]. Sort the N*K values and sum these steps from above.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metann.mnn import checks
from metann.mnn.prefix_table import prefix_correct, prefix_order


class CurvePoint(NamedTuple):
    """The curve at one threshold, or arrays of them."""

    threshold: Any
    correct: Any
    accuracy: Any
    mean_experts: Any


@dataclass(frozen=True)
class ThresholdCurve:
    """A step function of the threshold.

    Piece i holds for thresholds in (thresholds[i - 1], thresholds[i]]; the first piece begins at minus infinity (all experts),
    the last threshold is infinity (no expert: the switch alone). A threshold of 1 is the switch alone only as long as
    no probability is exactly 1.

    Attributes:
        thresholds: (B,) float64, rising, the last one infinity.
        accuracy: (B,) share of images classified rightly; NaN without images.
        mean_experts: (B,) experts asked per image at thresholds[i], falling to 0; NaN without images.
        correct: (B,) int64 images classified rightly.
    """

    thresholds: np.ndarray
    accuracy: np.ndarray
    mean_experts: np.ndarray
    correct: np.ndarray

    def at(self, threshold: Any) -> CurvePoint:
        """The curve at a threshold (or an array of any shape; the fields have that shape).

        Raises:
            MetannError: NaN or not a number.
        """
        threshold = checks.thresholds(threshold)
        piece = np.searchsorted(self.thresholds, threshold, side="left")
        return CurvePoint(threshold[()], self.correct[piece], self.accuracy[piece], self.mean_experts[piece])

    def thinned(self) -> "ThresholdCurve":
        """The same accuracy curve in fewer pieces: neighbours of equal accuracy become one.

        Accuracy stays exact at every threshold. `mean_experts` is that of a piece's upper end: the least that buys its accuracy there.
        """
        last_B = np.append(np.diff(self.correct) != 0, True)
        return ThresholdCurve(self.thresholds[last_B], self.accuracy[last_B], self.mean_experts[last_B], self.correct[last_B])


def threshold_curve(switch_NK: Any, expert_NK: Any, labels_N: Any, *, rule: str = "product", prior_K: Any = None) -> ThresholdCurve:
    """The exact curve of accuracy and of experts per image over all test thresholds.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        expert_NK: (N, K), column c is expert c's probability of its class.
        labels_N: (N,) true classes.
        rule: how answers are combined, see `metann.mnn.combination`.
        prior_K: (K,) base rates, for `product_calibrated` only.

    Raises:
        MetannError: as in `prefix_correct`.
    """
    return curve_from_prefix(switch_NK, prefix_correct(switch_NK, expert_NK, labels_N, rule=rule, prior_K=prior_K))


def curve_from_prefix(switch_NK: Any, correct_NJ: Any) -> ThresholdCurve:
    """The same from a prefix table that exists already.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        correct_NJ: (N, K + 1) bool of `prefix_correct`.

    Raises:
        MetannError: shapes that do not belong together.
    """
    switch_NK = checks.probability_table("switch_NK", switch_NK)
    correct_NJ = checks.prefix_table(correct_NJ, switch_NK.shape)
    value = np.take_along_axis(switch_NK, prefix_order(switch_NK), axis=1).ravel()
    step = np.diff(correct_NJ.astype(np.int8), axis=1).ravel()
    order = np.argsort(value)
    value, step = value[order], step[order]
    first = np.flatnonzero(np.append(True, value[1:] != value[:-1])) if len(value) else np.zeros(0, np.int64)
    from_above = np.cumsum(step[::-1], dtype=np.int64)[::-1]
    correct = np.append(from_above[first], 0) + np.count_nonzero(correct_NJ[:, 0])
    experts = np.append(len(value) - first, 0)
    images = len(switch_NK) or np.nan
    return ThresholdCurve(np.append(value[first], np.inf), correct / images, experts / images, correct)
