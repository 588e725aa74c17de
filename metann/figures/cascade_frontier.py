"""Figure cascade_frontier: what accuracy costs, over all ordered chains of networks."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from metann.figures._cascade import short
from metann.figures._style import (
    BLACK,
    BLUE,
    GREY,
    HALO,
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
    for row in singles.itertuples():
        style = {"textcoords": "offset points", "ha": "center", "fontsize": 7, "color": GREY, "path_effects": HALO, "zorder": 7}
        axes.annotate(short(row.network), (row.macs, 100 * row.low), (0, -9), **style)
    low, high = min(singles["macs"].min(), front["macs"].min()), max(chosen["ensemble_macs"], singles["macs"].max())
    axes.set_xscale("log")
    factors = (1, 2, 5) if high / low < 100 else (1, 3) if high / low < 1000 else (1,)
    axes.set_xticks([t for t in (f * 10.0**p for p in range(-1, 13) for f in factors) if low / 1.15 <= t <= high * 1.15])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:,.4g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    floor, top = (
        100 * min(singles["low"].min(), front["accuracy"].min(), front["judged_accuracy"].min()),
        100 * max(front["judged_accuracy"].max(), chosen["accuracy_high"]),
    )
    axes.set(xlim=(low / 1.3, high * 1.3), ylim=(floor - 0.1 * (top - floor), top + 0.06 * (top - floor)))
    axes.set(xlabel="multiply-accumulates per image (millions), logarithmic", ylabel="accuracy (%)")
    axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
    axes.axvline(chosen["macs"], color=BLACK, linewidth=0.5, linestyle=":", zorder=1)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _in_lines(chain: str) -> str:
    """A chain, a network to a line."""
    return "\n> ".join(short(name) for name in chain.split(" > "))
