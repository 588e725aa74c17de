"""Figure mixture_confusion: what the mixture confuses, and what each expert alone says of all images."""

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from metann.figures._mixture import chosen_setting, class_labels, mixture_facts, short
from metann.figures._style import heat, new_figure, styled

CAPTION = """
Confusion of the method that **validation** chose for its low error, of its first seed: the share of every true class (row) that is taken
for each class (column), of the mixture, and of every expert asked alone about **all** test images, also those that the gate never sends
to it. An expert that knows its own classes only says them of everything: dark columns. The number is the accuracy over all images.
"""
TABLES = ("mixture_choice", "mixture_confusion", "mixture_runs")
_MOST = 20


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """The mixture first, then its experts by number."""
    runs, confusion = tables["mixture_runs"], tables["mixture_confusion"]
    setting = chosen_setting(tables["mixture_choice"], "lowest_error")
    seed = int(runs["seed"].min())
    mine = confusion[(confusion["setting"] == setting) & (confusion["seed"] == seed)]
    labels = class_labels(confusion, 12)
    classes = len(labels)
    experts = sorted(int(e) for e in mine["expert"].unique() if e >= 0)
    shown = [-1, *experts[:_MOST]]
    columns = min(range(3, 7), key=lambda across: (-(-len(shown) // across) * across - len(shown), abs(across - 4)))
    columns = min(columns, len(shown))
    lines = -(-len(shown) // columns)
    more = f" The first {_MOST} of {len(experts)} experts." if len(experts) > _MOST else ""
    footnote = f"{mixture_facts(runs)}; shown: {short(setting)}, seed {seed}.{more} Rows are true classes, columns predicted ones."
    figure = new_figure(2.5 * columns + 1.6, 2.45 * lines + 1.5, "The mixture, and each expert alone over all images", footnote)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    mesh = None
    for place, axes in enumerate(panels.ravel()):
        if place >= len(shown):
            axes.set_axis_off()
            continue
        expert = shown[place]
        counts_KK = np.zeros((classes, classes))
        rows = mine[mine["expert"] == expert]
        counts_KK[rows["class"], rows["predicted"]] = rows["images"]
        there_K1 = counts_KK.sum(axis=1, keepdims=True)
        share_KK = np.divide(counts_KK, there_K1, out=np.full_like(counts_KK, np.nan), where=there_K1 > 0)
        mesh = heat(axes, share_KK, "Blues", Normalize(0, 1))
        accuracy = np.trace(counts_KK) / counts_KK.sum()
        axes.set_title(
            f"{'mixture' if expert < 0 else f'expert {expert}'}: {100 * accuracy:.1f} %", fontweight="bold" if expert < 0 else None
        )
        axes.set_aspect("equal")
        if classes <= 20:
            axes.set_yticks(np.arange(classes) + 0.5, labels, fontsize=6)
            if place + columns >= len(shown):
                axes.set_xticks(np.arange(classes) + 0.5, labels, rotation=90, fontsize=6)
                axes.tick_params(labelbottom=True)
    figure.colorbar(mesh, ax=panels, label="share of the true class", pad=0.01, fraction=0.03, aspect=25)
    return figure
