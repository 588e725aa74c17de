"""Temperatures and base rates: what a validation split says about how far probabilities can be believed.

Shapes: N images, K classes. A temperature T divides the logits: p^(1/T) normalised (Guo and others 2017); above 1 it makes
probabilities less sure. It changes no argmax, but which classes pass a threshold, and how much weight an expert has.

scipy is imported inside the functions that fit.
"""

from typing import Any, NamedTuple

import numpy as np

from metann.errors import MetannError
from metann.mnn import checks
from metann.mnn.combination import EQUAL, Weights, log_odds_added, logarithms
from metann.statistics.temperature import LEAST, apply_temperature, checked_temperature, fit_temperature, least_over_temperatures
from metann.tables.probabilities import Probabilities

UNSURE = 0.95  # a top probability below this: the images on which weights are fitted
WEIGHTS = ((0.01, 100.0), (0.0, 100.0))  # of the switch, which is never left out, and of the experts

# A float32 1.0 is within 2^-25 of 1: what a rounded 1 may have been.
_LEAST_BELOW_ONE = 2.0**-25


def fit_expert_temperature(expert_N: Any, target_N: Any) -> float:
    """The temperature of one expert: binary negative log likelihood of `target_N` under sigmoid(logit(E) / T).

    Args:
        expert_N: (N,) probabilities that the expert gives its class, on the images it is asked about.
        target_N: (N,) bool, whether the image is of that class.

    Returns:
        T in `BOUNDS`; 1 where the images determine none, as in `fit_temperature`.

    Raises:
        MetannError: shapes that do not belong together, NaN, or values outside [0, 1].
    """
    expert_N, target_N = checks.probability_column("expert_N", expert_N), np.asarray(target_N)
    if target_N.dtype != bool or target_N.shape != expert_N.shape:
        raise MetannError(f"target_N is {target_N.dtype} of shape {target_N.shape}; needed: bool of shape {expert_N.shape}")
    yes_N, no_N = np.maximum(expert_N, LEAST), np.maximum(1 - expert_N, _LEAST_BELOW_ONE)
    wrong_way_N = np.where(target_N, -1, 1) * (np.log(yes_N) - np.log(no_N))
    return least_over_temperatures(lambda temperature: float(np.logaddexp(0, wrong_way_N / temperature).mean()), len(expert_N))


def apply_expert_temperature(expert_N: Any, temperature: float) -> np.ndarray:
    """An expert's probabilities at a temperature: sigmoid(logit(E) / T); exact zeros and ones stay.

    Returns:
        (N,) float64.

    Raises:
        MetannError: T not positive and finite, or broken probabilities.
    """
    expert_N, power = checks.probability_column("expert_N", expert_N), 1 / checked_temperature(temperature)
    top_N = np.maximum(expert_N, 1 - expert_N)  # at least 1/2: no quotient below is 0/0
    yes_N, no_N = (expert_N / top_N) ** power, ((1 - expert_N) / top_N) ** power
    return yes_N / (yes_N + no_N)


def base_rates(switch_NK: Any, labels_N: Any, dataset_threshold: float) -> np.ndarray:
    """Share of each class among the images at which it is active: the `prior_K` of the rule `product_calibrated`.

    (positives + 1) / (active + K): shrunk towards the 1/K of the published rule, which a class that is never active keeps;
    so it is never 0 or 1.

    Args:
        switch_NK: (N, K) probabilities of the switch on validation images.
        labels_N: (N,) true classes.
        dataset_threshold: class c is active at images with S_c >= threshold.

    Returns:
        (K,) float64.

    Raises:
        MetannError: shapes that do not belong together, NaN, or values outside [0, 1].
    """
    switch_NK = checks.probability_table("switch_NK", switch_NK)
    labels_N = checks.class_labels(labels_N, switch_NK.shape)
    classes = switch_NK.shape[1]
    active_NK = switch_NK >= float(dataset_threshold)
    positive_NK = active_NK & (labels_N[:, None] == np.arange(classes))
    return (positive_NK.sum(axis=0) + 1) / (active_NK.sum(axis=0) + classes)


