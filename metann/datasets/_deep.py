"""Colours of 16 bits a channel, of which Pillow alone would keep the upper 8: PNG, TIFF and PPM."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from metann.datasets._pixels import eight_bits

_BITS, _PLANES = 258, 284  # tags of TIFF


@dataclass(frozen=True)
class _Layers:
    """How Pillow has to read a file so that no byte is lost.

    Attributes:
        mode: to read it in.
        readings: for the upper bytes and for the lower ones; or one for both, side by side.
        kind: mode of the picture.
    """

    mode: str
    readings: tuple[str, ...]
    kind: str


def deep_colours(image: ImageFile.ImageFile, path: Path, bits: int | None) -> Image.Image | None:
    """A picture of 16 bits in several channels, upright, with the upper 8 of `bits` bits; None for any other.

    Args:
        image: opened from `path`, not loaded.

    Raises:
        Deep: `bits` is None; the answer to a first look.
        ValueError: 16 bits in an order that Pillow mistakes.
    """
    if image.format == "PPM" and image.tile and image.tile[0].args == ("RGB", 65535) and image.tile[0].codec_name == "ppm_plain":
        digits = re.sub(rb"#[^\n]*", b"", path.read_bytes()).split()[4:]
        written = np.array(digits, np.uint16).reshape(image.height, image.width, 3)
        return Image.fromarray(eight_bits(lambda rows: written[rows], written.shape, bits), "RGB")
    found = _png(path) if image.format == "PNG" else layers_of_tiff(image) if image.format == "TIFF" else _ppm(image)
    if found is None:
        return None
    layers, info = [], {}
    for reading in found.readings:
        with Image.open(path, formats=(image.format,)) as again:
            again._mode = found.mode
            again.tile = [_read_as(tile, reading) for tile in again.tile]
            again.load()
            layers.append(np.asarray(again))
            info = {key: value for key, value in again.info.items() if key != "transparency"}
    high, low = layers if len(layers) == 2 else (layers[0][..., ::2], layers[0][..., 1::2])
    values = eight_bits(lambda rows: high[rows].astype(np.uint16) << 8 | low[rows], high.shape, bits)
    picture = Image.fromarray(values, found.kind)
    picture.info = info  # EXIF too
    return ImageOps.exif_transpose(picture)


def _read_as(tile: ImageFile._Tile, reading: str) -> ImageFile._Tile:
    if tile.codec_name == "ppm":
        return tile._replace(codec_name="raw", args=reading)
    return tile._replace(args=(reading, *tile.args[1:]) if isinstance(tile.args, tuple) else reading)


def _png(path: Path) -> _Layers | None:
    """By the colour type. Pillow keeps the upper byte of two ("16B"); read as if the lower stood in front ("16L") it keeps the other."""
    with path.open("rb") as file:
        head = file.read(26)
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 26 or head[24] != 16:
        return None
    return {
        2: _Layers("RGB", ("RGB;16B", "RGB;16L"), "RGB"),
        6: _Layers("RGBA", ("RGBA;16B", "RGBA;16L"), "RGBA"),
        4: _Layers("RGBA", ("RGBA",), "LA"),  # grey with transparency has four bytes a pixel, as RGBA has
    }.get(head[25])


def layers_of_tiff(image: ImageFile.ImageFile) -> _Layers | None:
    """By the tags.

    Raises:
        ValueError: 16 bits in separate planes.
    """
    if image.mode not in ("RGB", "RGBA", "CMYK") or max(image.tag_v2.get(_BITS, (1,))) != 16:
        return None
    if image.tag_v2.get(_PLANES, 1) != 1:  # of which Pillow takes each byte for a pixel
        raise ValueError("16-bit colours in separate planes; save it as PNG of 16 bits")
    channels, order = image.tile[0].args[0].split(";16")
    kind = "RGBa" if channels == "RGBa" else image.mode
    channels = channels.upper() if kind == "RGBa" else channels
    upper = order if order in "LB" else sys.byteorder[0].upper()  # N: the machine's own
    return _Layers(image.mode, (f"{channels};16{upper}", f"{channels};16{'L' if upper == 'B' else 'B'}"), kind)


def _ppm(image: ImageFile.ImageFile) -> _Layers | None:
    if image.format != "PPM" or not image.tile or image.tile[0].args != ("RGB", 65535):
        return None
    return _Layers("RGB", ("RGB;16B", "RGB;16L"), "RGB")
