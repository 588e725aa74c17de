"""What switch and experts predict for every prefix of the classes in falling order of the switch's probability: all thresholds at once.

Shapes: N images, K classes, J = K + 1 prefixes. Scores, exact zeros and ties are those of `combination`; ties in the order of a prefix go
to the class with the lower index too.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from metann.mnn import checks
from metann.mnn.combination import EQUAL, Weights, active_score, checked_tables, log_odds_added, logarithms

_BLOCK = 2_000_000  # numbers of a block: 16 MB in float64


def prefix_order(switch_NK: Any) -> np.ndarray:
    """Classes of each image from the most to the least probable; ties in order of the index.

    Returns:
        (N, K) int64; the first j entries of a row are the active classes of its prefix of length j.
    """
    return np.argsort(-checks.probability_table("switch_NK", switch_NK), axis=1, kind="stable")


def prefix_predictions(
    switch_NK: Any, expert_NK: Any, *, rule: str = "product", prior_K: Any = None, weights: Weights = EQUAL
) -> np.ndarray:
    """Predicted class of every image for every number of active classes.

    Sorted by S, the classes that are not active compete only through their first one, and the active ones only through
    their best so far: one running maximum, O(N K log K) with the sort.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        expert_NK: (N, K), column c is expert c's probability of its class.
        rule: one of `RULES`.
        prior_K, weights: for `product_calibrated` only.

    Returns:
        (N, K + 1) int64; column j: the prediction with the j most probable classes active. Column 0 is argmax S.

    Raises:
        MetannError: as in `combine`.
    """
    switch_NK, expert_NK = checked_tables(switch_NK, expert_NK)
    n, classes = switch_NK.shape
    prediction_NJ = np.empty((n, classes + 1), np.int64)
    for rows in in_blocks(n, classes):
        prediction_NJ[rows] = _block_predictions(switch_NK[rows], expert_NK[rows], rule, prior_K, weights)
    return prediction_NJ


def in_blocks(n: int, classes: int) -> Iterator[slice]:
    """Rows of a table, so many at a time that its arrays of a block take megabytes; tables themselves may take a gigabyte."""
    step = max(1, _BLOCK // classes)
    yield from (slice(start, start + step) for start in range(0, n, step))


def _block_predictions(switch_NK: np.ndarray, expert_NK: np.ndarray, rule: str, prior_K: Any, weights: Weights) -> np.ndarray:
    """`prefix_predictions` of a few checked rows."""
    without_NK, with_NK = _scores(switch_NK, expert_NK, rule, prior_K, weights)
    n, classes = with_NK.shape
    order_NK = prefix_order(switch_NK)
    without_NK = np.take_along_axis(without_NK, order_NK, axis=1)
    with_NK = np.take_along_axis(with_NK, order_NK, axis=1)
    prediction_NJ = np.empty((n, classes + 1), np.int64)
    prediction_NJ[:, 0] = order_NK[:, 0]
    score_N, class_N = np.full(n, -np.inf), np.full(n, classes)
    for j in range(1, classes + 1):
        score_N, class_N = _better(score_N, class_N, with_NK[:, j - 1], order_NK[:, j - 1])
        prediction_NJ[:, j] = class_N if j == classes else _better(score_N, class_N, without_NK[:, j], order_NK[:, j])[1]
    return prediction_NJ


def prefix_correct(
    switch_NK: Any, expert_NK: Any, labels_N: Any, *, rule: str = "product", prior_K: Any = None, weights: Weights = EQUAL
) -> np.ndarray:
    """Whether each image is classified rightly, for every number of active classes.

    Every switch function is one integer j(n) per image, and its accuracy the mean of the entries [n, j(n)].

    Args:
        switch_NK: (N, K) probabilities of the switch.
        expert_NK: (N, K), column c is expert c's probability of its class.
        labels_N: (N,) true classes, whole numbers in 0..K-1.
        rule: one of `RULES`.
        prior_K, weights: for `product_calibrated` only.

    Returns:
        (N, K + 1) bool; column 0 is the switch alone, column K asks every expert.

    Raises:
        MetannError: as in `combine`, or labels of another length or range.
    """
    switch_NK, expert_NK = checked_tables(switch_NK, expert_NK)
    labels_N = checks.class_labels(labels_N, switch_NK.shape)
    correct_NJ = np.empty((len(switch_NK), switch_NK.shape[1] + 1), bool)
    for rows in in_blocks(*switch_NK.shape):
        correct_NJ[rows] = _block_predictions(switch_NK[rows], expert_NK[rows], rule, prior_K, weights) == labels_N[rows, None]
    return correct_NJ


def _better(score_N: np.ndarray, class_N: np.ndarray, other_N: np.ndarray, other_class_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The higher score and its class, image by image; of two equal ones the lower class."""
    take_N = (other_N > score_N) | ((other_N == score_N) & (other_class_N < class_N))
    return np.where(take_N, other_N, score_N), np.where(take_N, other_class_N, class_N)


def _scores(switch_NK: Any, expert_NK: Any, rule: str, prior_K: Any, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the classes when they are not active and when they are: two (N, K) float64."""
    added_K = log_odds_added(rule, prior_K, switch_NK.shape[1])
    without_NK = weights[0] * logarithms(switch_NK)
    return without_NK, active_score(without_NK, expert_NK, rule, added_K, weights[1])
