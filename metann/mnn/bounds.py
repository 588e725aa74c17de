"""What the prefix table gives for nothing to compare a switch function with: chance and the best possible.

Shapes: N images, K classes, J = K + 1 prefixes (0..K active classes).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metann.mnn import checks


@dataclass(frozen=True)
class RandomPrefix:
    """The same prefix lengths, dealt to the images at random.

    Attributes:
        accuracy: exact expectation over all permutations.
        standard_error: exact standard deviation of the accuracy over permutations (the images themselves are fixed).
        mean_experts: experts asked per image; equal to that of the lengths given.
    """

    accuracy: float
    standard_error: float
    mean_experts: float


@dataclass(frozen=True)
class OraclePrefix:
    """The best prefix of every image, chosen with knowledge of the true class: a ceiling, not a method.

    Attributes:
        lengths_N: (N,) int64, the shortest prefix that is right; 0 where none is, or where the budget is spent.
        accuracy: share of images classified rightly.
        mean_experts: experts asked per image.
    """

    lengths_N: np.ndarray
    accuracy: float
    mean_experts: float


@dataclass(frozen=True)
class OracleCurve:
    """The best accuracy that any choice of prefixes can buy; straight lines between the points (one image is 1/N).

    Attributes:
        mean_experts: (J,) rising from 0; entry j: all images that j experts or fewer can mend are mended.
        accuracy: (J,)
    """

    mean_experts: np.ndarray
    accuracy: np.ndarray


def random_prefix(correct_NJ: Any, lengths_N: Any) -> RandomPrefix:
    """Is it the switch's choice of images that helps, or asking experts at all?

    Expectation and variance of sum_n correct[n, length of permuted n] in closed form (Hoeffding 1951): with a the matrix of
    images by lengths and d = a - row mean - column mean + mean, the variance is sum d^2 / (N - 1).

    Args:
        correct_NJ: (N, K + 1) bool of `prefix_correct`.
        lengths_N: (N,) whole numbers in 0..K.

    Raises:
        MetannError: shapes that do not belong together. NaN fields without images.
    """
    correct_NJ = checks.prefix_table(correct_NJ)
    lengths_N = checks.prefix_lengths(lengths_N, correct_NJ.shape)
    n = len(lengths_N)
    if n == 0:
        return RandomPrefix(float("nan"), float("nan"), float("nan"))
    share_J = np.bincount(lengths_N, minlength=correct_NJ.shape[1]) / n
    row_N, column_J = correct_NJ @ share_J, correct_NJ.mean(axis=0)
    accuracy = float(column_J @ share_J)
    residual_NJ = correct_NJ - row_N[:, None] - column_J + accuracy
    variance = float((residual_NJ**2 @ share_J).sum()) / max(n - 1, 1) / n
    return RandomPrefix(accuracy, float(np.sqrt(variance)), float(lengths_N.mean()))


def oracle_prefix(correct_NJ: Any, budget: float | None = None) -> OraclePrefix:
    """The shortest right prefix of every image; within a budget, the cheapest repairs first.

    Every repaired image counts the same, so the greedy choice is the best one.

    Args:
        correct_NJ: (N, K + 1) bool of `prefix_correct`.
        budget: experts per image on average that may not be exceeded; None: no limit.

    Raises:
        MetannError: not a prefix table.
    """
    correct_NJ = checks.prefix_table(correct_NJ)
    lengths_N = np.where(correct_NJ.any(axis=1), correct_NJ.argmax(axis=1), 0)
    n = len(lengths_N)
    if n == 0:
        return OraclePrefix(lengths_N, float("nan"), float("nan"))
    if budget is not None:
        order = np.argsort(lengths_N, kind="stable")
        # A budget is a mean such as 1.0757 = 10757 / 10000, whose product with n may fall short of the whole number.
        too_much = np.cumsum(lengths_N[order]) > budget * n + 1e-6
        lengths_N[order[too_much]] = 0
    right_N = correct_NJ[np.arange(n), lengths_N]
    return OraclePrefix(lengths_N, float(right_N.mean()), float(lengths_N.mean()))


def oracle_curve(correct_NJ: Any) -> OracleCurve:
    """Accuracy of the oracle over its budget of experts per image, for the cost figure.

    Args:
        correct_NJ: (N, K + 1) bool of `prefix_correct`.

    Raises:
        MetannError: not a prefix table. NaN without images.
    """
    correct_NJ = checks.prefix_table(correct_NJ)
    n, states = correct_NJ.shape
    first_N = correct_NJ.argmax(axis=1)[correct_NJ.any(axis=1)]
    images_J = np.bincount(first_N, minlength=states)
    return OracleCurve(np.cumsum(images_J * np.arange(states)) / (n or np.nan), np.cumsum(images_J) / (n or np.nan))
