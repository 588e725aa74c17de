"""Picture files of any size and mode -> one array of equal squares. N images, S pixels a side."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from metann.errors import MetannError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow knows formats that run other programs


def _to_rgb(image: Image.Image) -> Image.Image:
    """Three 8-bit channels from any mode; 16-bit grey keeps its upper 8 bits, transparency shows white."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known white; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow's own conversion would clip at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels; save it with 8 or 16 bits")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def read_picture(path: Path, size: int) -> np.ndarray:
    """One picture (its first frame) as (3, S, S) uint8: turned upright, its central square resized with antialiasing.

    The same as resizing the shorter side to S and cutting the centre, with one interpolation.

    Raises:
        Exception: of many kinds; the file is no picture, is cut off, too large, or of an unknown kind.
    """
    with Image.open(path, formats=FORMATS) as image:
        image.draft(None, (2 * size, 2 * size))  # JPEG: decode at 1/2, 1/4 or 1/8 where that is still large enough
        image.load()
        upright = _to_rgb(ImageOps.exif_transpose(image))
    width, height = upright.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    square = upright.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.asarray(square).transpose(2, 0, 1)


def _problem(error: Exception, path: Path) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "empty file" if path.stat().st_size == 0 else "not a picture"
    return " ".join(str(error).split())[:100] or type(error).__name__


def read_pictures(paths: Sequence[Path], size: int) -> np.ndarray:
    """All pictures, in order; on as many threads as the machine has, since Pillow decodes outside Python's lock.

    Returns:
        (N, C, S, S) uint8; C is 1 if every pixel of every picture is grey, else 3.

    Raises:
        MetannError: some cannot be read; names the first three.
    """
    images_NCHW = np.empty((len(paths), 3, size, size), np.uint8)

    def read(row: int) -> str | None:
        try:
            images_NCHW[row] = read_picture(paths[row], size)
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder raises on foreign bytes, the file is at fault
            return f"{paths[row]} ({_problem(error, paths[row])})"
        return None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF and the like; set before the threads start, as filters are global
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with ThreadPoolExecutor() as pool:
            broken = [problem for problem in pool.map(read, range(len(paths))) if problem]
    if broken:
        shown = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
        raise MetannError(f"{len(broken)} of {len(paths)} images cannot be read: {shown}; repair or remove them")
    grey = all(_equal_channels(images_NCHW[start : start + 4096]) for start in range(0, len(paths), 4096))
    return images_NCHW[:, :1] if grey else images_NCHW


def _equal_channels(images_NCHW: np.ndarray) -> bool:
    first_N1HW = images_NCHW[:, :1]
    return bool((images_NCHW[:, 1:] == first_N1HW).all())
