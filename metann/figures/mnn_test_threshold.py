"""Figure mnn_test_threshold: accuracy and experts per image over the test threshold (the report's figure 4)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._style import BLACK, GREY, HALO, facts, new_figure, no_figure, spread_text, styled, threshold_colours
from metann.thresholds import format_threshold

CAPTION = """
Test accuracy over the test threshold, from asking every expert (0) to asking none (right). One curve for each dataset threshold, exact
at every threshold; dots are the evaluated cells. The dashed line is the switch alone, the ring the threshold that **validation** chose. The
band belongs to the chosen dataset threshold; where it holds the dashed line there is no evidence of a gain. Below: experts asked per image.
"""
TABLES = ("mnn_results", "mnn_choice", "mnn_curves")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Mean over seeds; the band is the paired interval of the gain for one seed and the range over seeds for several."""
    results, curves = tables["mnn_results"], tables["mnn_curves"].query("curve == 'threshold'")
    picks = tables["mnn_choice"].query("scope == 'chosen_threshold'")
    if picks.empty:
        return no_figure("Accuracy over the test threshold", "The run has no test thresholds.")
    seeds = results["seed"].nunique()
    thresholds = sorted(curves["dataset_threshold"].unique())
    colours = threshold_colours(thresholds)
    chosen = picks["dataset_threshold"].mode().iloc[0]
    baseline = 100 * curves.groupby("seed")["baseline_accuracy"].first().mean()

    band = spread_text(seeds, tables["mnn_curves"].attrs.get("confidence", 0.95))
    footnote = f"{facts(results)}. Band: {band}, dataset threshold {format_threshold(chosen)}."
    figure = new_figure(7.5, 5.6, "Accuracy over the test threshold", footnote)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
    for threshold in thresholds:
        mine = curves[curves["dataset_threshold"] == threshold]
        mean = mine.groupby("threshold")[["accuracy", "mean_experts"]].mean().reset_index()
        line = {"color": colours[threshold], "linewidth": 1.6 if threshold == chosen else 0.9, "zorder": 4 if threshold == chosen else 3}
        top.plot(mean["threshold"], 100 * mean["accuracy"], label=format_threshold(threshold), **line)
        if threshold == chosen:
            low, high = _band(mine, seeds)
            top.fill_between(mean["threshold"], low, high, color=colours[threshold], alpha=0.18, linewidth=0)
        cells = results[(results["split"] == "test") & (results["switch_function"] == "threshold")]
        cells = cells[cells["dataset_threshold"] == threshold].groupby("test_threshold")["accuracy"].mean()
        if threshold == chosen or len(thresholds) <= 4:
            top.plot(cells.index, 100 * cells, ".", color=colours[threshold], markersize=4, zorder=line["zorder"])
    # The switch alone decides how many experts are asked: one line for all dataset thresholds.
    experts = curves.groupby("threshold")["mean_experts"].mean()
    below.plot(experts.index, experts, color=BLACK, linewidth=1.3)
    top.axhline(baseline, color=BLACK, linewidth=1, linestyle="--", label=f"switch alone, {baseline:.2f} %", zorder=2)
    for number, pick in enumerate(picks.itertuples()):
        point = curves[(curves["dataset_threshold"] == pick.dataset_threshold)]
        y = 100 * (pick.accuracy if seeds == 1 else _at(point, pick.test_threshold))
        label = "chosen on validation" if number == 0 else None
        top.plot(pick.test_threshold, y, "o", markersize=9, markerfacecolor="none", color=BLACK, zorder=6, label=label)
    _limits(top, curves, baseline, high.max())
    top.set_ylabel("test accuracy (%)")
    top.legend(title="dataset threshold", title_fontsize=8, alignment="left", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    below.set(xlabel="test threshold (a class is active at this probability or more)", ylabel="experts per image")
    below.set_yscale("symlog", linthresh=1)
    classes = curves["mean_experts"].max()
    ticks = [tick for tick in (0, 0.5, 1, 2, 5, 10, 20, 50, 100) if tick <= classes * 1.01]
    below.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    below.minorticks_off()
    below.set(xlim=(-0.01, 1.01), ylim=(0, classes * 1.08))
    for axes in (top, below):
        axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
    return figure


def _band(mine: pd.DataFrame, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the band in percent, at every threshold of the curve."""
    if seeds == 1:
        ordered = mine.sort_values("threshold")
        return tuple(100 * (ordered["baseline_accuracy"] + ordered[end]).to_numpy() for end in ("low", "high"))
    spread = mine.groupby("threshold")["accuracy"]
    return 100 * spread.min().to_numpy(), 100 * spread.max().to_numpy()


def _at(curves: pd.DataFrame, threshold: float) -> float:
    mean = curves.groupby("threshold")["accuracy"].mean()
    return float(mean.iloc[np.abs(mean.index.to_numpy() - threshold).argmin()])


def _limits(axes: Axes, curves: pd.DataFrame, baseline: float, band_top: float) -> None:
    """Cut what falls far below the switch near threshold 0, and say how far it goes."""
    mean = 100 * curves.groupby(["dataset_threshold", "threshold"])["accuracy"].mean()
    inner = mean[mean.index.get_level_values("threshold") >= 0.1]
    span = max(mean.max() - baseline, 0.4)
    cut = min(baseline - 3 * span, inner.min() - 0.1 * span)
    if mean.min() < cut - 0.3 * span:
        axes.annotate(
            f"down to {mean.min():.1f} % near 0",
            (0.02, cut),
            (12, 4),
            textcoords="offset points",
            fontsize=7.5,
            color=GREY,
            path_effects=HALO,
            zorder=8,
        )
        low = cut
    else:
        low = min(mean.min(), baseline) - 0.12 * span
    high = max(mean.max(), baseline, band_top)
    axes.set_ylim(low, high + 0.05 * (high - low))
