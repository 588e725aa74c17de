"""What all figures share: size of text, colours that colour-blind readers can tell apart, titles, and words for seeds and images.

Figures are made without pyplot, so that drawing one leaves nothing behind; `draw` sets no global state.
"""

import functools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from metann.figures._letters import drawable, families

# Okabe and Ito 2008: distinct for all common kinds of colour blindness.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY, LIGHT_GREY = "#666666", "#f0f0f0"

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.facecolor": "white",
    "svg.hashsalt": "metann",
    "svg.fonttype": "path",
}

Draw = Callable[[dict[str, pd.DataFrame]], Figure]


def style() -> dict[str, Any]:
    """The style, with the fonts of this system that have the letters which its first font lacks."""
    return STYLE | {"font.family": families()}


def settings_of_style() -> dict[str, Any]:
    """Matplotlib's defaults under the style; the choice of a backend stays the caller's (figures are made without one)."""
    return {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")} | style()


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts are drawn as they are: class names come from outside."""
    texts = {name: column.map(drawable) for name, column in table.items() if column.map(lambda value: isinstance(value, str)).any()}
    changed = table.assign(**texts) if texts else table.copy(deep=False)
    changed.attrs = {key: list(map(drawable, value)) if key == "class_names" and value else value for key, value in table.attrs.items()}
    return changed


def styled(draw: Draw) -> Draw:
    """Draw under the shared style, whatever the caller's settings are, but for those that are given behind the tables."""

    @functools.wraps(draw)
    def inner(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any] | None = None) -> Figure:
        with mpl.rc_context(settings_of_style() | dict(settings or {})):
            return draw({name: _drawable(table) for name, table in tables.items()})

    return inner


def new_figure(width: float, height: float, title: str, footnote: str) -> Figure:
    """An empty figure, inches, with a title above and a grey line below that says n, seeds and what the marks mean."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(textwrap.fill(footnote, int(18.5 * width)), x=0.01, ha="left", fontsize=7.5, color=GREY)
    return figure


def threshold_colours(thresholds: Sequence[float]) -> dict[float, Any]:
    """One colour of the map `image.cmap` for each dataset threshold in their order; thresholds are ordered, so are the colours."""
    shades = mpl.colormaps[mpl.rcParams["image.cmap"]](np.linspace(0.0, 0.78, max(len(thresholds), 2)))
    return dict(zip(sorted(thresholds), shades, strict=False))


def seeds_text(seeds: Sequence[int]) -> str:
    """'seed 0', 'mean of seeds 0, 1, 2', 'mean of 8 seeds (0 to 7)'."""
    seeds = sorted(int(seed) for seed in set(seeds))
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean of seeds {', '.join(map(str, seeds))}" if len(seeds) <= 6 else f"mean of {len(seeds)} seeds ({seeds[0]} to {seeds[-1]})"


HALO = [Stroke(linewidth=2, foreground="white"), Normal()]  # round text that lies on lines


def no_figure(title: str, why: str) -> Figure:
    """What is drawn where there is nothing to draw."""
    figure = new_figure(6, 2, title, "")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0, 0.5, why)
    return figure


def heat(axes: Axes, values: np.ndarray, colours: str, norm: Normalize, texts: np.ndarray | None = None, fontsize: float = 7) -> Any:
    """Cells of colour, the first row on top, cell (i, j) centred at x = j + 0.5, y = i + 0.5; light grey where the norm has no colour.

    Returns:
        The mesh, for a colour bar.
    """
    import seaborn as sns  # here, because figures without cells are drawn sooner without it

    sns.heatmap(
        values,
        ax=axes,
        cmap=mpl.colormaps[colours].with_extremes(bad=LIGHT_GREY),
        norm=norm,
        cbar=False,
        annot=texts,
        fmt="",
        # Out of the layout: a text lies inside its cell, and measuring hundreds of them takes seconds.
        annot_kws={"fontsize": fontsize, "in_layout": False, "zorder": 6},
        linewidths=0.4 if values.shape[1] < 80 else 0,
        xticklabels=False,
        yticklabels=False,
        rasterized=values.size > 2500,  # an SVG with thousands of cells is slow everywhere
    )
    axes.set_facecolor(LIGHT_GREY)
    axes.tick_params(length=2)
    return axes.collections[-1]


def frame_cell(axes: Axes, row: float, column: float, dashed: bool = False) -> None:
    """A black frame round a cell of `heat`: solid for what validation chose, dashed and thinner for what was found by looking."""
    inset = 0.04 if dashed else 0.0
    axes.add_patch(
        Rectangle(
            (column + inset, row + inset),
            1 - 2 * inset,
            1 - 2 * inset,
            fill=False,
            edgecolor=BLACK,
            linewidth=1.2 if dashed else 2.2,
            linestyle=(0, (2, 1.2)) if dashed else "-",
            clip_on=False,
            zorder=5,
            path_effects=[Stroke(linewidth=3.6 if dashed else 4.6, foreground="white"), Normal()],
        )
    )


def facts(results: pd.DataFrame) -> str:
    """'cifar10, n = 10,000 test images, seed 0': the beginning of every footnote."""
    n = int(results.loc[results["split"] == "test", "n"].iloc[0])
    dataset = results.attrs.get("dataset")
    return f"{f'{dataset}, ' if dataset else ''}n = {n:,} test images, {seeds_text(results['seed'].tolist())}"


def spread_text(seeds: int, confidence: float) -> str:
    """What a band shows."""
    return f"paired {100 * confidence:g} % interval of the gain" if seeds == 1 else "range over seeds"


def confidence_of(frame: pd.DataFrame) -> float:
    """The confidence that the tables were made with."""
    return float(frame.attrs.get("confidence", 0.95))
