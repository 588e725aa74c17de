"""Figure mnn_cost: what accuracy costs, with the controls that belong on the same picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._axes import log_axis, unit_of
from metann.figures._labels import name_points
from metann.figures._style import (
    BLACK,
    BLUE,
    GREY,
    HALO,
    ORANGE,
    PURPLE,
    VERMILION,
    confidence_of,
    facts,
    new_figure,
    styled,
    threshold_colours,
)
from metann.thresholds import format_threshold

CAPTION = """
Test accuracy against multiply-accumulates per image. Solid lines: the meta network over all test thresholds, one for each dataset
threshold; crosses: the other switch functions. The black dot is the setting that **validation** chose. To be worth its cost it has to lie
above the switch alone, above the random prefix (the same number of experts, dealt to the images at random), above one other network that
is asked when the switch is unsure (blue), and above the plain networks at the same cost. The dotted line is the oracle, which knows the
true class: the best that any choice of experts could buy.
"""
OPINIONS = ("second", "generic")  # kinds of controls: one other network
SHOWN = ("baseline", "network", *OPINIONS)
TABLES = ("mnn_results", "mnn_choice", "mnn_controls", "mnn_curves")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over seeds. Without MACs in the tables the axis is experts per image and plain networks are left out."""
    results, curves, controls, choice = (tables[f"mnn_{name}"] for name in ("results", "curves", "controls", "choice"))
    chosen = choice[choice["scope"] == "chosen"]
    known = bool(curves["mean_macs"].notna().all())
    cost = "mean_macs" if known else "mean_experts"
    seeds = results["seed"].nunique()
    thresholds = sorted(curves["dataset_threshold"].unique())
    colours = threshold_colours(thresholds)
    bars = f"bars: {100 * confidence_of(controls):g} % intervals (Wilson; chosen: paired gain)" if seeds == 1 else "bars: range over seeds"
    figure = new_figure(8, 5.2, "Accuracy against cost", f"{facts(results)}; {bars}.")
    axes = figure.subplots()

    baseline = controls[controls["kind"] == "baseline"]
    level = 100 * baseline["accuracy"].mean()
    axes.axhline(level, color=BLACK, linewidth=0.8, linestyle="--", zorder=1)
    others = results[(results["split"] == "test") & ~results["switch_function"].isin(["threshold", "none"])]
    picked = chosen["dataset_threshold"].mode().iloc[0]
    for threshold in thresholds:
        line = _mean(curves, "threshold", threshold, cost)
        wide = 1.8 if threshold == picked else 0.9
        axes.plot(
            line[cost],
            100 * line["accuracy"],
            color=colours[threshold],
            linewidth=wide,
            label=f"dataset threshold {format_threshold(threshold)}",
            zorder=4,
        )
        cells = others[others["dataset_threshold"] == threshold].groupby(["switch_function", "parameter"])[[cost, "accuracy"]].mean()
        axes.plot(cells[cost], 100 * cells["accuracy"], "x", color=colours[threshold], markersize=5, markeredgewidth=1.2, zorder=5)
        if threshold == picked:
            named = cells
    axes.plot([], [], "x", color=GREY, markersize=5, label="other switch functions")
    for curve, label, style, colour in (("random_prefix", "random prefix", "-.", ORANGE), ("oracle", "oracle", ":", PURPLE)):
        line = _mean(curves, curve, picked, cost)
        axes.plot(
            line[cost], 100 * line["accuracy"], style, color=colour, linewidth=1.5, label=f"{label} ({format_threshold(picked)})", zorder=3
        )
    _points(axes, controls, chosen, cost, seeds)
    dots = pd.concat([controls[controls["kind"].isin(SHOWN)], chosen]).groupby("control", dropna=False)[[cost, "accuracy"]].mean()
    _name(axes, named, cost, dots.dropna())

    axes.set_ylabel("test accuracy (%)")
    low = _limits(axes, curves, controls, level)
    seen = curves[(curves["curve"] == "threshold") & (100 * curves["accuracy"] >= low)]
    right = max(seen[cost].max(), controls[cost].max(), chosen[cost].max())
    if known:
        _macs_axis(axes, curves["mean_macs"].min(), right)
    else:
        axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
        axes.set(xlabel="experts per image (multiply-accumulates are unknown)", xlim=(-0.03 * right, 1.05 * right))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _mean(curves: pd.DataFrame, curve: str, threshold: float, cost: str) -> pd.DataFrame:
    """The mean of a curve over seeds, in order of cost: point by point, since all seeds share the grid."""
    mine = curves[(curves["curve"] == curve) & (curves["dataset_threshold"] == threshold)]
    number = mine.groupby("seed").cumcount()
    return mine.groupby(number)[[cost, "accuracy"]].mean()


