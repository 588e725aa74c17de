"""A figure in a file: laid out once, names put where there is room, the same bytes for the same figure."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from metann.figures._labels import spread
from metann.figures._style import settings_of_style
from metann.files.atomic import atomic

_GRID = 2**20  # boxes of a figure lie on multiples of 1 / this of its width and height


def _settle(figure: Figure) -> None:
    """Lay the figure out, once, and put every box on a fine grid.

    Matplotlib's solver of constraints (kiwisolver) takes the terms of a sum in the order of their addresses, so two equal figures differ
    in the last bits, and with them the names of clip paths in an SVG. The grid is far finer than a pixel and far coarser than that.
    """
    engine = figure.get_layout_engine()
    if not isinstance(engine, ConstrainedLayoutEngine):
        return
    engine.execute(figure)
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points() * _GRID) / _GRID)
    for axes in figure.axes:
        axes.set_position(Bbox(np.round(axes.get_position(original=True).get_points() * _GRID) / _GRID))


def save(figure: Figure, path: Path, suffix: str) -> None:
    """Write a figure as 'png' or 'svg', whole or not at all; no date and no random names, so the same figure gives the same bytes."""
    metadata = {"Software": None} if suffix == "png" else {"Date": None, "Creator": None}
    with mpl.rc_context(settings_of_style()), atomic(path) as temporary:
        _settle(figure)
        spread(figure)
        figure.savefig(temporary, format=suffix, metadata=metadata)
