"""Figure mixture_cost: accuracy of mixtures and of dense networks against what an image costs."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from metann.figures._axes import macs_axis
from metann.figures._mixture import interval_text, marks, mixture_facts, mixtures_in_order, short
from metann.figures._style import BLACK, GREY, new_figure, no_figure, styled

CAPTION = """
Test accuracy against multiply-accumulates per image: mixtures with the experts that really run and their gate, and the controls (grey),
dense networks: one expert alone, the gate's network as a classifier, one network with as many parameters and one with as many active
multiply-accumulates as a mixture. Small marks are runs, large ones means over seeds with their interval. A mixture pays where it stands
above the dense networks at its own cost.
"""
_ASIDE = "Methods of nearly equal cost are set side by side."
TABLES = ("mixture_controls", "mixture_methods", "mixture_runs")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Costs on a logarithmic axis."""
    runs, controls, methods = (tables[f"mixture_{name}"] for name in ("runs", "controls", "methods"))
    wide = methods[methods["split"] == "test"].pivot(index="method", columns="quantity", values="mean")
    wide = wide[np.isfinite(wide["macs"]) & (wide["macs"] > 0)]
    if wide.empty:
        return no_figure("Accuracy against cost", "The multiply-accumulates are unknown.")
    roles = methods.drop_duplicates("method").set_index("method")["role"]
    mixtures = [name for name in mixtures_in_order(runs) if name in wide.index]
    dense = [name for name in wide.index if roles[name] not in ("mixture", "bound")]
    styles = marks(mixtures) | {name: (GREY, "spDv^"[i % 5]) for i, name in enumerate(dense)}
    points = pd.concat([runs, controls.rename(columns={"control": "setting"})]) if len(controls) else runs
    points = points[points["split"] == "test"]
    ends = methods[(methods["split"] == "test") & (methods["quantity"] == "error")].set_index("method")
    figure = new_figure(
        9.2, max(4.6, 0.23 * len(styles) + 1.6), "Accuracy against cost", f"{mixture_facts(runs)}; {interval_text(runs)}. {_ASIDE}"
    )
    axes = figure.subplots()
    shown: list[float] = []
    aside = _dodge(wide.loc[list(styles), "macs"])
    for name, (colour, marker) in styles.items():
        mine, cost, row = points[points["setting"] == name], float(wide.loc[name, "macs"] * aside[name]), ends.loc[name]
        axes.plot(mine["macs"] * aside[name], 100 * mine["accuracy"], marker, color=colour, markersize=3.5, alpha=0.55, zorder=3)
        axes.plot([cost], [100 * (1 - row["mean"])], marker, color=colour, markersize=8, markeredgecolor=BLACK, zorder=5, label=short(name))
        shown += list(100 * mine["accuracy"])
        if np.isfinite(row["low"]):
            span = [100 * (1 - max(row["low"], 0.0)), 100 * (1 - min(row["high"], 1.0))]
            axes.plot([cost, cost], span, color=colour, linewidth=1.2, zorder=4)
            shown += span
    macs_axis(axes, wide["macs"])
    room = 0.12 * max(max(shown) - min(shown), 1)
    axes.set(ylim=(min(shown) - room, min(max(shown) + room, 100)), ylabel="test accuracy (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _dodge(macs: pd.Series, step: float = 1.045, near: float = 1.1) -> dict[str, float]:
    """A factor for each method, so that marks of nearly equal cost do not cover one another."""
    groups: list[list[str]] = []
    for name in macs.sort_values(kind="stable").index:
        if groups and macs[name] <= near * macs[groups[-1][0]]:
            groups[-1].append(str(name))
        else:
            groups.append([str(name)])
    return {name: step ** (place - (len(group) - 1) / 2) for group in groups for place, name in enumerate(group)}
