"""Temperatures and base rates: what a validation split says about how far probabilities can be believed.

Shapes: N images, K classes. A temperature T divides the logits: p^(1/T) normalised (Guo and others 2017); above 1 it makes
probabilities less sure. It changes no argmax, but which classes pass a threshold, and how much weight an expert has.

scipy is imported inside the functions that fit.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.mnn import checks
from metann.statistics.temperature import LEAST, apply_temperature, checked_temperature, fit_temperature, least_over_temperatures
from metann.tables.probabilities import Probabilities

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


def calibrated(
    table: Probabilities, expert_NK: np.ndarray, dataset_threshold: float, combine: str, temperature: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Switch and experts after calibration on validation images, base rates where the rule needs them, and the temperatures.

    An expert is fitted on the validation images that would have been in its training set: where the switch as trained gives its
    class the dataset threshold.
    """

    val = table.rows("val")
    val_NK, labels_N = table.p_NK[val].astype(np.float64), table.label[val].astype(np.int64)
    prior_K = base_rates(val_NK, labels_N, dataset_threshold) if combine == "product_calibrated" else None
    if temperature == "none":
        return table.p_NK, expert_NK, prior_K, {}
    switch_temperature = fit_temperature(val_NK, labels_N)
    # float32, as it is stored: what is evaluated and what later stages read are the same numbers.
    switch_NK = apply_temperature(table.p_NK, switch_temperature).astype(np.float32)
    fitted, columns = [], []
    for c in range(expert_NK.shape[1]):
        asked = val_NK[:, c] >= dataset_threshold
        fitted.append(fit_expert_temperature(expert_NK[val, c][asked], labels_N[asked] == c))
        columns.append(apply_expert_temperature(expert_NK[:, c], fitted[-1]))
    return switch_NK, np.stack(columns, axis=1), prior_K, {"switch": switch_temperature, "experts": fitted}
