"""Picture files of any size and mode -> one array of equal squares. N images, S pixels a side.

Detectors of 10, 12 or 14 bits are stored in files of 16. Such pictures are scaled by the bits that the largest value of the whole set
needs; by the file's 16 their 4,096 grey levels would become 16.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from metann.datasets._deep import deep_colours
from metann.datasets._pixels import Deep, to_rgb
from metann.datasets._search import printable
from metann.errors import MetannError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow knows formats that run other programs
DEPTHS = (8, 10, 12, 14, 16)  # of detectors
_LARGE = 16_000_000  # pixels; of such pictures two are decoded at a time, or every thread would hold most of a gigabyte
_HUGE = 48_000_000  # pixels; one such PNG of 16-bit colours takes 2.3 GB, of 8 bits 0.8
_PLACES, _IN_TURN = threading.BoundedSemaphore(2), threading.Lock()


@contextlib.contextmanager
def _room(pixels: int) -> Iterator[None]:
    """Wait until there is memory for a picture: a large one takes one of two places, a huge one both."""
    places = (pixels > _LARGE) + (pixels > _HUGE)
    with _IN_TURN:  # two that each hold one place and wait for the other would wait for ever
        for _ in range(places):
            _PLACES.acquire()
    try:
        yield
    finally:
        for _ in range(places):
            _PLACES.release()


def read_picture(path: Path, size: int, bits: int | None = 16) -> np.ndarray:
    """One picture (its first frame) as (3, S, S) uint8: turned upright, its central square resized with antialiasing.

    The same as resizing the shorter side to S and cutting the centre, with one interpolation.

    Args:
        bits: how many of a 16-bit file's bits count.

    Raises:
        Exception: of many kinds; the file is no picture, is cut off, too large, or of an unknown kind.
    """
    return _first_frame(path, size, bits)[0]


def _first_frame(path: Path, size: int, bits: int | None) -> tuple[np.ndarray, int]:
    """The picture, and how many frames or pages follow."""
    with Image.open(path, formats=FORMATS) as image:
        image.draft(None, (2 * size, 2 * size))  # JPEG: decode at 1/2, 1/4 or 1/8 where that is still large enough
        with _room(image.width * image.height):
            return _square(image, path, size, bits), _further(image, path)


def _further(image: Image.Image, path: Path) -> int:
    """Frames or pages behind the first; what lies behind the photo in a JPEG of a phone is a part of it."""
    if image.format in ("AVIF", "PNG", "WEBP"):
        return getattr(image, "n_frames", 1) - 1
    if image.format in ("GIF", "TIFF"):  # they have to be sought, and those behind a whole first one may be broken
        with contextlib.suppress(Exception), Image.open(path, formats=(image.format,)) as again:
            return again.n_frames - 1
    return 0


def _square(image: Image.Image, path: Path, size: int, bits: int | None) -> np.ndarray:
    deep = deep_colours(image, path, bits)
    if deep is None:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    upright = to_rgb(image if deep is None else deep, bits)
    width, height = upright.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    square = upright.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.asarray(square).transpose(2, 0, 1)


def problem_of(error: Exception, path: Path) -> str:
    """What is wrong with a picture that cannot be read, in words."""
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
        bits: how many bits the 16-bit files use, the deepest of them where each counts for itself; None without such files.
        further: how many frames or pages stand behind the first ones, which alone are read.
    """

    images_NCHW: np.ndarray
    problems: dict[int, str]
    bits: int | None
    further: int = 0


def read_each(paths: Sequence[Path], size: int, bits: int | None = None, *, each: bool = False) -> Pictures:
    """All pictures that can be read, in order; on as many threads as there are, since Pillow decodes outside Python's lock.

    Args:
        bits: of 16-bit files; None: as many as the largest value of all of them needs.
        each: the largest value of each file instead.

    Raises:
        MemoryError: there is not enough of it.
    """
    images_NCHW = np.zeros((len(paths), 3, size, size), np.uint8)
    problems: dict[int, str] = {}
    needed: dict[int, int] = {}
    further: dict[int, int] = {}

    def read(row: int, bits: int | None) -> None:
        try:
            images_NCHW[row], further[row] = _first_frame(paths[row], size, bits)
        except Deep as deep:
            needed[row] = deep.bits
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder raises on foreign bytes, the file is at fault
            problems[row] = f"{printable(paths[row])} ({problem_of(error, paths[row])})"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF and the like; set before the threads start, as filters are global
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        _on_threads(lambda row: read(row, bits), range(len(paths)))
        if needed:
            depths = {row: next(depth for depth in DEPTHS if depth >= least) for row, least in needed.items()}
            bits = max(depths.values())
            _on_threads(lambda row: read(row, depths[row] if each else bits), sorted(needed))
    grey = all(_equal_channels(images_NCHW[start : start + 4096]) for start in range(0, len(paths), 4096))
    return Pictures(
        images_NCHW[:, :1] if grey else images_NCHW, dict(sorted(problems.items())), bits if needed else None, sum(further.values())
    )


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
