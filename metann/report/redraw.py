"""A figure of a run drawn again, perhaps in other colours: `metann.draw("results/demo", "mnn_cost", colours={"blue": "crimson"})`."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import is_color_like, to_hex, to_rgba, to_rgba_array
from matplotlib.figure import Figure

from metann import layout
from metann.errors import MetannError, unknown
from metann.figures import _style
from metann.figures._captions import tables_of
from metann.figures._labels import spread
from metann.tables.frames import read_frame

HOUSE = {name.lower(): getattr(_style, name) for name in "BLACK ORANGE SKY GREEN YELLOW BLUE VERMILION PURPLE GREY".split()}  # noqa: SIM905
_PROPERTIES = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def draw(run: Path | str, name: str, *, colours: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None) -> Figure:
    """Draw a figure from the tables of a run.

    Args:
        run: its folder, such as results/demo.
        name: a file of metann/figures, such as mnn_test_threshold.
        colours: others for some of the house's: a name of `HOUSE`, or the colour itself -> any colour of matplotlib.
        settings: matplotlib's, over those of the house: `image.cmap` for thresholds and experts in their order, `font.size` ...

    Returns:
        matplotlib's figure; `figure.savefig("mine.pdf")` writes it.

    Raises:
        MetannError: an unknown figure, colour or setting, or a run without its tables.
    """
    run, replaced = Path(run), {}
    for old, new in (colours or {}).items():
        known = HOUSE.get(old, old)
        if not is_color_like(known) or not is_color_like(new):
            raise unknown("colour", old if not is_color_like(known) else new, HOUSE)
        replaced[to_hex(known)] = new
    try:
        mpl.RcParams(settings or {})
    except (KeyError, ValueError) as error:
        raise MetannError(f"settings are matplotlib's: {' '.join(str(error.args[0]).split())}") from None
    tables = {table: read_frame(run / layout.table_of(table), table) for table in tables_of(name)}
    figure = import_module(f"metann.figures.{name}").draw(tables, settings)
    figure.draw_without_rendering()  # names find their places when the axes have theirs
    spread(figure)
    if replaced:
        for artist in figure.findobj():
            _recolour(artist, replaced)
    return figure


def _recolour(artist: Artist, replaced: Mapping[str, Any]) -> None:
    """Give an artist new colours for old ones; how far one sees through them stays."""
    for name in _PROPERTIES:
        getter, setter = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
        if getter is None or setter is None or (name == "color" and hasattr(artist, "get_facecolor")):
            continue
        value = getter()
        if isinstance(value, str) and not is_color_like(value):
            continue  # 'auto'
        rows_NC = to_rgba_array(value)
        found = [row for row, colour in enumerate(rows_NC) if colour[3] and to_hex(colour) in replaced]
        for row in found:
            rows_NC[row, :3] = to_rgba(replaced[to_hex(rows_NC[row])])[:3]
        if found:
            setter(rows_NC if np.ndim(value) == 2 else tuple(rows_NC[0]))
