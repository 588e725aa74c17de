"""Figure hypernetwork_numbers: accuracy against how many numbers are trained for a new task."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from metann.figures._hypernetwork import arms_in_order, chosen_parts, grid_lines, hypernetwork_facts, look, panels
from metann.figures._style import GREY, confidence_of, no_figure, styled

CAPTION = """
Test accuracy on held-out tasks against how many numbers each arm trains for a new task, with the most images per class (filled) and with
the fewest (hollow). Arms that train nothing stand at the left edge. A trained generator is worth its training where z_adapt lies above
the other arms with as few numbers: the random generator, the random subspace and the last layer alone.
"""
TABLES = ("hypernetwork_arms", "hypernetwork_generators")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over held-out tasks, draws and seeds; one panel for each experiment."""
    arms = tables["hypernetwork_arms"]
    parts = chosen_parts(tables["hypernetwork_generators"], arms)
    if not parts:
        return no_figure("Accuracy against numbers trained", "No arm was run.")
    shots = sorted(int(number) for number in arms["shots"].unique() if number)
    ends = f"hollow: {shots[0]:,} images per class, filled: {shots[-1]:,}; " if len(shots) > 1 else ""
    footnote = (
        f"{hypernetwork_facts(arms)}; {ends}bars: {100 * confidence_of(arms):g} % intervals of these over pairs of classes and seeds."
    )
    figure, grid = panels(list(parts), "Accuracy against how many numbers are trained", footnote, sharey=True)
    for axes, mine in zip(grid, parts.values(), strict=True):
        trained = mine.loc[mine["trained_numbers"] > 0, "trained_numbers"]
        left = (trained.min() if len(trained) else 1) / 6
        axes.axhline(50, color=GREY, linewidth=0.7, zorder=1)
        beside: dict[float, int] = {}  # arms with as many numbers stand side by side
        size = mine.groupby("arm")["trained_numbers"].mean().clip(lower=left)
        for arm in arms_in_order(mine):
            place = beside[size[arm]] = beside.get(size[arm], -1) + 1
            shift = 1.16 ** (place - ((size == size[arm]).sum() - 1) / 2)
            _points(axes, arm, mine[mine["arm"] == arm], size[arm] * shift)
        axes.set_xscale("log")
        right = max(trained.max() if len(trained) else left, left)
        axes.set_xlim(left / 2.2, right * 2.5)
        ticks = [10.0**power for power in range(12) if left * 2 <= 10.0**power <= right * 2]
        axes.set_xticks([left, *ticks], ["none", *(_short(tick) for tick in ticks)])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
        axes.set_xlabel("numbers trained, logarithmic")
        grid_lines(axes)
    grid[0].set_ylabel("test accuracy (%)")
    grid[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    there = {text: handle for axes in grid for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    names = arms_in_order(arms)
    handles = [there[name] for name in names]
    figure.legend(handles, names, loc="outside right upper")
    return figure


def _points(axes: Axes, arm: str, rows: pd.DataFrame, x: float) -> None:
    style = look(arm)
    rows = rows.sort_values("shots")
    for row, filled in ((rows.iloc[-1], True), (rows.iloc[0], False))[: 1 + (len(rows) > 1)]:
        low, high = (100 * min(max(row[end], 0), 1) if row[end] == row[end] else 100 * row["accuracy"] for end in ("low", "high"))
        y = 100 * row["accuracy"]
        axes.errorbar(
            x,
            y,
            [[max(y - low, 0)], [max(high - y, 0)]] if filled else None,
            color=style["color"],
            marker=style["marker"],
            markerfacecolor=style["color"] if filled else "white",
            markersize=7 if arm == "z_adapt" else 5,
            elinewidth=0.8,
            capsize=2,
            linestyle="none",
            zorder=style["zorder"] + filled,
            alpha=1 if filled else 0.75,
            label=arm if filled else None,
        )


def _short(value: float) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"