def _points(axes: Axes, controls: pd.DataFrame, chosen: pd.DataFrame, cost: str, seeds: int) -> None:
    baseline = controls[controls["kind"] == "baseline"]
    style = {"capsize": 3, "elinewidth": 1.2, "linestyle": "none", "zorder": 7}
    axes.errorbar(*_dot(baseline, cost, seeds), marker="s", color=GREY, markersize=6, label="switch alone", **style)
    shown = controls[controls["kind"].isin(("network", *OPINIONS))].dropna(subset=[cost])
    for ((_, name), rows), marker in zip(shown.groupby(["kind", "control"]), "D^vP*Xp<>hH" * 9, strict=False):
        colour, words = (
            (VERMILION, f"plain network '{name}'") if rows["kind"].iloc[0] == "network" else (BLUE, f"'{name}', asked when unsure")
        )
        axes.errorbar(*_dot(rows, cost, seeds), marker=marker, color=colour, markersize=6, label=words, **style)
    mnn = chosen.assign(
        accuracy_low=chosen["baseline_accuracy"] + chosen["low"], accuracy_high=chosen["baseline_accuracy"] + chosen["high"]
    )
    axes.errorbar(*_dot(mnn, cost, seeds), marker="o", color=BLACK, markersize=7, label="chosen on validation", **style)


def _dot(rows: pd.DataFrame, cost: str, seeds: int) -> tuple[float, float, np.ndarray]:
    """x, y in percent and the lengths of the bar below and above."""
    mean = rows["accuracy"].mean()
    low, high = (
        (rows["accuracy_low"].mean(), rows["accuracy_high"].mean()) if seeds == 1 else (rows["accuracy"].min(), rows["accuracy"].max())
    )
    return rows[cost].mean(), 100 * mean, 100 * np.array([[max(mean - low, 0)], [max(high - mean, 0)]])


def _limits(axes: Axes, curves: pd.DataFrame, controls: pd.DataFrame, level: float) -> float:
    """Room for everything but curves far below the switch and an oracle far above: they are cut, and said to be.

    Returns:
        The lower end of the y axis.
    """
    mine = 100 * curves.loc[curves["curve"] == "threshold", "accuracy"]
    real = 100 * controls.loc[controls["kind"].isin(SHOWN), ["accuracy_low", "accuracy_high"]]
    best, oracle = max(mine.max(), real.max(axis=None)), 100 * curves.loc[curves["curve"] == "oracle", "accuracy"].max()
    span = max(best - level, level - real.min(axis=None), 0.5)
    high, low = (
        max(best, min(oracle, best + 1.2 * span)) + 0.1 * span,
        max(min(mine.min(), real.min(axis=None)), level - 1.5 * span) - 0.1 * span,
    )
    axes.set_ylim(low, high)
    for value, text, end, shift in ((oracle, "oracle up to", high, -9), (mine.min(), "curves down to", low, 4)):
        if not low <= value <= high:
            axes.annotate(
                f"{text} {value:.1f} %",
                (0.98, end),  # of the axes, of the data
                (0, shift),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                fontsize=7.5,
                color=GREY,
                path_effects=HALO,
                zorder=8,
            )
    return float(low)


def _name(axes: Axes, cells: pd.DataFrame, cost: str, dots: pd.DataFrame) -> None:
    """The names of switch functions beside their crosses, clear of the dots."""
    texts = (f"{name}({parameter})" if parameter else name for name, parameter in cells.index)
    name_points(
        axes,
        zip(cells[cost], 100 * cells["accuracy"], texts, strict=True),
        zip(dots[cost], 100 * dots["accuracy"], strict=True),
        fontsize=6,
    )


def _macs_axis(axes: Axes, low: float, high: float) -> None:
    """In units, and in multiples of the switch alone."""
    factor, unit = unit_of(low)
    ticks = [low]
    for times in (1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 11, 20, 50, 100, 200, 500):
        if low * times <= high * 1.05 and np.log(low * times / ticks[-1]) > 0.08 * np.log(1.14 * high / low):
            ticks.append(low * times)
    label = f"multiply-accumulates per image ({unit}; × the switch alone), logarithmic"
    log_axis(axes, low * 0.95, high * 1.08, ticks, lambda value: f"{_short(value / factor)}\n({value / low:.3g} ×)", label)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
