"""Figure hypernetwork_interpolation: accuracy on a task while z moves to the task's mirror."""

import pandas as pd
from matplotlib.figure import Figure

from metann.figures._hypernetwork import chosen_parts, grid_lines, hypernetwork_facts, panels
from metann.figures._style import BLACK, GREY, SKY, VERMILION, no_figure, styled

CAPTION = """
Test accuracy on a trained task while z moves in a straight line from the task's own vector (left) to that of its mirror, the same images
with labels reversed (right). Thin lines are tasks, the thick one their mean. Where z carries the task the line has to cross
50 %; where it crosses, and how steeply, says how decisions lie between two tasks.
"""
TABLES = ("hypernetwork_interpolation", "hypernetwork_generators")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over seeds; one panel for each experiment with mirrored tasks."""
    ways = tables["hypernetwork_interpolation"]
    parts = chosen_parts(tables["hypernetwork_generators"], ways)
    if not parts:
        return no_figure("From a task to its mirror", "No trained task has a trained mirror.")
    footnote = f"{hypernetwork_facts(ways)}; test images; red: what one network for both is right on, task and mirror together."
    figure, grid = panels(list(parts), "Accuracy while z moves from a task to its mirror", footnote, 4.2, 3.6, 1.5, sharey=True)
    for axes, (name, mine) in zip(grid, parts.items(), strict=True):
        each = mine.pivot_table(index="position", columns="task", values="accuracy", aggfunc="mean")
        axes.axhline(50, color=VERMILION, linewidth=0.9, linestyle="--", zorder=2)
        lines = axes.plot(
            each.index, 100 * each.to_numpy(), color=SKY, linewidth=0.7, alpha=max(0.25, min(0.8, 8 / each.shape[1])), zorder=1
        )
        lines[0].set_label("one task")
        axes.plot(each.index, 100 * each.mean(axis=1), color=BLACK, linewidth=2, label="mean", zorder=4)
        axes.set(xlabel="way from the task (0) to its mirror (1)", ylim=(-3, 103), xlim=(-0.03, 1.03))
        axes.set_title(f"{name}, {each.shape[1]} tasks")
        axes.axvline(0.5, color=GREY, linewidth=0.4, zorder=0)
        grid_lines(axes)
    grid[0].set_ylabel("test accuracy (%)")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper")
    return figure
