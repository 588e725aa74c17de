"""Figure mnn_surface: accuracy over both thresholds in three dimensions (the report's figure 2)."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from metann.figures._style import BLACK, GREY, facts, new_figure, no_figure, styled
from metann.thresholds import format_threshold

CAPTION = """
Test accuracy over dataset threshold and test threshold. The grey plane is the switch alone: what rises above it gains (blue), what lies
below loses (red). The dot is the pair of thresholds that **validation** chose. The heatmap shows the same numbers exactly.
"""
TABLES = ("mnn_results", "mnn_choice")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Mean accuracy over seeds; the surface joins the evaluated cells by straight lines."""
    results = tables["mnn_results"]
    cells = results[(results["split"] == "test") & (results["switch_function"] == "threshold")]
    if cells.empty:
        return no_figure("Accuracy over both thresholds", "The run has no test thresholds.")
    grid = 100 * cells.pivot_table(index="dataset_threshold", columns="test_threshold", values="accuracy", aggfunc="mean")
    baseline = 100 * (cells["baseline_correct"] / cells["n"]).mean()
    x, y = (values.astype(float) for values in np.meshgrid(grid.columns, grid.index))
    z = grid.to_numpy()
    gain = max(float(np.nanmax(z)) - baseline, 0.25)
    floor = max(float(np.nanmin(z)), min(baseline - 2.5 * gain, float(np.nanquantile(z, 0.1))))
    cut = f"Cut below: the lowest cell is {np.nanmin(z):.1f} %." if np.nanmin(z) < floor else ""
    footnote = f"{facts(results)}. Grey plane: switch alone, {baseline:.2f} %; blue above it, red below. {cut}"
    figure = new_figure(7, 5.6, "Accuracy over both thresholds", footnote)
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    axes.view_init(elev=26, azim=-56)
    axes.set_box_aspect((1.25, 1, 0.8), zoom=0.98)

    z = np.maximum(z, floor)
    span = float(np.nanmax(np.abs(z - baseline)))
    corners = np.stack([x, y, z], axis=-1)
    quads = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2).reshape(-1, 4, 3)
    quads = quads[(quads[..., 2] > floor).any(axis=1)]
    flat = (np.abs(quads[..., 2] - baseline) < 0.05 * gain).all(axis=1)
    if not flat.all():
        quads = quads[~flat]  # what lies in the plane would be a patch on it
    height = quads[..., 2].mean(axis=1)
    # Seen from above, what lies below the plane lies behind it; matplotlib knows no depth between collections.
    for below, order in ((True, 1), (False, 3)):
        mine = quads[(height < baseline) == below]
        if len(mine):
            colours = mpl.colormaps["RdBu"](TwoSlopeNorm(baseline, baseline - 1.2 * span, baseline + 1.2 * gain)(mine[..., 2].mean(axis=1)))
            axes.add_collection3d(Poly3DCollection(mine, facecolors=colours, edgecolor="white", linewidth=0.3, zorder=order))
    if not len(quads):  # one threshold only: a line
        axes.plot(x.ravel(), y.ravel(), z.ravel(), color=BLACK, zorder=3)
    ends_x, ends_y = _ends(x), _ends(y)
    plane_x, plane_y = np.meshgrid(ends_x, ends_y)
    plane = [list(zip(plane_x.ravel()[[0, 1, 3, 2]], plane_y.ravel()[[0, 1, 3, 2]], [baseline] * 4, strict=True))]
    axes.add_collection3d(Poly3DCollection(plane, facecolor=GREY, alpha=0.3, edgecolor=GREY, zorder=2))
    for number, pick in enumerate(tables["mnn_choice"].query("scope == 'chosen_threshold'").itertuples()):
        top = max(float(grid.loc[pick.dataset_threshold, pick.test_threshold]), floor)
        at = [pick.test_threshold] * 2, [pick.dataset_threshold] * 2
        axes.plot(*at, [baseline, top], color=BLACK, linewidth=1, linestyle=":", zorder=4)
        label = "chosen on validation" if number == 0 else None
        axes.plot(at[0][:1], at[1][:1], [top], "o", color=BLACK, markeredgecolor="white", zorder=5, label=label, linestyle="none")
    axes.set(xlabel="test threshold", ylabel="dataset threshold", zlabel="test accuracy (%)", xlim=ends_x, ylim=ends_y)
    axes.set_zlim(min(np.nanmin(z), baseline) - 0.05 * span, max(np.nanmax(z), baseline) + 0.15 * span)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if len(grid) > 5:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.set_yticks(grid.index, [format_threshold(tick) for tick in grid.index])
    axes.tick_params(labelsize=8)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.98))
    return figure


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.05, high + 0.05)
