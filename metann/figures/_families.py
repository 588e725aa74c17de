"""What the figures over families share: a colour for each family and intervals of means."""

import numpy as np
import pandas as pd

from metann.figures._style import BLUE, GREEN, PURPLE, VERMILION
from metann.statistics.intervals import t_interval

COLOURS = {"mnn": BLUE, "cascade": VERMILION, "mixture": GREEN, "hypernetwork": PURPLE}
MANY = 1500
"""Marks above which a scatter is drawn as pixels: an SVG with thousands of shapes is slow everywhere."""


def with_interval(rows: pd.DataFrame, confidence: float) -> tuple[float, float, float]:
    """Mean accuracy with its ends: over seeds (Student t), or of the row itself where there is one seed."""
    if rows["seed"].nunique() > 1:
        return tuple(t_interval(rows["accuracy"].to_numpy(), confidence))
    return tuple(float(value) for value in rows[["accuracy", "low", "high"]].iloc[0])


def bar(mean: float, low: float, high: float) -> np.ndarray:
    """(2, 1) lengths below and above, in percent."""
    return 100 * np.array([[max(mean - low, 0)], [max(high - mean, 0)]])
