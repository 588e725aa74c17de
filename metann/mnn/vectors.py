"""Experts that answer for all classes: how their answers become one with the switch's, for all prefixes at once.

Shapes: N images, K classes, J = K + 1 prefixes, M answers. P_m = what expert m says of all K classes.

    score_k = a log S_k + b sum over active m of log P_m,k,    probabilities = softmax(score),    prediction = argmax score

`product` is a = b = 1, `product_calibrated` has fitted weights (`calibration.fit_weights`), and `replace` is a = 0, b = 1 where an expert
is asked. All three are the switch itself where none is. Exact zeros and ties are as in `metann.mnn.combination`.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError, unknown
from metann.mnn import checks
from metann.mnn.combination import EQUAL, RULES, Weights, logarithms, probabilities_of
from metann.mnn.prefix_table import prefix_order


def combine_vectors(
    switch_NK: np.ndarray, image_M: np.ndarray, expert_MK: np.ndarray, *, rule: str, weights: Weights = EQUAL
) -> np.ndarray:
    """Probabilities of switch and experts that were asked one by one; nothing is checked.

    Args:
        switch_NK: (N, K) float64 probabilities of the switch.
        image_M: (M,) which image each answer is about; an image may have several.
        expert_MK: (M, K) the answers.
        rule: one of `combination.RULES`.
        weights: a and b.

    Returns:
        (N, K) float64, rows sum to 1; the largest is the class of the largest score, as in `vector_predictions`.
    """
    score_NK = logarithms(np.asarray(switch_NK, np.float64))
    asked_N = np.zeros(len(score_NK), bool)
    asked_N[image_M] = True
    score_NK[asked_N] *= _of_switch(rule, weights)
    np.add.at(score_NK, image_M, weights[1] * logarithms(np.asarray(expert_MK, np.float64)))
    return probabilities_of(score_NK)


def vector_predictions(switch_NK: Any, expert_NEK: Any, *, rule: str = "product", weights: Weights = EQUAL) -> np.ndarray:
    """Predicted class of every image for every number of active classes, as `prefix_table.prefix_predictions`.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        expert_NEK: (N, K, K) probabilities; [n, m] is what expert m says of image n.
        rule: one of `combination.RULES`.
        weights: a and b, for `product_calibrated` only.

    Returns:
        (N, K + 1) int64; column j: the prediction with the j most probable classes active. Column 0 is argmax S.

    Raises:
        MetannError: shapes that differ, NaN, values outside [0, 1], or an unknown rule.
    """
    if rule not in RULES:
        raise unknown("combination rule", rule, RULES)
    switch_NK, expert_NEK = checks.probability_table("switch_NK", switch_NK), np.asarray(expert_NEK)
    n, classes = switch_NK.shape
    if expert_NEK.shape != (n, classes, classes):
        raise MetannError(f"expert_NEK has shape {expert_NEK.shape}; needed: {(n, classes, classes)}, an answer of every expert")
    order_NK = prefix_order(switch_NK)
    score_NK, prediction_NJ = _of_switch(rule, weights) * logarithms(switch_NK), np.empty((n, classes + 1), np.int64)
    prediction_NJ[:, 0] = order_NK[:, 0]
    for j in range(classes):
        answer_NK = checks.probability_table("expert_NEK", expert_NEK[np.arange(n), order_NK[:, j]]) if n else np.zeros((0, classes))
        score_NK = score_NK + weights[1] * logarithms(answer_NK)
        prediction_NJ[:, j + 1] = score_NK.argmax(axis=1)
    return prediction_NJ


def _of_switch(rule: str, weights: Weights) -> float:
    return 0.0 if rule == "replace" else weights[0]
