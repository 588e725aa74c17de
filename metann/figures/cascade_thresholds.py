"""Figure cascade_thresholds: accuracy and use of the chosen pair over the threshold, for every score."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.config.cascade_answers import way
from metann.figures._cascade import cascade_facts, chosen_pair, score_name, short
from metann.figures._style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, new_figure, styled

CAPTION = """
Test accuracy (above) and share of images sent to the second network (below) over the threshold, for the chosen pair and every score.
To the left the second network is never asked, to the right nearly always. Dots are the thresholds that **validation** chose. Without
post-check the second answer is always taken, with post-check only where it is the more confident one; a mean or a product puts both
answers together.
"""
TABLES = ("cascade_choice", "cascade_curves", "cascade_results", "cascade_networks")
_COLOURS = {"second": BLUE, "more_confident": VERMILION, "mean": ORANGE, "product": GREEN}


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Mean over seeds; entropy runs backwards, because a low entropy is a sure answer."""
    choice, networks = tables["cascade_choice"], tables["cascade_networks"]
    first, second = choice["first"].iloc[0], choice["second"].iloc[0]
    curves = tables["cascade_curves"].query("first == @first and second == @second")
    results = tables["cascade_results"].query("first == @first and second == @second")
    fitted = results[(results["search"] == choice["search"].iloc[0]) & (results["objective"] == choice["objective"].iloc[0])]
    alone = networks.groupby("network")["accuracy"].mean()
    bound = 100 * results.loc[results["score"] == "oracle", "accuracy"].mean()
    scores = list(dict.fromkeys(curves["score"]))

    footnote = (
        f"{cascade_facts(choice)}. Dots: chosen on validation ({choice['search'].iloc[0]} search, objective {choice['objective'].iloc[0]})."
    )
    title = f"{chosen_pair(choice)}: accuracy and use over the threshold"
    figure = new_figure(max(3.1 * len(scores) + 1.9, 0.105 * len(title)), 5.4, title, footnote)
    grid = figure.subplots(2, len(scores), sharey="row", sharex="col", squeeze=False, height_ratios=(1.5, 1))
    for column, score in enumerate(scores):
        top, below = grid[0, column], grid[1, column]
        for answer, line in curves[curves["score"] == score].groupby("answer", sort=False):
            mean = line.groupby("threshold")[["accuracy", "use"]].mean()
            style = {"color": _COLOURS[answer], "linewidth": 1.6}
            top.plot(mean.index, 100 * mean["accuracy"], label=way(answer), **style)
            below.plot(mean.index, 100 * mean["use"], **style)
            points = fitted[(fitted["score"] == score) & (fitted["answer"] == answer)]
            for axes, value in ((top, "accuracy"), (below, "use")):
                axes.plot(
                    points["threshold"], 100 * points[value], "o", color=_COLOURS[answer], markeredgecolor="white", markersize=7, zorder=5
                )
        _levels(top, alone[first], alone[second], bound, short(first), short(second))
        if _backwards(curves, score):
            below.invert_xaxis()
        top.set_title(score_name(score))
        below.set_xlabel("threshold")
        for axes in (top, below):
            axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
    low = 100 * min(curves["accuracy"].min(), alone[first], alone[second])
    grid[0, 0].set(ylabel="test accuracy (%)", ylim=(low - 0.15 * (bound - low), bound + 0.12 * (bound - low)))
    grid[1, 0].set(ylabel="sent to the second (%)", ylim=(-2, 102))
    grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _backwards(curves: pd.DataFrame, score: str) -> bool:
    """Whether a higher threshold sends fewer images."""
    mean = curves[curves["score"] == score].groupby("threshold")["use"].mean()
    return bool(mean.iloc[-1] < mean.iloc[0])


def _levels(axes: Axes, first: float, second: float, bound: float, first_name: str, second_name: str) -> None:
    for value, style, colour, name in (
        (100 * first, "--", GREY, f"{first_name} alone, {100 * first:.2f} %"),
        (100 * second, ":", BLACK, f"{second_name} alone, {100 * second:.2f} %"),
        (bound, "-.", PURPLE, f"oracle, {bound:.2f} %"),
    ):
        axes.axhline(value, linestyle=style, color=colour, linewidth=1, label=name, zorder=1)
