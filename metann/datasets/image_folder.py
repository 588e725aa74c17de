"""Bring your own images: one folder per class, below `data.root` or below its `train`, `val` and `test`.

    root/{class}/*.jpg                          split by us, stratified: `test_fraction`, then `val_fraction` of the rest
    root/{train,val,test}/{class}/*.jpg         split by you; without `val` or `test` a share of `train` takes its place

`Training`, `VALID`, `test_set`, or `cars_test` beside `cars_train` are splits too; splits below the classes are refused. Classes are
the sorted folder names of `train`, or `data.classes`; folders inside a class folder are searched too. Each image is turned as its EXIF
tag says, laid on white where it is transparent, cut to its central square and resized once to `image_size`. If every pixel of every
image is grey, the dataset has one channel, otherwise three. What is left out is counted, with the reason.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metann.data.raw import RawDataset, folder_of
from metann.datasets._pictures import read_pictures
from metann.datasets._search import normal, printable
from metann.datasets._splits import Layout, pictures_of, read_layout, told
from metann.files.digests import FileDigests, combined

if TYPE_CHECKING:
    from metann.config.data import DataSection


def class_names(settings: "DataSection") -> tuple[str, ...]:
    """Names of the class folders, in label order; opens no image.

    Raises:
        MetannError: the folders are missing or not of the layout above.
    """
    return read_layout(settings).names


def check(settings: "DataSection") -> None:
    """Refuse folders of another layout before any job starts; opens no image."""
    read_layout(settings)


def load(settings: "DataSection") -> RawDataset:
    """Read, turn, cut and resize all images.

    Raises:
        MetannError: the folders are not of the layout above, a class has no training images, or images cannot be read
            (the first of them by name).
    """
    layout = read_layout(settings)
    files, found = pictures_of(layout)
    labels_N, split_N = _labels(files, layout)
    paths = list(chain.from_iterable(files.values()))
    pictures = read_pictures(paths, settings.image_size)
    assumed = told(layout, files)
    if pictures.bits is not None:
        assumed += (f"files of 16 bits use {pictures.bits}: white is {2**pictures.bits - 1}",)
    root = folder_of(settings)
    return RawDataset(
        pictures.images_NCHW,
        labels_N,
        split_N,
        layout.names,
        skipped=dict(found.skipped) | ({"frames or pages behind the first of a file": pictures.further} if pictures.further else {}),
        assumed=assumed,
        files=tuple(printable(path.relative_to(root)) for path in paths),
        bits=pictures.bits,
    )


def outline(settings: "DataSection") -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Labels, splits and names of the classes as `load` gives them; opens no image."""
    layout = read_layout(settings)
    return *_labels(pictures_of(layout)[0], layout), layout.names


def _labels(files: Mapping[tuple[str, str], Sequence[Path]], layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int16 and (N,) text."""
    counts = [len(paths) for paths in files.values()]
    labels_K = np.array([layout.names.index(name) for _, name in files], np.int16)
    return np.repeat(labels_K, counts), np.repeat([split for split, _ in files], counts)


def fingerprint(settings: "DataSection", digests: FileDigests) -> str:
    """16 hex digits over the names, splits, classes and contents of all pictures; none is decoded. '' where the folder is archived.

    Raises:
        MetannError: as `load`, for folders and files that cannot be read.
    """
    if not folder_of(settings).exists():
        return ""
    layout = read_layout(settings)
    files, _ = pictures_of(layout)
    return combined(
        part
        for (split, name), paths in files.items()
        for path in paths
        for part in (split, name, normal(str(path.relative_to(layout.classes[split][name]))), digests.of(path))
    )


def verify(settings: "DataSection", digests: FileDigests) -> None:
    """Refuse changed pictures that cannot be read, before anything of an older preparation is removed.

    Args:
        digests: that were just asked for all pictures; those that had to be read are looked at.

    Raises:
        MetannError: as `load`.
    """
    files, _ = pictures_of(read_layout(settings))
    new = set(digests.anew)
    read_pictures([path for path in chain.from_iterable(files.values()) if path in new], 8)
