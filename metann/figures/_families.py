"""What the figures over families share: a colour for each family, intervals of means, and axes of cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from metann.figures._style import BLUE, GREEN, GREY, PURPLE, VERMILION
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


def logarithmic(low: float, high: float, most: int = 9) -> list[float]:
    """Round numbers between two ends for the ticks of a logarithmic axis, at most so many."""
    for factors in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in range(-6, 16) for factor in factors if low <= factor * 10.0**power <= high]
        if len(ticks) <= most:
            return ticks
    return ticks


def macs_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis of multiply-accumulates that holds all values."""
    low, high = min(values) / 1.25, max(values) * 1.25
    factor, unit = next(
        (f, u) for f, u in ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands"), (1.0, "each")) if high >= f or f == 1.0
    )
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(logarithmic(low, high))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / factor:,.4g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlabel(f"multiply-accumulates per image ({unit}), logarithmic")
    axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
