"""Figure cascade_complementarity: both matrices of complementarity, beside what the pairs really gain."""

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from metann.figures._cascade import cascade_facts, short
from metann.figures._style import frame_cell, heat, new_figure, styled

CAPTION = """
How much two networks' errors differ on validation images, in both published forms, beside what the best cascade of each pair gains there
over its better network. Left: share of images that exactly one of the two gets right. Middle: the same less the difference of their
accuracies. Right: gain in points, the first network in rows. Framed: the highest cell of each matrix; they need not be the same pair, so
a matrix alone does not pick one.
"""
TABLES = ("cascade_choice", "cascade_complementarity", "cascade_networks", "cascade_pairs")
_FORMS = {"exactly_one_right": "exactly one is right (%)", "balanced_one_right": "balanced form (%)"}


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over seeds; networks in the order of the configuration."""
    choice, pairs = tables["cascade_choice"], tables["cascade_pairs"]
    names = list(dict.fromkeys(tables["cascade_networks"]["network"]))
    on_val = tables["cascade_complementarity"].query("images == 'val'")
    alone = tables["cascade_networks"].groupby("network")["val_accuracy"].mean()
    better = np.maximum(alone[pairs["first"]].to_numpy(), alone[pairs["second"]].to_numpy())
    matrices = {
        title: on_val[on_val["form"] == form].groupby(["first", "second"])["value"].mean().unstack().reindex(names, columns=names)
        for form, title in _FORMS.items()
    }
    gains = pairs.assign(gain=pairs["val_accuracy"] - better).pivot_table(index="first", columns="second", values="gain")
    matrices["gain of the best cascade (points)"] = gains.reindex(names, columns=names)

    size = float(np.clip(0.42 * len(names) + 1.2, 2.6, 7))
    val_n = int(choice["val_n"].iloc[0])
    footnote = f"{cascade_facts(choice)}; everything here is on the {val_n:,} validation images. Framed: the highest cell."
    figure = new_figure(3 * size + 1.2, size + 1.5, "What complements, and what gains", footnote)
    for axes, (title, matrix), colours in zip(figure.subplots(1, 3), matrices.items(), ("cividis", "cividis", "RdBu"), strict=True):
        values = 100 * matrix.to_numpy(copy=True)
        np.fill_diagonal(values, np.nan)
        if np.isnan(values).all():
            continue
        limit = max(float(np.nanmax(np.abs(values))), 0.05)
        norm = Normalize(-limit, limit) if colours == "RdBu" else Normalize(float(np.nanmin(values)), limit)
        texts = np.vectorize(lambda value: "" if np.isnan(value) else f"{value:.1f}".replace("-", "−"))(values)
        heat(axes, values, colours, norm, texts if len(names) <= 20 else None, 7 if len(names) <= 12 else 5)
        frame_cell(axes, *np.unravel_index(np.nanargmax(values), values.shape))
        axes.set_title(title)
        places = np.arange(len(names))
        axes.set_xticks(places + 0.5, list(map(short, names)), rotation=90, fontsize=7.5)
        axes.set_yticks(places + 0.5, list(map(short, names)), fontsize=7.5)
        axes.set(xlabel="second network" if colours == "RdBu" else "", ylabel="first network" if colours == "RdBu" else "")
    return figure
