"""What the figures of hypernetworks share: the generators to show, the look of every arm, and the facts of the footnote."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, new_figure, seeds_text

# What moves z alone is blue or black, what moves the classifier orange or red, the generator purple, nothing grey.
ARMS: dict[str, dict[str, Any]] = {
    "z_adapt": {"color": BLACK, "linewidth": 2.4, "marker": "o", "zorder": 6},
    "z_adapt_random_generator": {"color": SKY, "linestyle": "--", "marker": "v"},
    "random_subspace": {"color": SKY, "linestyle": ":", "marker": "^"},
    "pca_subspace": {"color": BLUE, "marker": "s"},
    "probe_last": {"color": GREEN, "marker": "D"},
    "bias_only": {"color": GREEN, "linestyle": "--", "marker": "d"},
    "finetune_net": {"color": VERMILION, "linewidth": 1.8, "marker": "o", "zorder": 5},
    "scratch_net": {"color": ORANGE, "marker": "x"},
    "full_generator": {"color": PURPLE, "marker": "P"},
    "repo_bug": {"color": PURPLE, "linestyle": "--", "marker": "X"},
    "zero_shot": {"color": GREY, "linestyle": "--", "marker": "<"},
    "general_net": {"color": GREY, "linestyle": ":", "marker": ">"},
}


def look(arm: str) -> dict[str, Any]:
    """Colour, line and marker of an arm; grey for one that is new."""
    return {"linewidth": 1.3, "linestyle": "-", "zorder": 3, "color": GREY, "marker": "h"} | ARMS.get(arm, {})


def arms_in_order(arms: pd.DataFrame) -> list[str]:
    """The arms that were run, in the order of `ARMS`, unknown ones last."""
    there = list(dict.fromkeys(arms["arm"]))
    return [arm for arm in ARMS if arm in there] + [arm for arm in there if arm not in ARMS]


def chosen_parts(generators: pd.DataFrame, frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """'E1, mlp' -> rows of the generator that validation chose, for every experiment that has some."""
    found = {}
    for row in generators[generators["chosen"]].itertuples():
        mine = frame[(frame["experiment"] == row.experiment) & (frame["generator"] == row.generator)]
        if len(mine):
            found[f"{row.experiment}, generator {row.generator}"] = mine
    return found


def hypernetwork_facts(frame: pd.DataFrame) -> str:
    """'digits, mean of seeds 0, 1, 2': the beginning of every footnote."""
    dataset = frame.attrs.get("dataset")
    return f"{f'{dataset}, ' if dataset else ''}{seeds_text(frame.attrs.get('seeds') or [0])}"


def panels(
    names: Sequence[str], title: str, footnote: str, width: float = 3.6, height: float = 3.4, room: float = 2.1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel for each name, two or three in a row; `room` inches to the right for a legend."""
    columns = 2 if len(names) == 4 else min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure(max(columns * width + room, 0.1 * len(title) + 0.4, 5.6), rows * height + 0.8, title, footnote)
    grid = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for axes, name in zip(grid, names, strict=False):
        axes.set_title(name)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    return figure, list(grid[: len(names)])


def shortened(name: str, room: int = 14) -> str:
    """A name of a class; a long one loses its middle."""
    return name if len(name) <= room else f"{name[: room // 2 - 1]}…{name[-(room // 2) :]}"


def task_names(tasks: pd.DataFrame) -> list[str]:
    """'cat / dog' for each row; the negative class alone where the positive one is always the same."""
    negative = [shortened(name) for name in tasks["negative_name"]]
    if len(tasks) > 1 and tasks["positive_name"].nunique() == 1:
        return negative
    return [f"{a} / {shortened(b)}" for a, b in zip(negative, tasks["positive_name"], strict=True)]


def grid_lines(axes: Axes) -> None:
    axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
