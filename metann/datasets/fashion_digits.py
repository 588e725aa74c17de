"""Clothes and digits together, 12 classes, 28 x 28 grey: Fashion-MNIST's first six classes and MNIST's digits 4 to 9.

A published test of how experts divide images between them: two kinds that could not be less alike. 10,000 training and 2,000 test images,
half from each set, first come.
"""

from typing import TYPE_CHECKING

import numpy as np

from metann.data.raw import RawDataset
from metann.datasets import fashion_mnist, mnist
from metann.errors import MetannError

if TYPE_CHECKING:
    from metann.config.data import DataSection

CLASSES = 12
EACH = {"train": 5_000, "test": 1_000}
FIRST_DIGIT, SHIFT = 4, 2  # digit d becomes class d + 2


def check(settings: "DataSection") -> None:
    """Refuse missing files before any job starts."""
    fashion_mnist.check(settings)
    mnist.check(settings)


def load(settings: "DataSection") -> RawDataset:
    """Both sets as their own files load them: from `FashionMNIST/raw` and `MNIST/raw` below `data.root`, or Debian's Fashion-MNIST.

    Raises:
        MetannError: files of either are missing and cannot be downloaded, or one folder would be read as both.
    """
    clothes, digits = fashion_mnist.load(settings), mnist.load(settings)
    if np.array_equal(clothes.images_NCHW, digits.images_NCHW):
        raise MetannError("data.root holds the idx files of one set; put each into a folder of its own: FashionMNIST/raw and MNIST/raw")
    parts = []
    for split, many in EACH.items():
        for raw, wanted in ((clothes, clothes.labels_N < SHIFT + FIRST_DIGIT), (digits, digits.labels_N >= FIRST_DIGIT)):
            parts.append((raw, np.flatnonzero(wanted & (raw.official_split == split))[:many]))
    labels = [raw.labels_N[rows] + (SHIFT if raw is digits else 0) for raw, rows in parts]
    return RawDataset(
        np.ascontiguousarray(np.concatenate([raw.images_NCHW[rows] for raw, rows in parts])),
        np.concatenate(labels).astype(np.int16),
        np.concatenate([raw.official_split[rows] for raw, rows in parts]),
        (*clothes.class_names[: SHIFT + FIRST_DIGIT], *digits.class_names[FIRST_DIGIT:]),
    )
