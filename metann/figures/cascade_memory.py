"""Figure cascade_memory: what a memory saves, over the share of duplicates."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from metann.config.cascade_answers import way
from metann.figures._cascade import cascade_facts, chosen_pair
from metann.figures._style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, new_figure, styled

CAPTION = """
What a memory in front of the chosen pair saves when images come again: the share of images that it answers, the use of the second
network, and the multiply-accumulates left, over the number of duplicates per image. An ideal memory knows every image again and takes no
two for one; the dashed line is what arithmetic expects of it. A memory repeats its errors: the last panel shows what that does to accuracy.
"""
TABLES = ("cascade_choice", "cascade_memory")
_STYLES = {"ideal": (BLACK, "-", "o"), "dhash": (BLUE, "-", "s"), "invariants": (VERMILION, "-", "D")}


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over seeds."""
    choice, memory = tables["cascade_choice"], tables["cascade_memory"]
    turned = memory["rotations"].iloc[0]
    capacity = memory.attrs.get("capacity")
    facts = f"{cascade_facts(choice)}, replayed from tables. " + (f"{100 * turned:g} % of the duplicates turned. " if turned else "")
    footnote = facts + ("Memory without bound." if capacity is None else f"Memory of {capacity:,} entries.")
    score = f"{choice['score'].iloc[0]}, {way(choice['answer'].iloc[0])}"
    figure = new_figure(11, 3.7, f"Memory before {chosen_pair(choice)} ({score})", footnote)
    panels = figure.subplots(1, 4)
    mean = memory.groupby(["key", "duplicates"], sort=False).mean(numeric_only=True).reset_index()
    mean["left"] = mean["macs"] / mean["macs_without"] if mean["macs"].notna().all() else mean["misses"] / mean["n"]
    known = "MACs left (%)" if mean["macs"].notna().all() else "first-network calls left (%)"
    quantities = [("hit_rate", "answered from memory (%)"), ("use", "second network used (%)"), ("left", known)]
    spare = iter((GREEN, PURPLE, ORANGE, GREY))
    for number, (key, rows) in enumerate(mean.groupby("key", sort=False)):
        colour, line, marker = _STYLES.get(key, (next(spare), "-", "^"))
        style = {"color": colour, "linestyle": line, "marker": marker, "markersize": 7 - 2 * number, "linewidth": 2.2 - 0.7 * number}
        for axes, (column, _) in zip(panels, quantities, strict=False):
            axes.plot(rows["duplicates"], 100 * rows[column], label=key, **style)
        panels[3].plot(rows["duplicates"], 100 * (rows["accuracy"] - rows["accuracy_without"]), label=key, **style)
    amount = np.linspace(0, mean["duplicates"].max(), 100)
    for axes, expected in ((panels[0], amount / (1 + amount)), (panels[2], 1 / (1 + amount))):
        axes.plot(amount, 100 * expected, "--", color=GREY, linewidth=1, zorder=1, label="expected of an ideal memory")
    for axes, (_, label) in zip(panels, [*quantities, ("", "accuracy change (points)")], strict=True):
        axes.set(xlabel="duplicates per image", title=label)
        axes.grid(color=GREY, alpha=0.18, linewidth=0.6)
    panels[0].set_ylim(-2, 100)
    panels[1].set_ylim(0, None)
    panels[2].set_ylim(0, 105)
    low, high = panels[3].get_ylim()
    reach = max(abs(low), abs(high), 0.1)
    panels[3].set_ylim(-reach, reach)
    panels[0].legend(loc="upper left")
    return figure
