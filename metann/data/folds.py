"""Stratified folds for out-of-fold probabilities. N images."""

import numpy as np


def fold_of(labels_N: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) int64 fold of each image in 0 .. folds-1; each class is spread evenly, at random by `seed`.

    The random keys come straight from the bit generator, whose stream numpy guarantees (as in metann.data.split).
    """
    keys_N = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(labels_N))
    order_N = np.lexsort((keys_N, labels_N))
    fold_N = np.empty(len(labels_N), np.int64)
    fold_N[order_N] = np.arange(len(labels_N)) % folds  # in class order, so each class's images go round the folds
    return fold_N
