"""What a dataset file gives: images as they come, before any split of ours.

Shapes: N images, C channels, H = W pixels. A dataset is one file of this folder with `load(settings) -> RawDataset`;
its name is the file's name.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metann.errors import MetannError, one_of, unknown
from metann.registry import datasets
from metann.tables.samples import SPLITS

if TYPE_CHECKING:
    from metann.config.data import DataSection


@dataclass(frozen=True, eq=False)
class RawDataset:
    """Images, labels and the split that their publishers made.

    Attributes:
        images_NCHW: (N, C, H, H) uint8, 0..255.
        labels_N: (N,) int16 in 0..K-1.
        official_split: (N,) text, `train`, `val` or `test`. Without `test` (or `val`) rows a stratified share is taken
            from `train` when the dataset is prepared.
        class_names: K distinct names, in label order.
        skipped: reason -> how many files were left out for it.
        assumed: what was taken for granted of the files, in sentences.
        files: N names for messages; () where images have none.
        bits: how many bits the files of 16 use; None without such files.
    """

    images_NCHW: np.ndarray
    labels_N: np.ndarray
    official_split: np.ndarray
    class_names: tuple[str, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    bits: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no later stage could use.

        Raises:
            MetannError: not uint8 NCHW, not square, lengths that differ, labels out of range, unknown splits,
                fewer than two or repeated class names.
        """
        shape, n, k = self.images_NCHW.shape, len(self.labels_N), len(self.class_names)
        if self.images_NCHW.dtype != np.uint8 or len(shape) != 4 or shape[2] != shape[3] or 0 in shape[1:]:
            raise MetannError(f"images are {self.images_NCHW.dtype} {shape}; a dataset gives uint8 (images, channels, size, size)")
        if shape[0] != n or len(self.official_split) != n:
            raise MetannError(f"{shape[0]} images, {n} labels, {len(self.official_split)} splits; a dataset gives one of each per image")
        if k < 2 or len(set(self.class_names)) != k:
            raise MetannError(f"class names {list(self.class_names)} are not two or more distinct names")
        if n and (self.labels_N.min() < 0 or self.labels_N.max() >= k):
            raise MetannError(f"labels run from {self.labels_N.min()} to {self.labels_N.max()}, classes from 0 to {k - 1}")
        strange = set(np.unique(self.official_split).tolist()) - set(SPLITS)
        if strange:
            raise unknown("split", sorted(strange)[0], SPLITS)


def load_dataset(settings: "DataSection") -> RawDataset:
    """The dataset named in the configuration.

    Raises:
        MetannError: unknown name, or its files are missing or broken.
    """
    if settings.name not in datasets():
        raise unknown("dataset", settings.name, datasets(), "metann/datasets/")
    return ordered(importlib.import_module(f"metann.datasets.{settings.name}").load(settings), settings.classes)


def ordered(raw: RawDataset, names: tuple[str, ...]) -> RawDataset:
    """The same images with classes in the order of `names`; () changes nothing.

    Raises:
        MetannError: other names than the dataset's.
    """
    if not names or names == raw.class_names:
        return raw
    if sorted(names) != sorted(raw.class_names):
        strange = next((name for name in names if name not in raw.class_names), None)
        what = f"unknown class {strange!r}" if strange is not None else f"{len(names)} names for {len(raw.class_names)} classes"
        raise MetannError(f"data.classes: {what}; give each once, in any order: {one_of(raw.class_names)}")
    place_K = np.array([names.index(name) for name in raw.class_names], np.int16)
    return replace(raw, labels_N=place_K[raw.labels_N], class_names=names)


def folder_of(settings: "DataSection") -> Path:
    """Folder of the raw files: `data.root`, or `data` in the working directory."""
    return (settings.root if settings.root is not None else Path("data")).expanduser()
