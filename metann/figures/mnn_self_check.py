"""Figure mnn_self_check: what each expert knows of its own question, beside what the switch knew."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._style import BLUE, GREY, LIGHT_GREY, VERMILION, new_figure, no_figure, seeds_text, styled
from metann.thresholds import format_threshold

CAPTION = """
Each expert on its own question, is this image of class c?, beside the switch's probability S_c: the area under the curve on test images at
which S_c reaches the dataset threshold (left), and on all test images (right). A line goes from the switch to the expert: blue where the
expert knows more, red where it knows less and nobody needs it. A dataset threshold that validation chose is shown.
"""
TABLES = ("mnn_self_check", "mnn_choice")
MOST = 30
PANELS = (("asked", "images that it is asked about"), ("all", "all images"))


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over the seeds that chose the dataset threshold; of many experts those that differ most from their switch."""
    checked, title = tables["mnn_self_check"], "Each expert on its own question"
    chosen = tables["mnn_choice"].query("scope == 'chosen'")["dataset_threshold"].mode()
    test = checked[(checked["split"] == "test") & (checked["dataset_threshold"] == (chosen.iloc[0] if len(chosen) else np.nan))]
    if test.empty:
        return no_figure(title, "No expert was checked.")
    means = test.groupby(["images", "class"]).mean(numeric_only=True)
    gain = (means["auc"] - means["switch_auc"]).xs("asked", level="images").fillna(0.0)
    shown = gain.loc[gain.abs().sort_values(ascending=False).index[:MOST]].sort_values().index.tolist()
    names = test.drop_duplicates("class").set_index("class")["class_name"]
    left_out = f"; the {len(shown)} of {len(gain)} experts that differ most from their switch" if len(shown) < len(gain) else ""
    footnote = f"{_facts(checked)}dataset threshold {format_threshold(chosen.iloc[0])}, {seeds_text(test['seed'].tolist())}{left_out}."
    figure = new_figure(8.5, 1.6 + 0.24 * len(shown), title, footnote)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (images, text) in zip(panels, PANELS, strict=True):
        _lines(axes, means.xs(images, level="images").loc[shown])
        axes.set_title(text)
        axes.set_xlabel("area under the curve")
    panels[0].set_yticks(range(len(shown)), [f"{_short(names[c])} ({means.loc[('asked', c), 'n']:,.0f})" for c in shown], fontsize=7.5)
    panels[0].set_ylabel("expert (images asked)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)
    return figure


def _lines(axes: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    switch, expert = (rows[name].to_numpy() for name in ("switch_auc", "auc"))
    more = expert >= switch
    axes.hlines(places, switch, expert, colors=np.where(more, BLUE, VERMILION), linewidth=1.6, zorder=2)
    axes.scatter(switch, places, s=26, facecolor="white", edgecolor=GREY, linewidth=1.2, label="switch (S_c)", zorder=3)
    for mine, colour, text in ((more, BLUE, "expert, knows more"), (~more, VERMILION, "expert, knows less")):
        if mine.any():
            axes.scatter(expert[mine], places[mine], s=26, color=colour, label=text, zorder=4)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=LIGHT_GREY)
    axes.set_ylim(-0.7, len(rows) - 0.3)


def _facts(checked: pd.DataFrame) -> str:
    return f"{checked.attrs['dataset']}, test images, " if checked.attrs.get("dataset") else "test images, "


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 18 else f"{text[:9]}…{text[-8:]}"
