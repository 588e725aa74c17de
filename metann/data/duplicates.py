"""Equal images across splits and under two classes: counted, and left out where that is asked for. N images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metann.data.classes import refused

_RANK = {"test": 0, "val": 1, "train": 2}  # an image that stands in two splits is left in the first of these


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which images stand somewhere else too.

    Attributes:
        across_N: (N,) bool, images that an equal image of a split further to the front (test, val, train) makes superfluous.
        torn_N: (N,) bool, images of which an equal one is of another class.
        notices: what was found, in sentences with an example each.
    """

    across_N: np.ndarray
    torn_N: np.ndarray
    notices: tuple[str, ...]


def find_duplicates(images_NCHW: np.ndarray, labels_N: np.ndarray, split_N: np.ndarray, files: Sequence[str] = ()) -> Duplicates:
    """Compare all images by their pixels, as networks see them."""
    groups: dict[bytes, list[int]] = {}
    for row, image in enumerate(images_NCHW):
        groups.setdefault(hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest(), []).append(row)
    across_N, torn_N = np.zeros(len(labels_N), bool), np.zeros(len(labels_N), bool)
    pairs: dict[tuple[str, str], list[tuple[int, int]]] = {}
    torn: list[tuple[int, int]] = []
    for rows in groups.values():
        if len(rows) == 1:
            continue
        rows = sorted(rows, key=lambda row: (_RANK[str(split_N[row])], row))
        first = rows[0]
        other_class = next((row for row in rows if labels_N[row] != labels_N[first]), None)
        if other_class is not None:
            torn_N[rows] = True
            torn.append((first, other_class))
        for row in rows:
            if split_N[row] != split_N[first]:
                across_N[row] = True
        splits = sorted({str(split_N[row]) for row in rows}, key=_RANK.__getitem__)
        for front, split in enumerate(splits):
            for behind in splits[front + 1 :]:
                there = next(row for row in rows if split_N[row] == behind)
                pairs.setdefault((split, behind), []).extend((row, there) for row in rows if split_N[row] == split)

    def name(row: int) -> str:
        return files[row] if files else f"image {row}"

    said = [
        f"{len(found)} of {int((split_N == front).sum())} {front} images are equal to {behind} images "
        f"(such as {name(found[0][0])} and {name(found[0][1])}); what is measured on them is remembered, not learnt"
        for (front, behind), found in pairs.items()
    ]
    if torn:
        example = f"{name(torn[0][0])} and {name(torn[0][1])}"
        said.append(f"{int(torn_N.sum())} images stand under two classes or more ({len(torn)} different images, such as {example})")
    return Duplicates(across_N, torn_N, tuple(said))


def settle(duplicates: Duplicates, how: str) -> tuple[np.ndarray, list[str]]:
    """(N,) bool images to keep, and what there is to say.

    Args:
        how: `keep` all; `drop` those of the splits further back, and all that stand under two classes; or `refuse`.

    Raises:
        MetannError: there are some, and they are to be refused.
    """
    everything = np.ones(len(duplicates.across_N), bool)
    if not duplicates.notices:
        return everything, []
    if how == "refuse":
        raise refused(duplicates.notices)
    if how == "keep":
        return everything, [f"{notice}; data.duplicates: drop leaves them out" for notice in duplicates.notices]
    keep_N = ~(duplicates.across_N | duplicates.torn_N)
    return keep_N, [f"{int((~keep_N).sum())} images left out: {'; '.join(duplicates.notices)}"]
