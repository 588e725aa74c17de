"""Words for splits as people write them. N images."""

import numpy as np

from metann.tables.samples import SPLITS

_SPLITS_AS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}


def as_splits(values_N: np.ndarray) -> np.ndarray:
    """(N,) text: a split where a word means one, else the word in lower case."""
    words = [word.strip().lower() for word in values_N.astype(str).tolist()]
    return np.array([_SPLITS_AS.get(word, word) for word in words])


def are_splits(values_N: np.ndarray) -> bool:
    """Whether all of a column's texts are words for splits."""
    return values_N.dtype.kind in "OU" and set(as_splits(values_N).tolist()) <= set(SPLITS)


def names_splits(values_N: np.ndarray) -> bool:
    """Whether a column's texts name splits and are not only marks of validation rows."""
    return values_N.dtype.kind in "OU" and bool(set(as_splits(values_N).tolist()) & {"train", "test"})
