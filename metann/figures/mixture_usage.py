"""Figure mixture_usage: how the experts are used while the mixture learns, for every run."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metann.figures._mixture import collapsed_runs, mixture_facts, mixtures_in_order, short, shown_seeds
from metann.figures._style import BLACK, VERMILION, new_figure, no_figure, styled

CAPTION = """
Share of the gate's values that each expert gets, epoch by epoch, stacked to one; one panel for every method and seed, none left out. Bands
of equal height use all experts alike; where one band fills the panel the gate has collapsed. Dashed lines divide phases of the training.
"""
TABLES = ("mixture_history", "mixture_runs")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Methods in the order of their error on validation."""
    runs, history = tables["mixture_runs"], tables["mixture_history"]
    if history.empty:
        return no_figure("Usage of the experts over epochs", "No history of the trainings was given.")
    names, (seeds, more), fallen = mixtures_in_order(runs), shown_seeds(runs), collapsed_runs(runs)
    width = float(np.clip(2.3 * len(seeds) + 1.2, 7, 15))
    footnote = f"{mixture_facts(runs)}.{more} Colours from dark (expert 0, below) to light."
    figure = new_figure(width, 1.15 * len(names) + 1.4, "How the experts are used while they learn", footnote)
    panels = figure.subplots(len(names), len(seeds), squeeze=False, sharey=True)
    for row, name in enumerate(names):
        for place, seed in enumerate(seeds):
            axes = panels[row, place]
            mine = history[(history["setting"] == name) & (history["seed"] == seed)]
            if len(mine):
                usage_TE = mine.pivot(index="step", columns="expert", values="usage")
                steps_T, experts = usage_TE.index.to_numpy(), usage_TE.shape[1]
                edges = np.stack([steps_T - 0.5, steps_T + 0.5], axis=1).ravel()  # an epoch is as wide as one, also where it is alone
                colours = mpl.colormaps[mpl.rcParams["image.cmap"]](np.linspace(0.05, 0.95, experts))
                heights = np.repeat(usage_TE.to_numpy(), 2, axis=0)
                axes.stackplot(edges, heights.T, colors=colours, linewidth=0.3, edgecolor="white")
                phases = mine.drop_duplicates("step").sort_values("step")
                for start in phases.loc[phases["phase"] != phases["phase"].shift(), "step"].to_numpy()[1:]:
                    axes.axvline(start - 0.5, color=BLACK, linestyle="--", linewidth=0.9)
                axes.set_xlim(edges[0], edges[-1])
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_ylim(0, 1)
            axes.tick_params(labelsize=7)
            if (name, seed) in fallen:
                axes.set_title("collapsed", color=VERMILION, fontsize=7.5, loc="right", pad=2)
            if row == 0:
                axes.annotate(f"seed {seed}", (0.5, 1), (0, 14), "axes fraction", textcoords="offset points", ha="center", fontsize=8)
            if place == 0:
                axes.set_title(short(name), fontsize=8.5, loc="left", pad=2)
            if row == len(names) - 1:
                axes.set_xlabel("epoch")
    figure.supylabel("share of the gate", fontsize=8.5)
    return figure
