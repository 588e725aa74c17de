"""Labels of a foreign table, from a column or a file; where two say different things, neither is taken. N images, K classes."""

from pathlib import Path

import numpy as np

from metann.errors import MetannError
from metann.tables.foreign_table import ForeignTable, listed
from metann.tables.image_ids import whole


def labels_of(table: ForeignTable, k: int, file: Path | None, values_N: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    """The true class of each row.

    Args:
        table: whose columns may hold them.
        k: number of classes.
        file: that holds them as well, or instead; None without.
        values_N: what it holds.

    Returns:
        (N,) int16, and what was assumed.

    Raises:
        MetannError: none, no class numbers, or two sources that differ.
    """
    path, n = table.path, len(table.p_NK)
    likely = [name for name, values in table.labels.items() if _may_be_classes(values, n, k)]
    if file is not None and values_N is not None:
        name, labels_N = str(file), whole(values_N, n, k, f"{file}: label")
    elif table.labels:
        column = next(iter(likely or table.labels))
        name, labels_N = f"column {column!r}", whole(table.labels[column], n, k, f"{path}: {column}")
    else:
        raise MetannError(f"{path} has no true classes; add a column 'label', or give 'labels': an .npy file with one per row")
    for other in likely:
        if differ := int((table.labels[other].reshape(-1) != labels_N).sum()):
            raise MetannError(
                f"{path}: {name} and column {other!r} differ in {differ} of {n} rows; which holds the true classes? Leave the other out"
            )
    left = {column: "no class numbers" for column in table.labels if column not in likely}
    return labels_N.astype(np.int16), [f"columns not used: {listed(left)}"] if left else []


def _may_be_classes(values: np.ndarray, n: int, k: int) -> bool:
    """Whether a column holds class numbers, from 0 or from 1; a target of a regression or a place in a picture holds none."""
    fits = values.dtype.kind in "iuf" and values.size == n and np.array_equal(values, np.rint(values))
    return bool(fits and values.min() >= 0 and values.max() <= k)
