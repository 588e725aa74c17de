"""Intervals of shares and means."""

from typing import Any, NamedTuple

import numpy as np

from metann.errors import MetannError


class Interval(NamedTuple):
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float


def wilson_interval(correct: Any, n: Any, confidence: float = 0.95) -> tuple[Any, Any]:
    """Wilson's score interval of a share (Wilson 1927): (low, high), numbers or arrays as `correct` and `n` are.

    Without images nothing is known: (0, 1).

    Raises:
        MetannError: correct outside 0..n, or a confidence outside (0, 1).
    """
    correct, n = np.broadcast_arrays(np.asarray(correct, np.float64), np.asarray(n, np.float64))
    if not ((correct >= 0) & (correct <= n)).all():
        raise MetannError("wilson_interval: correct must lie in 0..n everywhere")
    z = normal_quantile(confidence)
    total = n + z * z
    centre = (correct + z * z / 2) / total
    half = z / total * np.sqrt(correct * (1 - correct / np.maximum(n, 1)) + z * z / 4)
    # The ends are 0 and 1 exactly where nothing, or everything, is right; rounding would leave 1e-17.
    low = np.where(correct == 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(correct == n, 1.0, np.minimum(centre + half, 1.0))
    return low[()], high[()]


def t_interval(values: Any, confidence: float = 0.95) -> Interval:
    """Mean over seeds with Student's t interval; the ends are NaN for a single value, which says nothing of the spread.

    Raises:
        MetannError: no values, or values that are not finite.
    """
    from scipy.special import stdtrit

    values = checked_values(values)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stdtrit(n - 1, 0.5 + checked_confidence(confidence) / 2) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def over_seeds(values: Any, low: Any, high: Any, confidence: float = 0.95) -> Interval:
    """Of several seeds the mean with Student's t interval; of one seed its value and the interval that it has already (low, high).

    The mean of the seeds' own intervals would say how sure one seed is of its images, and nothing of the next seed.

    Args:
        values, low, high: one each per seed.

    Raises:
        MetannError: no values, or values that are not finite.
    """
    values = checked_values(values)
    if len(values) > 1:
        return t_interval(values, confidence)
    return Interval(float(values[0]), float(np.asarray(low)[0]), float(np.asarray(high)[0]))


def checked_values(given: Any) -> np.ndarray:
    values = np.asarray(given, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise MetannError(f"needed one or more finite values, one per seed; given shape {values.shape}")
    return values


def checked_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise MetannError(f"confidence {confidence!r} is not between 0 and 1; write one such as 0.95")
    return float(confidence)


def normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + checked_confidence(confidence) / 2))
