"""Temperatures: how far the probabilities of a classifier can be believed, fitted on images that it has not learned from.

Shapes: N images, K classes. A temperature T divides the logits: p^(1/T) normalised (Guo and others 2017); above 1 it makes
probabilities less sure. It changes no argmax, but which answers pass a threshold, and how much weight they have beside others.

scipy is imported inside the function that fits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.statistics import checks

BOUNDS = (0.05, 20.0)
LEAST = 2.0**-150
"""A float32 exponential that underflowed is below 2^-149: what a rounded 0 may have been."""


def fit_temperature(p_NK: Any, labels_N: Any) -> float:
    """The temperature with the least negative log likelihood of the true classes.

    Args:
        p_NK: (N, K) probabilities.
        labels_N: (N,) true classes.

    Returns:
        T in `BOUNDS`; 1 where the images determine none: no images, rows without preference, every image right (sharper
        would always be better), or no better than guessing (flatter would).

    Raises:
        MetannError: shapes that do not belong together, NaN, or values outside [0, 1].
    """
    p_NK = checks.probability_table("p_NK", p_NK)
    labels_N = checks.class_labels(labels_N, p_NK.shape)
    log_NK = np.log(np.maximum(p_NK, LEAST))
    true_N = log_NK[np.arange(len(labels_N)), labels_N]
    relative_NK = log_NK - true_N[:, None]

    def loss(temperature: float) -> float:
        scaled_NK = relative_NK / temperature
        top_N = scaled_NK.max(axis=1)
        return float((top_N + np.log(np.exp(scaled_NK - top_N[:, None]).sum(axis=1))).mean())

    return least_over_temperatures(loss, len(labels_N))


def apply_temperature(p_NK: Any, temperature: float) -> np.ndarray:
    """Probabilities at a temperature: p^(1/T), rows normalised; exact zeros stay zero.

    Returns:
        (N, K) float64; with T = 1 the normalised input. A row of zeros only stays zero.

    Raises:
        MetannError: T not positive and finite, or a broken table.
    """
    p_NK = checks.probability_table("p_NK", p_NK)
    temperature = checked_temperature(temperature)
    top_N = p_NK.max(axis=1, keepdims=True)
    scaled_NK = (p_NK / np.where(top_N > 0, top_N, 1)) ** (1 / temperature)
    sums_N = scaled_NK.sum(axis=1, keepdims=True)
    return scaled_NK / np.where(sums_N > 0, sums_N, 1)


def least_over_temperatures(loss: Callable[[float], float], images: int) -> float:
    """Temperature of the least loss, sought over log T, in which it has one minimum (the loss is convex in 1/T)."""
    from scipy.optimize import minimize_scalar

    if images == 0:
        return 1.0
    low, high = np.log(BOUNDS)
    found = minimize_scalar(lambda x: loss(float(np.exp(x))), bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    at_an_end = min(found.x - low, high - found.x) < 1e-3
    no_better = loss(1.0) - found.fun <= 1e-12
    return 1.0 if at_an_end or no_better else float(np.exp(found.x))


def checked_temperature(given: float) -> float:
    """A temperature as a float; a MetannError where it is none."""
    if not (np.isfinite(given) and given > 0):
        raise MetannError(f"temperature {given!r} is not a positive number; 1 changes nothing")
    return float(given)
