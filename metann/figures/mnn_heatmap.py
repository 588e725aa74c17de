"""Figure mnn_heatmap: what every pair of thresholds gains over the switch alone (the report's figure 3)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from metann.figures._style import facts, frame_cell, heat, new_figure, no_figure, styled
from metann.thresholds import format_threshold

CAPTION = """
Gain in test accuracy over the switch alone, in points, for every dataset threshold (which images an expert learned from) and test
threshold (which experts are asked). Blue gains, red loses. The solid frame is the pair of thresholds that **validation** chose, and so
the one to report; the dashed frame is the best pair on test, found by looking, and is exploratory.
"""
TABLES = ("mnn_results", "mnn_choice")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Mean gain over seeds. Colours are symmetric about 0 and end at the 90th percentile of the sizes; numbers are never cut."""
    results = tables["mnn_results"]
    cells = results[(results["split"] == "test") & (results["switch_function"] == "threshold")]
    if cells.empty:
        return no_figure("Gain of the experts over the switch alone", "The run has no test thresholds.")
    cells = cells.assign(gain=100 * (cells["correct"] - cells["baseline_correct"]) / cells["n"])
    grid = cells.pivot_table(index="dataset_threshold", columns="test_threshold", values="gain", aggfunc="mean").sort_index(ascending=False)
    gain = grid.to_numpy()
    rows, columns = gain.shape
    limit = max(float(np.nanquantile(np.abs(gain), 0.9)), float(np.nanmax(gain)), 0.05)

    width, height = float(np.clip(0.32 * columns + 1.8, 8, 13)), float(np.clip(0.36 * rows + 1.9, 2.9, 9))
    baseline = 100 * (cells["baseline_correct"] / cells["n"]).mean()
    footnote = f"{facts(results)}. Switch alone: {baseline:.2f} %. Numbers in points of accuracy."
    figure = new_figure(width, height, "Gain of the experts over the switch alone", footnote)
    axes = figure.subplots()
    room = (width - 1.8) / columns  # inches of a cell
    texts = np.vectorize(_text)(gain, 2 if limit < 1 and room > 0.29 else 1) if room > 0.23 else None
    mesh = heat(axes, gain, "RdBu", Normalize(-limit, limit), texts, 7.5 if room > 0.35 else 6)
    ends = {(True, False): "max", (False, True): "min", (True, True): "both"}.get(
        (np.nanmax(gain) > limit, np.nanmin(gain) < -limit), "neither"
    )
    figure.colorbar(mesh, ax=axes, label="gain (points)", extend=ends, pad=0.01, fraction=0.04, aspect=12)

    _tick(axes, grid)
    row, column = np.unravel_index(np.nanargmax(gain), gain.shape)
    frame_cell(axes, row, column, dashed=True)
    for pick in tables["mnn_choice"].query("scope == 'chosen_threshold'").itertuples():
        frame_cell(axes, grid.index.get_loc(pick.dataset_threshold), grid.columns.get_loc(pick.test_threshold))
    handles = [
        Line2D([], [], color="black", linewidth=2.2, label="chosen on validation"),
        Line2D([], [], color="black", linewidth=1.2, linestyle=(0, (2, 1.2)), label="best on test (exploratory)"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def _text(gain: float, decimals: int) -> str:
    if np.isnan(gain):
        return ""
    decimals = max(0, decimals - int(np.log10(max(abs(gain), 1))))  # five characters at most
    rounded = round(gain, decimals)
    return f"{rounded:+.{decimals}f}".replace("-", "−") if rounded else "0"


def _tick(axes: Axes, grid: pd.DataFrame) -> None:
    step = -(-grid.shape[1] // 45)  # about 45 labels have room
    places = np.arange(0, grid.shape[1], step)
    axes.set_xticks(
        places + 0.5, [format_threshold(grid.columns[i]) for i in places], rotation=90 if grid.shape[1] > 12 else 0, fontsize=7.5
    )
    axes.set_yticks(np.arange(len(grid)) + 0.5, [format_threshold(threshold) for threshold in grid.index], fontsize=7.5)
    axes.set(xlabel="test threshold", ylabel="dataset threshold")
