"""Figure hypernetwork_reliance: accuracy on every trained task with the z of every trained task."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from metann.figures._hypernetwork import chosen_parts, hypernetwork_facts, panels, task_names
from metann.figures._style import heat, no_figure, styled

CAPTION = """
Test accuracy on every trained task (rows) by the network that every trained z writes (columns). Where one general network does for all
tasks, every column is blue, whatever its z; where z carries the task, the diagonal is blue and the rest comes to a half. A task's mirror,
the same images with labels reversed, is red: right and wrong change places. R is the mean of the diagonal minus the mean of the rest.
"""
TABLES = ("hypernetwork_reliance", "hypernetwork_generators", "hypernetwork_tasks")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over seeds; one panel for each experiment."""
    reliance, tasks = tables["hypernetwork_reliance"], tables["hypernetwork_tasks"]
    parts = chosen_parts(tables["hypernetwork_generators"], reliance[reliance["split"] == "test"])
    if not parts:
        return no_figure("Reliance on z", "No accuracies of trained tasks on test images.")
    footnote = f"{hypernetwork_facts(reliance)}; test images of trained tasks."
    figure, grid = panels(list(parts), "Accuracy on every task by the network of every z", footnote, 4.0, 3.9, 0.8)
    for axes, (name, mine) in zip(grid, parts.items(), strict=True):
        accuracy = mine.pivot_table(index="task_i", columns="z_j", values="accuracy", aggfunc="mean")
        values = 100 * accuracy.to_numpy()
        few = len(values) <= 12
        texts = np.vectorize("{:.0f}".format)(values) if few else None
        mesh = heat(axes, values, "RdBu", Normalize(0, 100), texts, 7)
        off = ~np.eye(len(values), dtype=bool)
        r = (np.diagonal(values).mean() - values[off].mean()) / 100
        axes.set_title(f"{name}: R = {r:.3f}")
        axes.set_aspect("equal")
        of_experiment = tasks[tasks["experiment"] == mine["experiment"].iloc[0]].drop_duplicates("task").set_index("task")
        _tick(axes, task_names(of_experiment.loc[accuracy.index]))
    grid[0].set_ylabel("task")
    figure.colorbar(mesh, ax=grid, label="test accuracy (%)", fraction=0.03, pad=0.01, aspect=25)
    return figure


def _tick(axes: Axes, names: list[str]) -> None:
    step = -(-len(names) // 18)  # about 18 labels have room
    places = np.arange(0, len(names), step)
    texts = [names[i] for i in places]
    axes.set_xticks(places + 0.5, texts, rotation=90, fontsize=6.5)
    axes.set_yticks(places + 0.5, texts, fontsize=6.5, rotation=0)
    axes.set_xlabel("z of task")
