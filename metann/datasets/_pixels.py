"""Decoded pictures of any mode -> three channels of 8 bits; of large ones a band of rows at a time, so that one takes a few hundred MB.

A picture may have 89 million pixels: every array over all of them in 32 bits is a third of a gigabyte for each channel.
"""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

FLOATING = "floating-point pixels have no known white; save it with 8 or 16 bits"
_BAND = 512  # rows
_PHOTOMETRIC = 262  # tag of TIFF: 0 says that white is zero, as on film


class Deep(Exception):  # noqa: N818 - not an error: what a first look at a 16-bit picture comes to
    """The bits that a picture's largest value needs."""

    def __init__(self, largest: int) -> None:
        self.bits = largest.bit_length()


def _bands(height: int) -> Iterator[slice]:
    yield from (slice(top, min(top + _BAND, height)) for top in range(0, height, _BAND))


def eight_bits(values_of: Callable[[slice], np.ndarray], shape: tuple[int, ...], bits: int | None) -> np.ndarray:
    """The upper 8 of `bits` bits; what is brighter than they can say is white.

    Args:
        values_of: the values of a band of rows.
        shape: of all of them, rows first.
        bits: None asks for a first look.

    Raises:
        Deep: the answer to a first look.
    """
    if bits is None:
        raise Deep(max(int(values_of(rows).max()) for rows in _bands(shape[0])))
    found = np.empty(shape, np.uint8)
    for rows in _bands(shape[0]):
        found[rows] = np.minimum(values_of(rows).astype(np.uint32) >> (bits - 8), 255)
    return found


def to_rgb(image: Image.Image, bits: int | None) -> Image.Image:
    """Three 8-bit channels from any mode; deep grey keeps the upper 8 of `bits` bits, transparency shows white."""
    if image.mode == "F":
        raise ValueError(FLOATING)
    if image.mode.startswith("I"):  # Pillow's own conversion would clip at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels; save it with 8 or 16 bits")
        black_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) != 0
        grey = eight_bits(lambda rows: values[rows], values.shape, bits)
        image = Image.fromarray(grey if black_is_zero else 255 - grey)  # of 8 bits Pillow turns it round
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _over_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    found = Image.new("RGB", image.size)
    for rows in _bands(image.height):
        band = image.crop((0, rows.start, image.width, rows.stop)).convert("RGBA")
        found.paste(Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB"), (0, rows.start))
    return found
