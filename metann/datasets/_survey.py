"""A look at a folder of photos with the search of `image_folder`; of the pictures only the heads are read."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from metann.data.survey import Survey
from metann.datasets._deep import layers_of_tiff
from metann.datasets._pictures import FORMATS, problem_of
from metann.datasets._pixels import FLOATING
from metann.datasets._search import printable
from metann.datasets._splits import pictures_of, read_layout, told
from metann.errors import MetannError

if TYPE_CHECKING:
    from metann.config.data import DataSection

MOST = 2000  # pictures that are opened: a second of work, on a network drive a minute
_GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"}


def survey(settings: "DataSection") -> Survey:
    """Classes, splits, sizes, and what would be skipped.

    Raises:
        MetannError: what `image_folder` refuses too; or none of the pictures can be read.
    """
    layout = read_layout(settings)
    files, found = pictures_of(layout)
    paths = [path for some in files.values() for path in some]
    chosen = [paths[index] for index in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), MOST)).astype(int))]
    sides, modes, unreadable = [], set(), []
    for path in chosen:
        try:
            side, mode = _head(path)
        except Exception as error:  # whatever a decoder raises on foreign bytes, the file is at fault
            unreadable.append(f"{printable(path)} ({problem_of(error, path)})")
        else:
            sides.append(side)
            modes.add(mode)
    if not sides:
        raise MetannError(f"none of the {len(chosen)} pictures that were opened can be read, such as {unreadable[0]}; give JPEG or PNG")
    low, middle = (int(value) for value in np.quantile(sides, [0.1, 0.5]))
    return Survey(
        {place: len(some) for place, some in files.items()},
        layout.names,
        (low, middle, max(sides)),
        modes <= _GREY,
        len(chosen),
        tuple(unreadable),
        found.skipped_text(),
        told(layout, files),
    )


def _head(path: Path) -> tuple[int, str]:
    """Shorter side and mode of a picture.

    Raises:
        Exception: of many kinds; it cannot be read, as far as its head says.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as image:
            if image.mode == "F":
                raise ValueError(FLOATING)
            if image.format == "TIFF":
                layers_of_tiff(image)  # says which are refused
            return min(image.size), image.mode
