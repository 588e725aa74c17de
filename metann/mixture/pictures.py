"""Which images show what an expert gets: small copies of a few, drawn by chance from those that it answers.

Shapes: N images, C channels, H = W pixels. Pixels travel in a table as base64 text.
"""

import base64
from typing import Any

import numpy as np

from metann.seeds import derive_seed
from metann.tables.samples import Gate

PER_EXPERT = 12
LARGEST = 32
"""Pixels; larger images are averaged down."""
PICTURE = ("setting", "seed", "expert", "sample_id", "class", "predicted", "channels", "size", "pixels")


def chosen_samples(gate: Gate, split: str = "test", count: int = PER_EXPERT) -> list[tuple[int, int]]:
    """(row of the whole table, expert), `count` images of every expert at most, the same whenever it is asked."""
    rows_N = gate.rows(split)
    found = []
    for e in range(gate.experts):
        mine = rows_N[gate.expert[rows_N] == e]
        generator = np.random.default_rng(derive_seed(int(gate.metadata["seed"]), "mixture_pictures", e))
        picked = generator.permutation(len(mine))[:count]
        found += [(int(row), e) for row in mine[picked]]
    return found


def shrink(image_CHW: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """The image, averaged over blocks of equal size until no side is above `largest`; what does not fill a block is cut evenly."""
    block = -(-image_CHW.shape[1] // largest)
    if block <= 1:
        return image_CHW
    size = image_CHW.shape[1] // block
    start = (image_CHW.shape[1] - size * block) // 2
    cut = image_CHW[:, start : start + size * block, start : start + size * block].astype(np.float64)
    return np.rint(cut.reshape(len(cut), size, block, size, block).mean(axis=(2, 4))).astype(np.uint8)


def picture_rows(gate: Gate, images_NCHW: np.ndarray, split: str = "test") -> list[dict[str, Any]]:
    """One row per picture; columns `PICTURE`.

    Args:
        gate: the table; `sample_id` is the image's row in images_NCHW.
        images_NCHW: all prepared images, uint8.
    """
    rows, prediction_N = [], gate.prediction
    for row, e in chosen_samples(gate, split):
        small = shrink(np.asarray(images_NCHW[gate.sample_id[row]]))
        values = (gate.metadata["setting"], int(gate.metadata["seed"]), e, int(gate.sample_id[row]), int(gate.label[row]))
        values += (int(prediction_N[row]), small.shape[0], small.shape[1], base64.b64encode(small.tobytes()).decode())
        rows.append(dict(zip(PICTURE, values, strict=True)))
    return rows


def unpack(pixels: str, channels: int, size: int) -> np.ndarray:
    """(H, W) grey or (H, W, C) uint8 of a row's pixels, as pictures are drawn."""
    image_CHW = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(channels, size, size)
    return image_CHW[0] if channels == 1 else np.moveaxis(image_CHW, 0, -1)
