"""Figure pareto_ms: accuracy against measured milliseconds, over all families of a run and its plain networks."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metann.figures._axes import log_axis, round_ticks
from metann.figures._families import COLOURS, bar
from metann.figures._labels import name_points
from metann.figures._style import BLACK, GREY, confidence_of, new_figure, seeds_text, styled

CAPTION = """
Test accuracy against milliseconds per image as measured, one image at a time and many at once: a saved multiply-accumulate is no saved
millisecond. Settings of the first seed, on one thread. Lines across are the quartiles of the rounds, lines up and down the intervals of the
accuracy; black edges are what validation chose in each family, squares the plain networks, diamonds those that a family trained in its own
way.
"""
TABLES = ("results", "run_latency")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """A panel for each batch size."""
    results, latency = tables["results"], tables["run_latency"]
    test = results[results["split"] == "test"].drop_duplicates(["family", "setting", "seed"])
    kept = ["family", "setting", "seed", "n", "accuracy", "low", "high", "chosen"]
    measured = latency.merge(test[kept].rename(columns={"low": "below", "high": "above"}), on=["family", "setting", "seed"], how="inner")
    sizes, dataset = sorted(measured["batch_size"].unique()), results.attrs.get("dataset")
    footnote = (
        f"{f'{dataset}, ' if dataset else ''}n = {int(measured['n'].max()):,} test images, {seeds_text(measured['seed'].clip(lower=0))};"
        f" {latency.attrs.get('machine', '')}, one thread, median of {int(measured['repeats'].iloc[0])} rounds."
        f" Bars: {100 * confidence_of(results):g} % Wilson intervals, quartiles."
    )
    figure = new_figure(5 * len(sizes) + 1.6, 4.8, "Accuracy against milliseconds, over all families", footnote)
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        _panel(axes, measured[measured["batch_size"] == size])
        axes.set_title("one image at a time" if size == 1 else f"{size} images at once")
    panels[0].set_ylabel("test accuracy (%)")
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    for family, colour in COLOURS.items():
        mine = rows[(rows["family"] == family) & (rows["role"] == "setting")]
        for number, row in enumerate(mine.itertuples()):
            _mark(axes, row, "o", colour, family if not number else None)
    for role, marker, label in (("network", "s", "plain network"), ("control", "D", "plain, trained by a family")):
        for number, row in enumerate(rows[rows["role"] == role].itertuples()):
            _mark(axes, row, marker, GREY, label if not number else None)
    plain = rows[rows["role"].isin(("network", "control"))]
    settings = rows[rows["role"] == "setting"]
    name_points(
        axes,
        [(row.ms, 100 * row.accuracy, row.setting) for row in plain.itertuples()],
        zip(settings["ms"], 100 * settings["accuracy"], strict=True),
    )
    low, high = rows["low"].min() / 1.25, rows["high"].max() * 1.5
    log_axis(axes, low, high, round_ticks(low, high, 7), lambda value: f"{value:.3g}", "milliseconds per image, logarithmic")


def _mark(axes: Axes, row: pd.Series, marker: str, colour: str, label: str | None) -> None:
    across = [[max(row.ms - row.low, 0)], [max(row.high - row.ms, 0)]]
    axes.errorbar(
        [row.ms],
        [100 * row.accuracy],
        bar(row.accuracy, row.below, row.above),
        across,
        marker=marker,
        color=colour,
        markersize=8 if row.chosen else 5,
        markeredgecolor=BLACK if row.chosen else colour,
        elinewidth=0.8,
        linestyle="none",
        label=label,
        zorder=6 if row.chosen else 4,
    )
