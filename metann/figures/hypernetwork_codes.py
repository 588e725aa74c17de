"""Figure hypernetwork_codes: where the task vectors of trained tasks lie."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from metann.figures._hypernetwork import chosen_parts, hypernetwork_facts, panels, task_names
from metann.figures._style import BLUE, GREY, HALO, VERMILION, no_figure, styled

CAPTION = """
Task vectors z of the trained tasks on the two axes along which they differ most (principal components). Tasks with labels reversed are
triangles, joined to their mirrors by a line: where all lines run through the middle, to reverse a task is to negate its z. Fixed z (one
axis for each task) show no structure by construction.
"""
TABLES = ("hypernetwork_codes", "hypernetwork_generators")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """The first seed, because axes of different seeds have nothing to do with each other; one panel for each experiment."""
    codes = tables["hypernetwork_codes"]
    parts = chosen_parts(tables["hypernetwork_generators"], codes)
    if not parts:
        return no_figure("Task vectors in two dimensions", "No task vectors were written.")
    first = min(int(seed) for seed in codes["seed"].unique())
    dataset = hypernetwork_facts(codes).split(", ")[0] if codes.attrs.get("dataset") else "trained tasks"
    footnote = f"{dataset}, seed {first}; in brackets the share of the variance of z that an axis holds."
    figure, grid = panels(list(parts), "Task vectors in two dimensions", footnote, 4.2, 4.0, 1.6)
    mirrored = False
    for axes, part in zip(grid, parts.values(), strict=True):
        mine = part[part["seed"] == first].set_index("task")
        for _, row in mine[mine["flipped"]].iterrows():
            if row["mirror"] in mine.index:
                other = mine.loc[row["mirror"]]
                axes.plot([row["x"], other["x"]], [row["y"], other["y"]], color=GREY, linewidth=0.5, alpha=0.5, zorder=1)
        for flipped, group in mine.groupby("flipped"):
            mirrored |= bool(flipped)
            marker, colour = ("v", VERMILION) if flipped else ("o", BLUE)
            axes.plot(group["x"], group["y"], marker, color=colour, markersize=5, markeredgecolor="white", markeredgewidth=0.5, zorder=3)
        _name(axes, mine)
        axes.axhline(0, color=GREY, linewidth=0.4, zorder=0)
        axes.axvline(0, color=GREY, linewidth=0.4, zorder=0)
        axes.margins(0.12)
        axes.locator_params(nbins=6)
        if not mine["y"].any():
            axes.set_ylim(-1, 1)
        axes.set_xlabel(f"first axis ({100 * mine['share_x'].iloc[0]:.0f} %)")
        axes.set_ylabel(f"second axis ({100 * mine['share_y'].iloc[0]:.0f} %)")
    handles = [Line2D([], [], marker="o", color=BLUE, linestyle="none", label="task")]
    if mirrored:
        handles.append(Line2D([], [], marker="v", color=VERMILION, linestyle="none", label="labels reversed"))
    figure.legend(handles=handles, loc="outside right upper")
    return figure


def _name(axes: Axes, mine: pd.DataFrame) -> None:
    """What a task is about, where there is room for it."""
    if len(mine) > 24:
        return
    style = {"textcoords": "offset points", "fontsize": 6, "color": GREY, "path_effects": HALO, "zorder": 4}
    for text, x, y in zip(task_names(mine), mine["x"], mine["y"], strict=True):
        right = x > mine["x"].mean()
        axes.annotate(text, (x, y), (-4 if right else 4, 4), ha="right" if right else "left", **style)
