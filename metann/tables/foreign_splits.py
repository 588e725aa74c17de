"""Which split each row of a foreign table belongs to. N images, K classes."""

from typing import TYPE_CHECKING

import numpy as np

from metann.errors import MetannError, unknown
from metann.tables.foreign_table import ForeignTable
from metann.tables.image_ids import ImageIds, of_length
from metann.tables.samples import SPLITS
from metann.tables.split_words import as_splits, names_splits
from metann.tables.validation_rows import first_or_fair, named_rows

if TYPE_CHECKING:
    from metann.config.network import NetworkSection


def splits_of(
    table: ForeignTable, ids: ImageIds, labels_N: np.ndarray, network: "NetworkSection"
) -> tuple[np.ndarray, str | None, list[str], list[str]]:
    """The splits of a table's rows.

    Returns:
        (N,) text; the column that gave it; what was assumed; and what has to be looked at.

    Raises:
        MetannError: unknown words, rows that are not there, a side without rows, or what contradicts itself.
    """
    path, wanted, n = table.path, network.val_rows, len(table.p_NK)
    own = table.column("split")
    if isinstance(wanted, str) and (wanted == own or (wanted in table.columns and names_splits(table.columns[wanted]))):
        return _both_sides(_of_column(table, wanted), network), wanted, [], []
    if own is not None and wanted == "split":
        return _both_sides(_of_column(table, own), network), own, [], []
    if own is not None:
        if wanted:
            raise MetannError(f"{path} has its own column {own!r}; leave val_rows out")
        said = [f"split = {network.split} is not used: column {own!r} gives the splits"] if network.split != "test" else []
        return _of_column(table, own), own, said, []
    if not wanted:
        return np.full(n, network.split), None, [], []
    if network.split == "val":
        raise MetannError(f"split = val and val_rows = {wanted} make every row of {path} a validation row; leave one of them out")
    if isinstance(wanted, int):
        if wanted >= n:
            raise MetannError(f"val_rows = {wanted}, but {path} has {n} rows; leave some for {network.split}")
        val_N, notices = first_or_fair(ids.ids_N, labels_N, wanted)
        return np.where(val_N, "val", network.split), None, [], notices
    table.refuse_dropped([wanted])
    if wanted in table.columns:
        of_length(table.columns[wanted], n, f"{path}: {wanted}")
    val_N = named_rows(wanted, {**table.columns, **table.labels}, ids.ids_N, ids.names_N, path)
    return _both_sides(np.where(val_N, "val", network.split), network), wanted if wanted in table.columns else None, [], []


def _of_column(table: ForeignTable, column: str) -> np.ndarray:
    split_N = as_splits(of_length(table.columns[column], len(table.p_NK), f"{table.path}: {column}"))
    if strange := sorted(set(split_N.tolist()) - set(SPLITS)):
        raise unknown("split", strange[0], SPLITS, f"or mend column {column!r} of {table.path}")
    return split_N


def _both_sides(split_N: np.ndarray, network: "NetworkSection") -> np.ndarray:
    """The same, where some rows are for validation and some are not."""
    val_N = split_N == "val"
    if val_N.all() or not val_N.any():
        raise MetannError(
            f"val_rows = {network.val_rows} takes {int(val_N.sum())} of {len(val_N)} rows of {network.probabilities}; "
            "some have to be left for each side"
        )
    return split_N
