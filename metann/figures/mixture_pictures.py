"""Figure mixture_pictures: some of the images that every expert gets."""

import base64

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._mixture import chosen_setting, class_labels, mixture_facts, short
from metann.figures._style import VERMILION, new_figure, no_figure, styled

CAPTION = """
Test images that each expert answers, drawn by chance, of the method that **validation** chose for its low error and, where that is
another one, of the method with the cleanest decomposition; first seed. The words say how many images the expert gets and which classes
they are of. A red frame is a wrong answer.
"""
TABLES = ("mixture_choice", "mixture_experts", "mixture_pictures", "mixture_runs")
_MOST = 20


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """A line of pictures for each expert."""
    runs, pictures, experts, choice = (tables[f"mixture_{name}"] for name in ("runs", "pictures", "experts", "choice"))
    if pictures.empty:
        return no_figure("What each expert gets", "The images were not given, only tables.")
    roles: dict[str, list[str]] = {}
    for role, words in (("lowest_error", "lowest error"), ("cleanest", "cleanest decomposition")):
        roles.setdefault(chosen_setting(choice, role), []).append(words)
    seed = int(runs["seed"].min())
    counts = {name: experts.loc[experts["setting"] == name, "expert"].nunique() for name in roles}
    lines = [min(count, _MOST) for count in counts.values()]
    across = int(pictures.groupby(["setting", "seed", "expert"]).size().max())
    cut = f" The first {_MOST} experts of each." if max(counts.values()) > _MOST else ""
    footnote = f"{mixture_facts(runs)}; shown: seed {seed}.{cut} Drawn by chance from the images that an expert answers."
    figure = new_figure(0.52 * across + 3.6, 0.62 * sum(lines) + 0.5 * len(lines) + 1.1, "What each expert gets", footnote)
    parts = np.atleast_1d(figure.subfigures(len(roles), 1, height_ratios=[n + 0.8 for n in lines]))
    labels = class_labels(experts)
    for part, (name, words), count in zip(parts, roles.items(), lines, strict=True):
        part.suptitle(f"{short(name)}: {' and '.join(words)}", x=0.01, ha="left", fontsize=9)
        panels = part.subplots(count, across, squeeze=False)
        of_method = (pictures["setting"] == name) & (pictures["seed"] == seed)
        shares = experts[(experts["setting"] == name) & (experts["seed"] == seed)]
        for e in range(count):
            rows = pictures[of_method & (pictures["expert"] == e)]
            for axes, row in zip(panels[e], rows.itertuples(index=False), strict=False):
                _picture(axes, row)
            for axes in panels[e][len(rows) :]:
                axes.set_axis_off()
            _describe(panels[e][0], shares[shares["expert"] == e], labels, e)
    return figure


def _picture(axes: Axes, row) -> None:
    image_CHW = np.frombuffer(base64.b64decode(row.pixels), np.uint8).reshape(row.channels, row.size, row.size)
    grey = row.channels == 1
    axes.imshow(image_CHW[0] if grey else np.moveaxis(image_CHW, 0, -1), cmap="gray" if grey else None, vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    wrong = row[5] != row[4]  # columns predicted and class; `class` is no name that Python gives
    for spine in axes.spines.values():
        spine.set(visible=True, color=VERMILION if wrong else "white", linewidth=2 if wrong else 0.5)


def _describe(axes: Axes, rows: pd.DataFrame, labels: list[str], expert: int) -> None:
    total = int(rows["hard"].sum())
    most = rows.nlargest(3, "hard")
    of = (
        ", ".join(f"{labels[int(k)]} {100 * n / total:.0f} %" for k, n in zip(most["class"], most["hard"], strict=True) if n)
        if total
        else ""
    )
    text = f"expert {expert}: {total:,} images\n{of}" if total else f"expert {expert}: no images"
    axes.annotate(text, (0, 0.5), (-6, 0), "axes fraction", textcoords="offset points", ha="right", va="center", fontsize=7)
