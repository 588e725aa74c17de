"""Figure mixture_methods: error and decomposition of every method, with every run as a point."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from metann.figures._mixture import interval_text, mixture_facts, short
from metann.figures._style import BLACK, BLUE, GREY, VERMILION, new_figure, styled

CAPTION = """
Test error, mutual information I(E;Y) between expert and true class, and conditional entropy H(E|Y), of every method. Every run is a
point, none is left out; a cross is a run whose gate collapsed. Black: the mean over seeds with its interval. Methods are ordered by
their error on **validation**; grey names are controls, dense networks without a gate. A clean decomposition has much I(E;Y), up to the
dashed line, and little H(E|Y); a collapsed gate has little of both.
"""
TABLES = ("mixture_controls", "mixture_methods", "mixture_runs")
_PANELS = (
    ("error", "test error (%)"),
    ("mutual_information", "I(E;Y) (bit)"),
    ("conditional_entropy", "H(E|Y) (bit)"),
)


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """One row per method, best on top."""
    runs, controls, methods = (tables[f"mixture_{name}"] for name in ("runs", "controls", "methods"))
    val = methods[(methods["split"] == "val") & (methods["quantity"] == "error")].sort_values("mean", kind="stable")
    names, roles = list(val["method"]), dict(zip(val["method"], val["role"], strict=True))
    footnote = f"{mixture_facts(runs)}; {interval_text(runs)}."
    figure = new_figure(10, 1.6 + 0.33 * len(names), "What the methods reach, run by run", footnote)
    panels = figure.subplots(1, 3, sharey=True)
    points = pd.concat([runs, controls.rename(columns={"control": "setting"})]) if len(controls) else runs
    gated = runs[(runs["split"] == "test") & (runs["experts"] > 1)]
    for name, most in gated.groupby("setting")["most_information"].first().items():
        panels[1].plot([most] * 2, names.index(name) + np.array([-0.5, 0.5]), color=GREY, linestyle="--", linewidth=1, zorder=1)
    for axes, (quantity, label) in zip(panels, _PANELS, strict=True):
        _panel(axes, points[points["split"] == "test"], methods, names, roles, quantity)
        axes.set_xlabel(label)
        axes.set_xlim(0, None)
    panels[0].set_yticks(range(len(names)), [short(name) for name in names])
    for tick, name in zip(panels[0].get_yticklabels(), names, strict=True):
        tick.set_color(BLACK if roles[name] == "mixture" else GREY)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=BLUE, alpha=0.75, label="a run"),
        Line2D([], [], marker="x", linestyle="none", color=VERMILION, label="a run that collapsed"),
        Line2D([], [], marker="|", color=BLACK, markersize=9, label="mean"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3)
    return figure


def _panel(axes: Axes, points: pd.DataFrame, methods: pd.DataFrame, names: list[str], roles: dict[str, str], quantity: str) -> None:
    factor = 100 if quantity == "error" else 1
    for place, name in enumerate(names):
        axes.axhline(place, color=GREY, alpha=0.18, linewidth=0.6, zorder=0)
        if quantity != "error" and roles[name] not in ("mixture", "bound"):
            continue
        mine = points[points["setting"] == name].sort_values("seed")
        fallen = mine["collapsed"].fillna(False).astype(bool).to_numpy() if "collapsed" in mine else np.zeros(len(mine), bool)
        heights = place + np.linspace(-0.22, 0.22, len(mine)) if len(mine) > 1 else np.array([float(place)])
        values = factor * mine[quantity].to_numpy(np.float64)
        colour = BLUE if roles[name] == "mixture" else GREY
        for which, mark, style in ((~fallen, "o", {"color": colour, "alpha": 0.75}), (fallen, "x", {"color": VERMILION, "zorder": 4})):
            if which.any():  # an empty line without clipping lies at the corner of the paper, and the layout makes room for it
                axes.plot(values[which], heights[which], mark, markersize=5, clip_on=False, **style)
        row = methods[(methods["method"] == name) & (methods["quantity"] == quantity) & (methods["split"] == "test")].iloc[0]
        axes.plot([factor * row["mean"]], [place], "|", color=BLACK, markersize=11, markeredgewidth=1.6, zorder=5, clip_on=False)
        if np.isfinite(row["low"]):
            axes.plot([factor * max(row["low"], 0), factor * row["high"]], [place, place], color=BLACK, linewidth=1.1, zorder=5)
