"""The idx format of MNIST and its relatives: big-endian header, then the values."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from metann.errors import MetannError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
FASHION_MNIST_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_PARTS = {"train": "train", "test": "t10k"}
_CONTENTS = ("images-idx3", "labels-idx1")


def read_idx(path: Path) -> np.ndarray:
    """An array of unsigned bytes from an idx file, gzipped where the name ends in `.gz`.

    Raises:
        MetannError: missing, truncated, or another type than unsigned bytes.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MetannError(f"cannot read {path}: {reason}; fetch the file again") from None
    dimensions = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    shape = tuple(np.frombuffer(content[4 : 4 + 4 * dimensions], ">u4").tolist()) if len(content) >= 4 + 4 * dimensions else ()
    if not dimensions or len(content) != 4 + 4 * dimensions + math.prod(shape):
        raise MetannError(f"{path} is not a whole idx file of unsigned bytes; fetch the file again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _path(folder: Path, split: str, what: str) -> Path:
    plain = folder / f"{_PARTS[split]}-{what}-ubyte"
    return plain if plain.exists() else plain.with_name(plain.name + ".gz")


def idx_files(folder: Path) -> list[Path]:
    """The four files under their usual names, there or not."""
    return [_path(folder, split, what) for split in _PARTS for what in _CONTENTS]


def has_idx(folder: Path) -> bool:
    """Whether a folder holds all four files under their usual names."""
    return all(path.is_file() for path in idx_files(folder))


def read_idx_pair(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W) and labels (N,) of `train` or `test` from the four files' usual names, gzipped or not."""
    images_NHW, labels_N = (read_idx(_path(folder, split, what)) for what in _CONTENTS)
    if images_NHW.ndim != 3 or labels_N.shape != images_NHW.shape[:1]:
        raise MetannError(f"{folder}: {split} images are {images_NHW.shape}, labels {labels_N.shape}; fetch the files again")
    return images_NHW, labels_N
