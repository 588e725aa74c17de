"""Figure pareto: what accuracy costs, over all families of a run and its plain networks."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._axes import macs_axis
from metann.figures._families import COLOURS, MANY, bar, with_interval
from metann.figures._labels import name_points
from metann.figures._style import BLACK, GREY, confidence_of, new_figure, no_figure, seeds_text, styled

CAPTION = """
Test accuracy against multiply-accumulates per image, of every setting of every family and of the plain networks, a small dot for each
seed. The black line answers what a budget buys: for every cost the setting that **validation** takes, as right as it is on test images.
The grey line is the same with plain networks alone. A family pays where its part of the black line lies above the grey one. Large marks
are what validation chose in each family, squares the plain networks, diamonds those that a family trained in its own way.
"""
TABLES = ("results", "run_frontier")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over seeds with their intervals; settings of unknown cost are left out, and so are bounds that look at the true class."""
    results, fronts = tables["results"], tables["run_frontier"]
    title = "What accuracy costs, over all families"
    test = results[(results["split"] == "test") & results["macs"].notna() & (results["macs"] > 0) & (results["role"] != "bound")]
    if test.empty:
        return no_figure(title, "The multiply-accumulates of all settings are unknown.")
    confidence, dataset = confidence_of(results), results.attrs.get("dataset")
    seeds = sorted({int(seed) for seed in test["seed"] if seed >= 0}) or [0]
    kind = "Student's t over seeds" if len(seeds) > 1 else "Wilson"
    settings = test[["family", "setting"]].drop_duplicates()
    low, high = _limits(test, fronts)
    below = int((100 * test["accuracy"] < low).sum())
    cut = f" {below:,} dots lie below the axis." if below else ""
    footnote = (
        f"{f'{dataset}, ' if dataset else ''}n = {int(test['n'].max()):,} test images, {seeds_text(seeds)}; {len(settings):,} settings and"
        f" networks. Bars: {100 * confidence:g} % intervals ({kind}).{cut}"
    )
    figure = new_figure(9.2, 5.6, title, footnote)
    axes = figure.subplots()
    for family, colour in COLOURS.items():
        mine = test[(test["family"] == family) & (test["role"] == "setting")]
        if mine.empty:
            continue
        axes.scatter(
            mine["macs"], 100 * mine["accuracy"], s=7, color=colour, alpha=0.45, linewidths=0, zorder=2, rasterized=len(mine) > MANY
        )
        _chosen(axes, mine, family, colour, confidence)
    _networks(axes, test, confidence)
    macs_axis(axes, test["macs"])
    _lines(axes, fronts, axes.get_xlim()[1])
    _name(axes, test)
    axes.set(ylim=(low, high), ylabel="test accuracy (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _chosen(axes: Axes, mine: pd.DataFrame, family: str, colour: str, confidence: float) -> None:
    chosen = mine[mine["chosen"]]
    if chosen.empty:
        axes.plot([], [], "o", color=colour, markersize=4, label=family)
        return
    mean, below, above = with_interval(chosen, confidence)
    axes.errorbar(
        [chosen["macs"].mean()],
        [100 * mean],
        bar(mean, below, above),
        marker="o",
        color=colour,
        markersize=9,
        markeredgecolor=BLACK,
        capsize=3,
        elinewidth=1.1,
        linestyle="none",
        label=f"{family}, chosen",
        zorder=7,
    )


def _networks(axes: Axes, test: pd.DataFrame, confidence: float) -> None:
    """Plain networks with their intervals."""
    plain = test[test["role"].isin(("network", "control"))]
    for role, marker, label in (("network", "s", "plain network"), ("control", "D", "plain, trained by a family")):
        rows = plain[plain["role"] == role]
        for number, (_, mine) in enumerate(rows.groupby(["family", "setting"], sort=False)):
            mean, below, above = with_interval(mine, confidence)
            axes.errorbar(
                [mine["macs"].mean()],
                [100 * mean],
                bar(mean, below, above),
                marker=marker,
                color=GREY,
                markersize=5,
                capsize=2,
                elinewidth=0.8,
                linestyle="none",
                label=label if not number else None,
                zorder=5,
            )


def _name(axes: Axes, test: pd.DataFrame) -> None:
    """Names beside the plain networks."""
    plain = test[test["role"].isin(("network", "control"))].groupby(["family", "setting"], sort=False)
    chosen = test[test["chosen"] & (test["role"] == "setting")].groupby("family")[["macs", "accuracy"]].mean()
    names = [(mine["macs"].mean(), 100 * mine["accuracy"].mean(), str(name)) for (_, name), mine in plain]
    name_points(axes, names, zip(chosen["macs"], 100 * chosen["accuracy"], strict=True))


def _lines(axes: Axes, fronts: pd.DataFrame, right: float) -> None:
    """Steps to the right end: a larger budget buys no less."""
    for name, colour, width, label in (("plain", GREY, 1.6, "frontier of plain networks"), ("all", BLACK, 1.3, "frontier of all")):
        line = fronts[fronts["of"] == name].sort_values("budget")
        if not line.empty:
            ends = np.clip(100 * np.stack([line["accuracy"] - line["low"], line["high"] - line["accuracy"]]), 0, None)
            style = {"marker": ".", "markersize": 5, "markevery": list(range(len(line)))} if name == "all" else {}
            x, y = [*line["macs"], right], 100 * np.array([*line["accuracy"], line["accuracy"].iloc[-1]])
            axes.step(x, y, where="post", color=colour, linewidth=width, label=label, zorder=4, **style)
            if name == "all":
                axes.errorbar(
                    line["macs"], 100 * line["accuracy"], ends, linestyle="none", color=colour, elinewidth=0.5, alpha=0.6, zorder=3
                )


def _limits(test: pd.DataFrame, fronts: pd.DataFrame) -> tuple[float, float]:
    """Room for the networks, the frontiers and what was chosen; a setting far below all of them is cut, and said to be."""
    shown = test[test["chosen"] | test["role"].isin(("network", "control"))]["accuracy"]
    values = 100 * np.concatenate([shown.to_numpy(), fronts["accuracy"].to_numpy()])
    values = values if len(values) else 100 * test["accuracy"].to_numpy()
    top, bottom = max(values.max(), 100 * test["accuracy"].max()), values.min()
    span = max(top - bottom, 0.5)
    floor = max(100 * test["accuracy"].min(), bottom - 0.3 * span)
    return float(floor - 0.06 * span), float(min(top + 0.1 * span, 100.5))
