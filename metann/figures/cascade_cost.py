"""Figure cascade_cost: what accuracy costs, for every pair, every single network and the oracle."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._axes import macs_axis
from metann.figures._cascade import cascade_facts, chosen_pair, short
from metann.figures._labels import name_points
from metann.figures._style import BLACK, GREY, ORANGE, PURPLE, SKY, VERMILION, confidence_of, new_figure, no_figure, styled
from metann.statistics.intervals import over_seeds

CAPTION = """
Test accuracy against multiply-accumulates per image, of every pair of networks at its most accurate threshold on **validation**, of the
single networks, and of the oracle for each pair (it knows when the first network is wrong: a bound, not a method). Filled dots are pairs
that nothing else beats on validation in both accuracy and cost; the line is the chosen pair over all thresholds.
"""
TABLES = ("cascade_choice", "cascade_curves", "cascade_networks", "cascade_pairs", "cascade_results")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over seeds."""
    choice, pairs, networks = tables["cascade_choice"], tables["cascade_pairs"], tables["cascade_networks"]
    if not choice["macs"].notna().all() or not networks["macs"].notna().all():
        return no_figure("Accuracy against cost", "The networks' multiply-accumulates are unknown; give `macs` of imported tables.")
    confidence = confidence_of(choice)
    singles = networks.groupby("network")[["macs"]].mean()
    ends = [over_seeds(mine["accuracy"], mine["low"], mine["high"], confidence) for _, mine in networks.groupby("network")]
    singles[["accuracy", "low", "high"]] = np.clip(ends, 0, 1)
    oracle = tables["cascade_results"].query("score == 'oracle'").groupby(["first", "second"])[["macs", "accuracy"]].mean()
    pick = choice.iloc[0]
    same = {"first": pick["first"], "second": pick["second"], "score": pick["score"], "answer": pick["answer"]}
    curve = tables["cascade_curves"]
    for column, value in same.items():
        curve = curve[curve[column] == value]
    curve = curve.groupby("threshold")[["macs", "accuracy"]].mean().sort_values("macs")

    footnote = f"{cascade_facts(choice)}; bars: {100 * confidence:g} % intervals, {'over seeds' if len(choice) > 1 else 'Wilson'}."
    figure = new_figure(8.6, 5.4, "Accuracy against cost of every pair", footnote)
    axes = figure.subplots()
    axes.plot(oracle["macs"], 100 * oracle["accuracy"], "+", color=PURPLE, markersize=5, alpha=0.7, label="oracle of a pair", zorder=2)
    others, front = pairs[~pairs["pareto"]], pairs[pairs["pareto"]]
    axes.plot(others["macs"], 100 * others["accuracy"], "o", markerfacecolor="none", color=SKY, markersize=5, label="pair", zorder=3)
    axes.plot(front["macs"], 100 * front["accuracy"], "o", color=VERMILION, markersize=5.5, label="pair, unbeaten on validation", zorder=5)
    axes.plot(curve["macs"], 100 * curve["accuracy"], color=ORANGE, linewidth=1.2, label="chosen pair over thresholds", zorder=4)
    _bars(axes, singles["macs"], singles["accuracy"], singles["low"], singles["high"], "s", GREY, "single network", 5)
    mean, *chosen = over_seeds(choice["accuracy"], choice["accuracy_low"], choice["accuracy_high"], confidence)
    _bars(axes, choice["macs"].mean(), mean, *np.clip(chosen, 0, 1), "o", BLACK, f"chosen: {chosen_pair(choice)}", 8)
    names = [(row["macs"], 100 * row["accuracy"], short(str(name))) for name, row in singles.iterrows()]
    seen = [*zip(pairs["macs"], 100 * pairs["accuracy"], strict=True), (choice["macs"].mean(), 100 * mean)]
    name_points(axes, names, seen)

    macs_axis(axes, [*singles["macs"], *pairs["macs"]])
    floor = 100 * min(singles["low"].min(), pairs["accuracy"].min())
    top = 100 * max(oracle["accuracy"].max(), pairs["accuracy"].max())
    axes.set(ylim=(floor - 0.09 * (top - floor), top + 0.05 * (top - floor)), ylabel="test accuracy (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _bars(axes: Axes, x: object, y: object, low: object, high: object, marker: str, colour: str, label: str, size: float) -> None:
    ends = [[100 * (value - end) for value, end in zip(_list(y), _list(low), strict=True)]]
    ends.append([100 * (end - value) for value, end in zip(_list(y), _list(high), strict=True)])
    style = {"linestyle": "none", "capsize": 2.5, "elinewidth": 0.9, "markersize": size, "zorder": 6 if colour == GREY else 8}
    axes.errorbar(_list(x), [100 * value for value in _list(y)], ends, marker=marker, color=colour, label=label, **style)


def _list(values: object) -> list[float]:
    return [float(value) for value in values] if isinstance(values, pd.Series) else [float(values)]
