"""Logarithmic axes: round ticks with their numbers, and nothing between."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from metann.figures._style import GREY

UNITS = ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands"), (1.0, "each"))


def unit_of(value: float) -> tuple[float, str]:
    """The largest of `UNITS` that a number reaches: (1e6, 'millions')."""
    return next((factor, name) for factor, name in UNITS if value >= factor or factor == 1.0)


def round_ticks(low: float, high: float, most: int = 9) -> list[float]:
    """Round numbers between two ends, at most so many."""
    for factors in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in range(-6, 16) for factor in factors if low <= factor * 10.0**power <= high]
        if len(ticks) <= most:
            return ticks
    return ticks


def log_axis(axes: Axes, low: float, high: float, ticks: Sequence[float], text: Callable[[float], str], label: str) -> None:
    """A logarithmic x axis from `low` to `high`, with a grid.

    Args:
        ticks: where, in data units.
        text: what stands at a tick.
        label: of the axis.
    """
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.grid(color=GREY, alpha=0.18, linewidth=0.6)


def macs_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis of multiply-accumulates that holds all values."""
    low, high = min(values) / 1.25, max(values) * 1.25
    factor, unit = unit_of((low * high) ** 0.5)  # of the middle of the axis
    label = f"multiply-accumulates per image ({unit}), logarithmic"
    log_axis(axes, low, high, round_ticks(low, high), lambda value: f"{value / factor:,.4g}", label)
