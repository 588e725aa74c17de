"""Figure mnn_misclassified: what the switch's mistakes look like, and what the experts do about them."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._style import BLACK, BLUE, GREY, ORANGE, SKY, VERMILION, facts, new_figure, styled
from metann.thresholds import format_threshold

CAPTION = """
The test images that the switch gets wrong, by its top probability, by its second probability and by the rank of the true class, at the
setting that **validation** chose. Upwards: recovered by the experts, not recovered although the true class was active (its expert was
asked), and not recovered with the true class not active. Downwards: images that the switch gets right and the experts break; where the red
is as long as the blue nothing is won. Last panel: the same over the test threshold.
"""
TABLES = ("mnn_results", "mnn_choice", "mnn_misclassified")
_PANELS = (
    ("top_probability", "top probability of the switch"),
    ("second_probability", "second probability of the switch"),
    ("rank", "rank of the true class (1 = most probable)"),
)


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Mean counts over seeds; every seed at its own chosen setting."""
    mistakes, results, choice = tables["mnn_misclassified"], tables["mnn_results"], tables["mnn_choice"]
    seeds = results["seed"].nunique()
    chosen = choice[choice["scope"] == "chosen"]
    settings = sorted({f"{_function(row)} with dataset threshold {format_threshold(row.dataset_threshold)}" for row in chosen.itertuples()})
    setting = settings[0] if len(settings) == 1 else f"each seed at its own setting ({len(settings)} different)"
    footnote = f"{facts(results)}. Chosen on validation: {setting}."
    figure = new_figure(9, 6.2, "The images that the switch gets wrong", footnote)
    panels = figure.subplots(2, 2).ravel()
    for axes, (by, label) in zip(panels, _PANELS, strict=False):
        counts = mistakes[mistakes["by"] == by].groupby(["low", "high"])[["wrong", "recovered", "missed_active", "broken"]].sum() / seeds
        _bars(axes, counts.reset_index(), by == "rank")
        axes.set_xlabel(label)
        axes.set_ylabel("test images")
    _over_threshold(panels[3], mistakes[mistakes["by"] == "test_threshold"], chosen, seeds)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, handlelength=1.2)
    return figure


def _function(row) -> str:
    return f"{row.switch_function}({row.parameter})" if row.parameter else row.switch_function


def _bars(axes: Axes, counts: pd.DataFrame, ranks: bool) -> None:
    places = range(len(counts))
    not_active = counts["wrong"] - counts["recovered"] - counts["missed_active"]
    axes.bar(places, counts["recovered"], color=BLUE, width=0.85, label="recovered")
    axes.bar(places, counts["missed_active"], bottom=counts["recovered"], color=SKY, width=0.85, label="true class active, not recovered")
    bottom = counts["recovered"] + counts["missed_active"]
    axes.bar(places, not_active, bottom=bottom, color="#cccccc", width=0.85, label="true class not active, not recovered")
    axes.bar(places, -counts["broken"], color=VERMILION, width=0.85, label="broken")
    axes.axhline(0, color=BLACK, linewidth=0.8)
    if ranks:
        texts = [f"{low:g}" if low == high else f"{low:g}–{high:g}" for low, high in zip(counts["low"], counts["high"], strict=True)]
    else:
        texts = [f"{low:.1f}–\n{high:.1f}" for low, high in zip(counts["low"], counts["high"], strict=True)]
    axes.set_xticks(list(places), texts, fontsize=7)
    _no_minus(axes)


def _no_minus(axes: Axes) -> None:
    """Counts below the line are counts too."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")


def _over_threshold(axes: Axes, mistakes: pd.DataFrame, chosen: pd.DataFrame, seeds: int) -> None:
    if mistakes.empty:
        axes.text(0.5, 0.5, "no test thresholds", ha="center", transform=axes.transAxes)
        return
    threshold = chosen["dataset_threshold"].mode().iloc[0]
    mine = mistakes[mistakes["dataset_threshold"] == threshold].groupby("low")[["wrong", "active", "recovered", "broken"]].sum() / seeds
    axes.axhline(mine["wrong"].iloc[0], color=GREY, linewidth=0.9, linestyle=":")
    axes.annotate(
        "wrong without experts", (1, mine["wrong"].iloc[0]), (0, -9), textcoords="offset points", ha="right", fontsize=7, color=GREY
    )
    lines = (("active", "true class active", ORANGE, "--"), ("recovered", "recovered", BLUE, "-"), ("broken", "broken", VERMILION, "-"))
    for name, label, colour, style in lines:
        axes.plot(mine.index, mine[name], color=colour, linestyle=style, linewidth=1.5, marker=".", markersize=4, label=label)
    axes.set(xlabel=f"test threshold (dataset threshold {format_threshold(threshold)})", ylabel="test images", xlim=(-0.01, 1.01))
    top = 1.12 * max(mine["wrong"].max(), mine["recovered"].max())
    axes.set_ylim(0, top)
    if mine["broken"].max() > top:
        where = mine["broken"].idxmax()
        text = f"broken: {mine['broken'].max():,.0f} at {where:g}"
        axes.annotate(text, (where, top), (6, -8), textcoords="offset points", fontsize=7, color=VERMILION)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.85))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
