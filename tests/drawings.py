"""What every figure has to hold, asked by the tests of each family."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from metann.stages.draw_figure import draw_figure


def draws(figure: str, run: Path, folder: Path, largest: int = 2500) -> None:
    """It has a size that a page takes (at most `largest` pixels), something on it, and nothing that runs over the edge of the paper."""
    draw_figure(figure, run=run, png=folder / "figure.png")
    pixels = imread(folder / "figure.png")[..., :3]
    assert 200 < pixels.shape[0] < largest
    assert 600 < pixels.shape[1] < largest
    assert pixels.std() > 0.02
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edge == 1).all()


def repeats(figure: str, run: Path, folder: Path) -> None:
    """The same tables give the same bytes."""
    for copy in "ab":
        draw_figure(figure, run=run, png=folder / f"{copy}.png", svg=folder / f"{copy}.svg")
    for suffix in ("png", "svg"):
        assert (folder / f"a.{suffix}").read_bytes() == (folder / f"b.{suffix}").read_bytes()
