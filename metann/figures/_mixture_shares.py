"""Heatmaps of which expert gets which class, one for every run: hard by the answering expert, soft by the sum of the gate's values."""

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from metann.figures._mixture import class_labels, collapsed_runs, mixture_facts, mixtures_in_order, short, shown_seeds
from metann.figures._style import VERMILION, heat, new_figure


def share_table(rows: pd.DataFrame, column: str) -> tuple[np.ndarray, list[int]]:
    """((E, K) share of each class that each expert gets, the experts' numbers): experts in the order of the class that they get most of."""
    table_EK = rows.pivot(index="expert", columns="class", values=column)
    there_K = rows.groupby("class")["images"].first().reindex(table_EK.columns)
    share_EK = (table_EK / there_K.where(there_K > 0)).to_numpy(np.float64)
    known_EK = np.nan_to_num(share_EK)
    order = sorted(range(len(share_EK)), key=lambda e: (known_EK[e].max() <= 0, int(known_EK[e].argmax()), -known_EK[e].max(), e))
    return share_EK[order], [int(table_EK.index[e]) for e in order]


def draw_shares(tables: dict[str, pd.DataFrame], column: str, title: str) -> Figure:
    """Methods below one another, seeds side by side."""
    runs, experts = tables["mixture_runs"], tables["mixture_experts"]
    names, (seeds, more), fallen = mixtures_in_order(runs), shown_seeds(runs), collapsed_runs(runs)
    labels, counts = class_labels(experts), runs.groupby("setting")["experts"].max()
    classes = len(labels)
    width = float(np.clip(len(seeds) * np.clip(0.24 * classes, 1.7, 4.2) + 2.0, 7, 16))
    heights = [float(np.clip(0.17 * counts[name], 0.7, 2.4)) for name in names]
    footnote = f"{mixture_facts(runs)}.{more} Experts in the order of the class that they get most; numbers are their own."
    figure = new_figure(width, sum(heights) + 0.36 * len(names) + 1.9, title, footnote)
    panels = figure.subplots(len(names), len(seeds), squeeze=False, height_ratios=heights)
    mesh = None
    for row, name in enumerate(names):
        for place, seed in enumerate(seeds):
            axes = panels[row, place]
            mine = experts[(experts["setting"] == name) & (experts["seed"] == seed)]
            share_EK, order = share_table(mine, column)
            mesh = heat(axes, share_EK, "Blues", Normalize(0, 1))
            if len(order) <= 20:
                axes.set_yticks(np.arange(len(order)) + 0.5, [str(e) for e in order], fontsize=6 if len(order) > 6 else 7)
            if (name, seed) in fallen:
                axes.set_title("collapsed", color=VERMILION, fontsize=7.5, loc="right", pad=2)
            if row == 0:
                axes.annotate(f"seed {seed}", (0.5, 1), (0, 14), "axes fraction", textcoords="offset points", ha="center", fontsize=8)
            if place == 0:
                axes.set_title(short(name), fontsize=8.5, loc="left", pad=2)
            if row == len(names) - 1 and classes <= 40:
                axes.set_xticks(np.arange(classes) + 0.5, labels, rotation=90, fontsize=7 if classes <= 20 else 5)
    figure.colorbar(mesh, ax=panels, label="share of the class", pad=0.01, fraction=0.03, aspect=30)
    return figure
