"""A raw dataset as it will be written: split, and rid of equal images where that is asked.

Shapes: N images, C channels, H = W pixels, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metann.data.duplicates import find_duplicates, settle
from metann.data.raw import RawDataset
from metann.data.split import assign_splits
from metann.errors import MetannError
from metann.tables.notices import class_notices
from metann.tables.samples import SPLITS

if TYPE_CHECKING:
    from metann.config.data import DataSection


@dataclass(frozen=True, eq=False)
class Arranged:
    """A dataset as it will be written.

    Attributes:
        images_NCHW, labels_N, split_N: of the images that are kept.
        equal_images: what was found of them, in sentences.
        notices: what a reader of the results has to know, in sentences.
    """

    images_NCHW: np.ndarray
    labels_N: np.ndarray
    split_N: np.ndarray
    equal_images: tuple[str, ...]
    notices: tuple[str, ...]


def arranged(raw: RawDataset, settings: "DataSection") -> Arranged:
    """Split a dataset, and treat equal images as `data.duplicates` says.

    Raises:
        MetannError: too few images for a split, a class without training images, or equal images that are refused.
    """
    split = assign_splits(raw.official_split, raw.labels_N, settings)
    labels_N, images_NCHW = np.asarray(raw.labels_N, np.int16), raw.images_NCHW
    check_classes(split, labels_N, raw.class_names, settings)
    duplicates = find_duplicates(images_NCHW, labels_N, split, raw.files)
    keep_N, notices = settle(duplicates, settings.duplicates)
    if not keep_N.all():
        labels_N, split, images_NCHW = labels_N[keep_N], split[keep_N], images_NCHW[keep_N]
        emptied = [name for name in SPLITS if not (split == name).any()]
        if emptied:
            raise MetannError(f"data.duplicates: drop leaves no image for {emptied[0]}: {notices[0]}")
        if lost := _absent(split, labels_N, raw.class_names):
            raise MetannError(f"data.duplicates: drop leaves no training image of class {lost}: {notices[0]}; keep them, or give others")
    notices += class_notices(split, labels_N, raw.class_names)
    return Arranged(images_NCHW, labels_N, split, duplicates.notices, tuple(notices))


def check_classes(split_N: np.ndarray, labels_N: np.ndarray, names: Sequence[str], settings: "DataSection") -> None:
    """Refuse a class without training images."""
    if absent := _absent(split_N, labels_N, names):
        raise MetannError(f"{settings.name} has no training images of class {absent}; every class needs at least one")


def _absent(split_N: np.ndarray, labels_N: np.ndarray, names: Sequence[str]) -> str:
    """Classes without training images; '' where there are none."""
    absent = np.flatnonzero(np.bincount(labels_N[split_N == "train"], minlength=len(names)) == 0)
    return ", ".join(names[k] for k in absent[:6]) + (", ..." if len(absent) > 6 else "")
