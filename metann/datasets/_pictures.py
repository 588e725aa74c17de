"""Picture files of any size and mode -> one array of equal squares. N images, S pixels a side.

Detectors of 10, 12 or 14 bits are stored in files of 16. Such pictures are scaled by the bits that the largest value of the whole set
needs; by the file's 16 their 4,096 grey levels would become 16.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from metann.datasets._search import printable
from metann.errors import MetannError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow knows formats that run other programs
DEPTHS = (8, 10, 12, 14, 16)  # of detectors
_LARGE = 16_000_000  # pixels; of such pictures two are decoded at a time, or every thread would hold half a gigabyte
_TWO = threading.BoundedSemaphore(2)


class _Deep(Exception):  # noqa: N818 - not an error: what a first look at a 16-bit picture comes to
    """The bits that a picture's largest value needs."""

    def __init__(self, values: np.ndarray) -> None:
        self.bits = int(values.max()).bit_length()


def _eight_bits(values: np.ndarray, bits: int | None) -> np.ndarray:
    """The upper 8 of `bits` bits; what is brighter than they can say is white."""
    if bits is None:
        raise _Deep(values)
    return np.minimum(values.astype(np.uint32) >> (bits - 8), 255).astype(np.uint8)


# Channels by colour type of a PNG -> mode and ways to read the file's bytes. Pillow keeps the upper byte of two ("16B"); read as if the
# lower stood in front ("16L") it keeps the other. Grey with transparency has four bytes a pixel, as RGBA has.
_PNG_LAYERS = {2: ("RGB", ("RGB;16B", "RGB;16L")), 6: ("RGBA", ("RGBA;16B", "RGBA;16L")), 4: ("RGBA", ("RGBA",))}


def _deep_colours(path: Path, bits: int | None) -> Image.Image | None:
    """A PNG of 16 bits in several channels, of which Pillow would keep the upper 8; None for any other file."""
    with path.open("rb") as file:
        head = file.read(26)
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 26 or head[24] != 16 or head[25] not in _PNG_LAYERS:
        return None
    mode, readings = _PNG_LAYERS[head[25]]
    layers, info = [], {}
    for reading in readings:
        with Image.open(path, formats=("PNG",)) as image:
            image._mode = mode
            image.tile = [tile._replace(args=reading) for tile in image.tile]
            image.load()
            layers.append(np.asarray(image).astype(np.uint16))
            info = {key: value for key, value in image.info.items() if key != "transparency"}
    if len(layers) == 2:
        values_HWC = layers[0] << 8 | layers[1]
    else:
        mode, values_HWC = "LA", layers[0][..., ::2] << 8 | layers[0][..., 1::2]
    picture = Image.fromarray(np.ascontiguousarray(_eight_bits(values_HWC, bits)), mode)
    picture.info = info  # EXIF too
    return ImageOps.exif_transpose(picture)


def _to_rgb(image: Image.Image, bits: int | None) -> Image.Image:
    """Three 8-bit channels from any mode; deep grey keeps the upper 8 of `bits` bits, transparency shows white."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known white; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow's own conversion would clip at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels; save it with 8 or 16 bits")
        image = Image.fromarray(_eight_bits(values, bits))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def read_picture(path: Path, size: int, bits: int | None = 16) -> np.ndarray:
    """One picture (its first frame) as (3, S, S) uint8: turned upright, its central square resized with antialiasing.

    The same as resizing the shorter side to S and cutting the centre, with one interpolation.

    Args:
        bits: how many of a 16-bit file's bits count.

    Raises:
        Exception: of many kinds; the file is no picture, is cut off, too large, or of an unknown kind.
    """
    with Image.open(path, formats=FORMATS) as image:
        image.draft(None, (2 * size, 2 * size))  # JPEG: decode at 1/2, 1/4 or 1/8 where that is still large enough
        with _TWO if image.width * image.height > _LARGE else contextlib.nullcontext():
            return _square(image, path, size, bits)


def _square(image: Image.Image, path: Path, size: int, bits: int | None) -> np.ndarray:
    deep = _deep_colours(path, bits) if image.format == "PNG" else None
    if deep is None:
        image.load()
        deep = ImageOps.exif_transpose(image)
    upright = _to_rgb(deep, bits)
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


@dataclass(frozen=True, eq=False)
class Pictures:
    """What was read.

    Attributes:
        images_NCHW: (N, C, S, S) uint8; C is 1 if every pixel of every picture is grey, else 3. Black where a file could not be read.
        problems: row -> file and reason, of each that could not.
        bits: how many bits the 16-bit files use; None without such files.
    """

    images_NCHW: np.ndarray
    problems: dict[int, str]
    bits: int | None


def read_each(paths: Sequence[Path], size: int, bits: int | None = None) -> Pictures:
    """All pictures that can be read, in order; on as many threads as there are, since Pillow decodes outside Python's lock.

    Args:
        bits: of 16-bit files; None: as many as the largest value of all of them needs.

    Raises:
        MemoryError: there is not enough of it.
    """
    images_NCHW = np.zeros((len(paths), 3, size, size), np.uint8)
    problems: dict[int, str] = {}
    needed: dict[int, int] = {}

    def read(row: int, bits: int | None) -> None:
        try:
            images_NCHW[row] = read_picture(paths[row], size, bits)
        except _Deep as deep:
            needed[row] = deep.bits
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder raises on foreign bytes, the file is at fault
            problems[row] = f"{printable(paths[row])} ({_problem(error, paths[row])})"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF and the like; set before the threads start, as filters are global
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        _on_threads(lambda row: read(row, bits), range(len(paths)))
        if needed:
            bits = next(depth for depth in DEPTHS if depth >= max(needed.values()))
            _on_threads(lambda row: read(row, bits), sorted(needed))
    grey = all(_equal_channels(images_NCHW[start : start + 4096]) for start in range(0, len(paths), 4096))
    return Pictures(images_NCHW[:, :1] if grey else images_NCHW, dict(sorted(problems.items())), bits if needed else None)


def _on_threads(work: Callable[[int], None], rows: Sequence[int]) -> None:
    """Do `work` for every row; one by one where the system gives no thread."""
    done = iter(())
    try:
        with ThreadPoolExecutor() as pool:
            done = pool.map(work, rows)
    except RuntimeError as error:
        if "thread" not in str(error):
            raise
        for row in rows:
            work(row)
    for _ in done:  # raises what a worker raised
        pass


def read_pictures(paths: Sequence[Path], size: int, bits: int | None = None) -> Pictures:
    """All pictures; as `read_each`, but none may be broken.

    Raises:
        MetannError: some cannot be read; names the first three.
    """
    pictures = read_each(paths, size, bits)
    if broken := list(pictures.problems.values()):
        shown = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
        raise MetannError(f"{len(broken)} of {len(paths)} images cannot be read: {shown}; repair or remove them")
    return pictures


def _equal_channels(images_NCHW: np.ndarray) -> bool:
    first_N1HW = images_NCHW[:, :1]
    return bool((images_NCHW[:, 1:] == first_N1HW).all())
