"""The interval of a mean over two kinds of chance at once: which tasks there are, and which seed a network was trained with.

Shapes: U units (tasks), S seeds.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.statistics.intervals import Interval, checked_confidence


def crossed_interval(values_US: Any, confidence: float = 0.95) -> Interval:
    """Mean with an interval that speaks of other units and other seeds, each unit seen with each seed.

    A value is mean + unit + seed + rest, the last three random. The mean squares of a two-way table give the variance of the mean,
    (MS_units + MS_seeds - MS_rest) / (U S), and Satterthwaite's degrees of freedom (Satterthwaite 1946). Never less than units
    alone or seeds alone say: a component that comes out below 0 is one of 0.

    Args:
        values_US: (U, S); with one seed it is Student's t interval over units, with one unit that over seeds.
        confidence: of the interval.

    Returns:
        The ends are NaN for a single value, which says nothing of the spread.

    Raises:
        MetannError: not two axes, no values, or values that are not finite.
    """
    from scipy.special import stdtrit

    values_US = np.asarray(values_US, np.float64)
    if values_US.ndim != 2 or not values_US.size or not np.isfinite(values_US).all():
        raise MetannError(f"crossed_interval: needed finite values, units by seeds; given shape {values_US.shape}")
    units, seeds = values_US.shape
    mean = float(values_US.mean())
    if values_US.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    by_unit_U, by_seed_S = values_US.mean(axis=1) - mean, values_US.mean(axis=0) - mean
    rest_US = values_US - mean - by_unit_U[:, None] - by_seed_S
    free = np.array([units - 1, seeds - 1, (units - 1) * (seeds - 1)])
    squares = np.array([seeds * (by_unit_U**2).sum(), units * (by_seed_S**2).sum(), (rest_US**2).sum()]) / np.maximum(free, 1)
    total = squares[0] + squares[1] - squares[2]
    larger = int(squares[1] > squares[0]) if units > 1 and seeds > 1 else int(seeds > 1)
    if total <= squares[larger]:
        total, degrees = squares[larger], float(free[larger])
    else:
        degrees = float(total**2 / (squares**2 / np.maximum(free, 1)).sum())
    half = float(stdtrit(degrees, 0.5 + checked_confidence(confidence) / 2) * np.sqrt(total / values_US.size))
    return Interval(mean, mean - half, mean + half)
