"""Train, validation and test: the publishers' split where there is one, a stratified share where there is none.

Depends on the labels and `data.split_seed` alone, never on a training seed. The random keys come straight from the PCG64
bit generator, whose stream numpy guarantees; `Generator.permutation` carries no such promise.
"""

from typing import TYPE_CHECKING

import numpy as np

from metann.errors import MetannError

if TYPE_CHECKING:
    from metann.config.data import DataSection


def stratified_mask(labels_N: np.ndarray, total: int, seed: int, purpose: str = "") -> np.ndarray:
    """Choose `total` images at random such that every class gives its share, rounded by largest remainder.

    Each class gives floor or ceil of (its count x total / N); no class gives away its last image, and where that cap
    binds the others give more.

    Args:
        labels_N: (N,) whole numbers >= 0.
        total: how many to choose, 0..N.
        seed: names the choice together with `purpose`, so that two splits with one seed are independent.
        purpose: such as `val`.

    Returns:
        (N,) bool; `total` are true, or fewer if the classes have no more to give.
    """
    n = len(labels_N)
    counts_K = np.bincount(labels_N) if n else np.zeros(0, np.int64)
    spare_K = np.maximum(counts_K - 1, 0)
    total = min(total, int(spare_K.sum()))
    quota_K = np.minimum(counts_K * total // max(n, 1), spare_K)
    by_remainder = np.argsort(-(counts_K * total % max(n, 1)), kind="stable")
    while (missing := total - int(quota_K.sum())) > 0:
        able = by_remainder[quota_K[by_remainder] < spare_K[by_remainder]]
        quota_K[able[:missing]] += 1
    keys_N = np.random.PCG64(np.random.SeedSequence([seed, *purpose.encode()])).random_raw(n)
    order_N = np.lexsort((keys_N, labels_N))
    first_of_class_K = np.cumsum(counts_K) - counts_K
    rank_N = np.arange(n) - first_of_class_K[labels_N[order_N]]
    mask_N = np.zeros(n, bool)
    mask_N[order_N] = rank_N < quota_K[labels_N[order_N]]
    return mask_N


def too_few(images: int, split: str) -> MetannError:
    """The error of training images of which no class can give one away."""
    return MetannError(f"{images} training images, at most one per class, leave none for {split}; give more images or a {split} folder")


def assign_splits(official_split: np.ndarray, labels_N: np.ndarray, settings: "DataSection") -> np.ndarray:
    """Fill in the splits that a dataset does not bring.

    Args:
        official_split: (N,) text; `train` rows are there to be shared out.
        labels_N: (N,) whole numbers >= 0.
        settings: `test_fraction` (used only without official test images), `val_fraction` (only without official
            validation images; a share of the training images that are left) and `split_seed`.

    Returns:
        (N,) '<U5' text, `train`, `val` or `test`, none of them empty.

    Raises:
        MetannError: too few training images to share out.
    """
    split = np.array(official_split, dtype="<U5")
    for name, fraction in [("test", settings.test_fraction), ("val", settings.val_fraction)]:
        if (split == name).any():
            continue
        train_rows = np.flatnonzero(split == "train")
        total = max(round(len(train_rows) * fraction), 1)
        chosen = stratified_mask(labels_N[train_rows], total, settings.split_seed, name)
        if not chosen.any():
            raise too_few(len(train_rows), name)
        split[train_rows[chosen]] = name
    if not (split == "train").any():
        raise MetannError(f"no training images among {len(split)}; a dataset needs images whose split is 'train'")
    return split
