"""Figure mnn_expert_sets: which images each expert learned from."""

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from metann.figures._style import GREY, heat, new_figure, no_figure, seeds_text, styled
from metann.thresholds import format_threshold

CAPTION = """
Training images of each expert (row) by their true class (column), one panel for each dataset threshold. On the diagonal stand the expert's
own class, beside it what the switch takes for it; a higher threshold leaves fewer of these. The colours are logarithmic. Hatched rows are
experts that could not be trained (no images, or images of one side only).
"""
TABLES = ("mnn_expert_sets", "mnn_choice")
PANELS = 6


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Mean number of images over seeds; at most six thresholds are shown, the chosen one among them."""
    sets = tables["mnn_expert_sets"]
    if sets.empty:
        return no_figure("What the experts learned from", "No description of the expert sets was given.")
    every = sorted(sets["dataset_threshold"].unique())
    chosen = tables["mnn_choice"].query("scope == 'chosen'")["dataset_threshold"].mode()
    shown = _panels(every, chosen.iloc[0] if len(chosen) else None)
    names = [str(name) for name in sets.drop_duplicates("true_class").sort_values("true_class")["true_name"]]
    classes = len(names)
    columns = min(len(shown), 3)
    rows = -(-len(shown) // max(columns, 1))
    side = float(np.clip(0.36 * classes, 2.2, 4.2))
    text_width = 0.07 * min(max(map(len, names), default=1), 18)
    left_out = f" {len(every) - len(shown)} more thresholds are not shown." if len(shown) < len(every) else ""
    dataset = f"{sets.attrs['dataset']}, " if sets.attrs.get("dataset") else ""
    footnote = f"{dataset}training images, {seeds_text(sets['seed'].tolist())}.{left_out}"
    figure = new_figure(
        columns * (side + 0.15) + text_width + 1.6, rows * (side + 0.25) + text_width + 1.0, "What the experts learned from", footnote
    )
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    norm = LogNorm(1, max(float(sets["images"].max()), 2.0))
    step = -(-classes // 25)
    for axes in panels.ravel()[len(shown) :]:
        axes.remove()
    for place, (axes, threshold) in enumerate(zip(panels.ravel(), shown, strict=False)):
        mine = sets[sets["dataset_threshold"] == threshold]
        images = mine.pivot_table(index="class", columns="true_class", values="images", aggfunc="mean").reindex(range(classes)).to_numpy()
        texts = np.vectorize(_text)(images) if classes <= 12 else None
        mesh = heat(axes, images, "cividis", norm, texts, 5.5 if classes > 8 else 6.5)
        size = mine.drop_duplicates(["seed", "class"])["size"].mean()
        mark = " (chosen)" if len(chosen) and threshold == chosen.iloc[0] and len(every) > 1 else ""
        axes.set_title(f"dataset threshold {format_threshold(threshold)}{mark}\n{size:,.0f} images per expert", fontsize=8)
        for untrained in mine.loc[mine["state"] != "trained", "class"].unique():
            row = Rectangle((0, untrained), classes, 1, fill=False, hatch="////", edgecolor=GREY, linewidth=0, alpha=0.8)
            axes.add_patch(row)
        places = np.arange(0, classes, step)
        axes.set_yticks(places + 0.5, [_short(names[i]) for i in places], fontsize=7)
        axes.set_xticks(places + 0.5, [_short(names[i]) for i in places], rotation=90, fontsize=7)
        axes.tick_params(labelbottom=place + columns >= len(shown), left=place % columns == 0, bottom=place + columns >= len(shown))
        if place % columns == 0:
            axes.set_ylabel("expert")
        if place + columns >= len(shown):
            axes.set_xlabel("true class")
    bar = figure.colorbar(mesh, ax=panels.ravel()[: len(shown)].tolist(), label="training images", pad=0.01, fraction=0.03, aspect=25)
    ticks = [1, 2, 5, 10, 20, 50] if norm.vmax < 100 else [10**power for power in range(8)]
    bar.set_ticks([tick for tick in ticks if tick <= norm.vmax], labels=[f"{tick:,}" for tick in ticks if tick <= norm.vmax])
    bar.minorticks_off()
    return figure


def _panels(thresholds: list[float], chosen: float | None) -> list[float]:
    """At most `PANELS` thresholds from first to last, the chosen one in place of its nearest."""
    if len(thresholds) <= PANELS:
        return thresholds
    places = np.linspace(0, len(thresholds) - 1, PANELS).round().astype(int)
    if chosen in thresholds:
        places[np.abs(places - thresholds.index(chosen)).argmin()] = thresholds.index(chosen)
    return [thresholds[i] for i in places]


def _text(images: float) -> str:
    """At most four characters: '0', '87', '5.1k', '13k'."""
    if images < 1000:
        return f"{images:.0f}"
    return f"{images / 1000:.1f}k" if images < 9950 else f"{images / 1000:.0f}k"


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:9]}…{name[-8:]}"
