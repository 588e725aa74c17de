"""Figure cascade_frontier: what accuracy costs, over all ordered chains of networks."""

import pandas as pd
from matplotlib.figure import Figure

from metann.figures._axes import macs_axis
from metann.figures._cascade import short
from metann.figures._labels import name_points
from metann.figures._style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    confidence_of,
    new_figure,
    no_figure,
    seeds_text,
    styled,
)

CAPTION = """
Accuracy against multiply-accumulates per image, of the chains of networks than which **validation** knows none as accurate at less cost:
the line is what they had on the images that chose them, the dots are the same chains on test images. The best of many settings is too good
to be true on the images that chose it; how far the dots lie below the line says by how much (they may lie above it where the test images
are easier). Squares are single networks on test images, the diamond is the mean of all networks.
"""
TABLES = ("cascade_frontier", "cascade_networks")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """The first seed; the others have chains of their own."""
    frontier, networks = tables["cascade_frontier"], tables["cascade_networks"]
    title = "What accuracy costs, over all chains of networks"
    if frontier.empty:
        return no_figure(title, "Not every chain was searched; `chains: all` in the section `cascade` does.")
    seed = frontier["seed"].iloc[0]
    mine = frontier[frontier["seed"] == seed]
    front, chosen = mine[mine["frontier"]].sort_values("judged_macs", kind="stable"), mine[mine["chosen"]].iloc[0]
    singles = networks[networks["seed"] == seed]
    confidence, dataset = confidence_of(frontier), frontier.attrs.get("dataset")
    judged = f"{'other half' if frontier.attrs.get('cross_fit') else 'validation'}, n = {int(mine['judged_n'].iloc[0]):,}"
    footnote = (
        f"{f'{dataset}, ' if dataset else ''}n = {int(mine['n'].iloc[0]):,} test images, {seeds_text([int(seed)])};"
        f" {sum(frontier.attrs.get('tried', [])):,} settings searched. Bars: {100 * confidence:g} % Wilson intervals."
    )
    figure = new_figure(8.6, 5.2, title, footnote)
    axes = figure.subplots()
    axes.step(front["judged_macs"], 100 * front["judged_accuracy"], where="post", color=BLUE, linewidth=1.3, label=f"frontier on {judged}")
    axes.plot(front["macs"], 100 * front["accuracy"], "o", color=ORANGE, markersize=4, label="the same chains, test", zorder=4)
    bars = {"linestyle": "none", "capsize": 2.5, "elinewidth": 0.9}
    ends = 100 * (singles[["accuracy", "high"]].to_numpy() - singles[["low", "accuracy"]].to_numpy()).T
    axes.errorbar(
        singles["macs"],
        100 * singles["accuracy"],
        ends,
        marker="s",
        color=GREY,
        markersize=5,
        label="single network, test",
        zorder=3,
        **bars,
    )
    level = 100 * chosen["ensemble_accuracy"]
    axes.plot([chosen["ensemble_macs"]], [level], "D", color=PURPLE, markersize=7, label=f"mean of all {len(singles)}, test", zorder=5)
    axes.axhline(level, color=PURPLE, linewidth=0.8, linestyle=":", zorder=1)
    end = [[100 * (chosen["accuracy"] - chosen["accuracy_low"])], [100 * (chosen["accuracy_high"] - chosen["accuracy"])]]
    label = f"chosen, test:\n{_in_lines(chosen['chain'])}"
    axes.errorbar(
        [chosen["macs"]], [100 * chosen["accuracy"]], end, marker="o", color=VERMILION, markersize=7, label=label, zorder=6, **bars
    )
    seen = [(chosen["ensemble_macs"], level), (chosen["macs"], 100 * chosen["accuracy"])]
    name_points(axes, [(row.macs, 100 * row.accuracy, short(row.network)) for row in singles.itertuples()], seen)
    macs_axis(axes, [*singles["macs"], *front["macs"], chosen["ensemble_macs"]])
    floor, top = (
        100 * min(singles["low"].min(), front["accuracy"].min(), front["judged_accuracy"].min()),
        100 * max(front["judged_accuracy"].max(), chosen["accuracy_high"]),
    )
    axes.set(ylim=(floor - 0.1 * (top - floor), top + 0.06 * (top - floor)), ylabel="accuracy (%)")
    axes.axvline(chosen["macs"], color=BLACK, linewidth=0.5, linestyle=":", zorder=1)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _in_lines(chain: str) -> str:
    """A chain, a network to a line."""
    return "\n> ".join(short(name) for name in chain.split(" > "))