def fit_weights(log_switch_NK: Any, added_NK: Any, labels_N: Any) -> Weights:
    """How much the switch and the experts count: a, b >= 0 of least negative log likelihood under softmax(a log S + b added).

    The likelihood is convex in both. Both have to be free: with a fixed at 1 the experts' weight pays for a switch that is too sure of
    itself, and comes out far too small.

    Args:
        log_switch_NK: (N, K) logarithms of the switch's probabilities, of images that it is unsure of.
        added_NK: (N, K) what the experts add to them.
        labels_N: (N,) true classes.

    Returns:
        (a, b) within `WEIGHTS`; (1, 1) where there are no images, or where the experts add nothing.
    """
    from scipy.optimize import minimize

    log_switch_NK, added_NK, labels_N = np.asarray(log_switch_NK), np.asarray(added_NK), np.asarray(labels_N)
    if not len(labels_N) or not added_NK.any():
        return EQUAL
    rows = np.arange(len(labels_N))
    both_2NK = np.stack([log_switch_NK, added_NK])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        score_NK = np.tensordot(weights, both_2NK, 1)
        score_NK = score_NK - score_NK.max(axis=1, keepdims=True)
        p_NK = np.exp(score_NK)
        total_N = p_NK.sum(axis=1)
        p_NK /= total_N[:, None]
        expected = (p_NK * both_2NK).sum(axis=(1, 2))
        slope = (expected - both_2NK[:, rows, labels_N].sum(axis=1)) / len(rows)
        return float((np.log(total_N) - score_NK[rows, labels_N]).mean()), slope

    found = minimize(loss, np.ones(2), jac=True, bounds=WEIGHTS, method="L-BFGS-B")
    return float(found.x[0]), float(found.x[1])


class Calibrated(NamedTuple):
    """Switch and experts as they are evaluated, and what was fitted on validation.

    Attributes:
        switch_NK: (N, K).
        experts: (N, K), or (N, K, K) of experts for all classes.
        prior_K: base rates, where the rule needs them.
        weights: a and b of the rule.
        temperatures: of switch and experts, where they were fitted.
    """

    switch_NK: np.ndarray
    experts: np.ndarray
    prior_K: np.ndarray | None
    weights: Weights
    temperatures: dict[str, Any]


def calibrated(table: Probabilities, experts: np.ndarray, dataset_threshold: float, combine: str, temperature: str) -> Calibrated:
    """Switch and experts after calibration on validation images, with base rates and weights where the rule needs them.

    An expert is fitted on the validation images that would have been in its training set: where the switch as trained gives its
    class the dataset threshold.
    """
    val, for_all = table.rows("val"), experts.ndim == 3
    val_NK, labels_N = table.p_NK[val].astype(np.float64), table.label[val].astype(np.int64)
    fits, switch_NK, fitted = combine == "product_calibrated", table.p_NK, {}
    prior_K = base_rates(val_NK, labels_N, dataset_threshold) if fits and not for_all else None
    if temperature != "none":
        switch_temperature = fit_temperature(val_NK, labels_N)
        # float32, as it is stored: what is evaluated and what later stages read are the same numbers.
        switch_NK = apply_temperature(table.p_NK, switch_temperature).astype(np.float32)
        temperatures, columns = [], []
        for c in range(experts.shape[1]):
            asked = val_NK[:, c] >= dataset_threshold
            if for_all:
                temperatures.append(fit_temperature(experts[val, c][asked], labels_N[asked]))
                columns.append(apply_temperature(experts[:, c], temperatures[-1]))
            else:
                temperatures.append(fit_expert_temperature(experts[val, c][asked], labels_N[asked] == c))
                columns.append(apply_expert_temperature(experts[:, c], temperatures[-1]))
        experts, fitted = np.stack(columns, axis=1), {"switch": switch_temperature, "experts": temperatures}
    weights = EQUAL
    if fits:
        weights = _weights(switch_NK[val], experts[val], labels_N, dataset_threshold, prior_K)
    return Calibrated(switch_NK, experts, prior_K, weights, fitted)


def _weights(switch_NK: np.ndarray, experts: np.ndarray, labels_N: np.ndarray, dataset_threshold: float, prior_K: Any) -> Weights:
    """Of images that the switch is unsure of: with the experts of all classes that reach the dataset threshold, or with the one of the most
    probable class, if experts are for all classes."""
    unsure = switch_NK.max(axis=1, initial=0.0) < UNSURE
    switch_NK, experts, labels_N = switch_NK[unsure].astype(np.float64), experts[unsure].astype(np.float64), labels_N[unsure]
    if not len(labels_N):
        return EQUAL
    if experts.ndim == 3:
        added_NK = logarithms(experts[np.arange(len(labels_N)), switch_NK.argmax(axis=1)])
    else:
        odds_NK = logarithms(experts) - logarithms(1 - experts) + log_odds_added("product_calibrated", prior_K, switch_NK.shape[1])
        added_NK = np.where(switch_NK >= dataset_threshold, odds_NK, 0.0)
    return fit_weights(logarithms(switch_NK), added_NK, labels_N)
