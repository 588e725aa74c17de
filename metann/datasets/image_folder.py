"""Bring your own images: one folder per class, below `data.root` or below its `train`, `val` and `test`.

    root/{class}/*.jpg                          split by us, stratified: `test_fraction`, then `val_fraction` of the rest
    root/{train,val,test}/{class}/*.jpg         split by you; without `val` or `test` a share of `train` takes its place

Classes are the sorted folder names of `train`; folders inside a class folder are searched too. Each image is turned as its
EXIF tag says, laid on white where it is transparent, cut to its central square and resized once to `image_size`. If every
pixel of every image is grey, the dataset has one channel, otherwise three.
"""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metann.data.raw import RawDataset, folder_of
from metann.datasets._pictures import read_pictures
from metann.errors import MetannError, one_of
from metann.tables.samples import SPLITS

if TYPE_CHECKING:
    from metann.config.data import DataSection

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})


def _folders(parent: Path) -> dict[str, Path]:
    """Folders in a folder by name, sorted; what file managers and archivers leave behind is passed over."""
    found = sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    return {path.name: path for path in found}


def _images(folder: Path) -> list[Path]:
    """Files below a folder that are named like images, sorted by their path."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def _class_folders(settings: "DataSection") -> dict[str, dict[str, Path]]:
    """Split -> class name -> folder; only `train` where the user made no split.

    Raises:
        MetannError: no folder, no class folders, or folders that would be left out unnoticed.
    """
    root = folder_of(settings)
    try:
        top = _folders(root)
    except OSError as error:
        raise MetannError(f"cannot read image folder {root}: {error.strerror}; set data.root to a folder of class folders") from None
    if not set(top) & set(SPLITS):
        splits = {"train": top}
    else:
        strange = [name for name in top if name not in SPLITS]
        if strange or "train" not in top:
            what = f"{strange[0]!r} stands beside" if strange else "'train' is missing beside"
            raise MetannError(f"{root}: {what} {one_of(set(top) & set(SPLITS))}; split folders are train, val and test")
        splits = {name: _folders(path) for name, path in top.items()}
    known = splits["train"]
    if len(known) < 2:
        raise MetannError(f"{root} holds {len(known)} class folders ({one_of(known) or 'none'}) to train on; two or more are needed")
    for split, classes in splits.items():
        strange = [name for name in classes if name not in known]
        if strange:
            raise MetannError(f"{root / split}: class {strange[0]!r} is not in train; known: {one_of(known)}")
    return splits


def class_names(settings: "DataSection") -> tuple[str, ...]:
    """Sorted names of the class folders; opens no image.

    Raises:
        MetannError: the folders are missing or not of the layout above.
    """
    return tuple(_class_folders(settings)["train"])


def check(settings: "DataSection") -> None:
    """Refuse folders of another layout before any job starts; opens no image."""
    _class_folders(settings)


def load(settings: "DataSection") -> RawDataset:
    """Read, turn, cut and resize all images.

    Raises:
        MetannError: the folders are not of the layout above, a class has no training images, or images cannot be read
            (the first of them by name).
    """
    splits = _class_folders(settings)
    names = tuple(splits["train"])
    files = {(split, name): _images(folder) for split, classes in splits.items() for name, folder in classes.items()}
    empty = next((name for name in names if not files["train", name]), None)
    if empty is not None:
        raise MetannError(f"{splits['train'][empty]} holds no images; put some there or remove it (known: {one_of(SUFFIXES)})")
    counts = [len(paths) for paths in files.values()]
    images_NCHW = read_pictures(list(chain.from_iterable(files.values())), settings.image_size)
    labels_N = np.repeat(np.array([names.index(name) for _, name in files], np.int16), counts)
    return RawDataset(images_NCHW, labels_N, np.repeat([split for split, _ in files], counts), names)
