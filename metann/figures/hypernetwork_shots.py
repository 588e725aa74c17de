"""Figure hypernetwork_shots: accuracy on held-out tasks over the images that they are learned from, for every arm."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from metann.figures._hypernetwork import arms_in_order, chosen_parts, grid_lines, hypernetwork_facts, look, panels
from metann.figures._style import GREY, confidence_of, no_figure, styled

CAPTION = """
Test accuracy on held-out tasks over the number of images per class that a task is learned from, for every arm. z_adapt moves the task
vector alone; finetune_net moves the whole network. Lines without markers need no images of the new task. Bands, of these two arms, hold
over held-out pairs of classes and over seeds.
"""
TABLES = ("hypernetwork_arms", "hypernetwork_generators")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over held-out tasks, draws and seeds; one panel for each experiment."""
    arms = tables["hypernetwork_arms"]
    parts = chosen_parts(tables["hypernetwork_generators"], arms)
    if not parts:
        return no_figure("Accuracy over shots", "No arm was run.")
    footnote = f"{hypernetwork_facts(arms)}; bands:"
    footnote += f" {100 * confidence_of(arms):g} % intervals of z_adapt and finetune_net over held-out pairs of classes and seeds."
    figure, grid = panels(list(parts), "Accuracy on held-out tasks over the images they are learned from", footnote, sharey=True)
    for axes, (name, mine) in zip(grid, parts.items(), strict=True):
        shots = sorted(number for number in mine["shots"].unique() if number)
        units = mine["units"].iloc[0]
        axes.set_title(f"{name}, {units} {'pair' if units == 1 else 'pairs'}")
        axes.axhline(50, color=GREY, linewidth=0.7, zorder=1)
        for arm in arms_in_order(mine):
            line, style = mine[mine["arm"] == arm].sort_values("shots"), look(arm)
            if (line["shots"] == 0).all():
                axes.axhline(100 * line["accuracy"].iloc[0], **{key: style[key] for key in ("color", "linestyle", "linewidth")})
                continue
            axes.plot(line["shots"], 100 * line["accuracy"], markersize=4, **style)
            if arm in ("z_adapt", "finetune_net"):
                ends = [100 * line[end].clip(0, 1) for end in ("low", "high")]
                if len(line) == 1:  # a band has no width there
                    axes.vlines(line["shots"], *ends, color=style["color"], linewidth=1)
                axes.fill_between(line["shots"], *ends, color=style["color"], alpha=0.13, linewidth=0)
        axes.set_xscale("log")
        if shots:
            axes.set_xticks(shots)
            axes.set_xlim(min(shots) / 1.25, max(shots) * 1.25)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
        axes.set_xlabel("images per class, logarithmic")
        grid_lines(axes)
    grid[0].set_ylabel("test accuracy (%)")
    figure.legend(handles=[_handle(arm) for arm in arms_in_order(arms)], loc="outside right upper")
    return figure


def _handle(arm: str) -> Line2D:
    style = look(arm)
    marker = None if arm in ("zero_shot", "general_net") else style["marker"]
    return Line2D([], [], **(style | {"marker": marker}), markersize=4, label=arm)
