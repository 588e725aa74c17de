"""Figure mixture_entropy: does a decided gate make fewer errors?"""

import pandas as pd
from matplotlib.figure import Figure

from metann.figures._mixture import collapsed_runs, marks, mixture_facts, mixtures_in_order, short
from metann.figures._style import GREY, new_figure, styled

CAPTION = """
Entropy of the gate against test error, every run a point. Left the sample entropy, how undecided the gate is about one image; right the
usage entropy, how evenly it uses its experts over all images. Hollow marks are runs that collapsed: little usage entropy, or an expert
that answers hardly any image.
"""
TABLES = ("mixture_runs",)


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """A colour and a marker for each method."""
    runs = tables["mixture_runs"]
    names, fallen = mixtures_in_order(runs), collapsed_runs(runs)
    test = runs[(runs["split"] == "test") & (runs["experts"] > 1)]
    height = max(3.9, 0.21 * len(names) + 1.6)
    figure = new_figure(10.5, height, "Gate entropy against error", f"{mixture_facts(runs)}. Hollow: collapsed. Bits.")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (quantity, label) in zip(
        panels, (("sample_entropy", "sample entropy (bit)"), ("usage_entropy", "usage entropy (bit)")), strict=True
    ):
        for name, (colour, marker) in marks(names).items():
            for full in (True, False):
                mine = test[test["setting"] == name]
                mine = mine[[((name, int(seed)) in fallen) != full for seed in mine["seed"]]]
                style = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 6, "alpha": 0.85}
                style |= {} if full else {"markerfacecolor": "none", "markeredgewidth": 1.4}
                axes.plot(mine[quantity], 100 * mine["error"], **style)
            axes.plot([], [], color=colour, marker=marker, linestyle="none", label=short(name))
        axes.set_xlabel(label)
        axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
        reach = max(float(test[quantity].max()), 0.1)
        axes.set_xlim(-0.04 * reach, 1.06 * reach)
    panels[0].set_ylabel("test error (%)")
    panels[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
