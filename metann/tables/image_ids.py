"""Which image each row of a foreign table is about: its number, its name, or its place. N images."""

from dataclasses import dataclass

import numpy as np

from metann.errors import MetannError, one_of
from metann.tables.column_names import KEYS, UNSURE, columns_of, image_name, is_sure_key
from metann.tables.foreign_table import ForeignTable


@dataclass(frozen=True)
class ImageIds:
    """Attributes:
    ids_N: (N,) int32, numbers of a column, or the places of the names in their order, or row numbers.
    names_N: (N,) names in one form; None without.
    key: the column that gave the names.
    numbers: the column that gave the ids.
    refused: columns that could have named the images -> why they do not.
    """

    ids_N: np.ndarray
    names_N: np.ndarray | None
    key: str | None
    numbers: str | None
    refused: dict[str, str]


def ids_of(table: ForeignTable) -> ImageIds:
    """The images of a table's rows.

    Raises:
        MetannError: a column that can only name the images, or numbers them, has gaps, repeats or is of another type.
    """
    n, sample_id = len(table.p_NK), table.column("sample_id")
    text_ids = sample_id is not None and table.columns[sample_id].dtype.kind in "OU"
    key, names_N, refused = _named(table, sample_id, text_ids=text_ids)
    numbers = sample_id if not text_ids and sample_id else key if key and table.columns[key].dtype.kind in "iu" else None
    if numbers:
        names_N, key = (None, None) if key == numbers else (names_N, key)
        ids_N = whole(table.columns[numbers], n, 2**31, f"{table.path}: {numbers}").astype(np.int32)
        if len(np.unique(ids_N)) != n:
            raise MetannError(f"{table.path}: sample_id repeats; ids are unique over all splits, number the images anew")
        return ImageIds(ids_N, names_N, key, numbers, refused)
    if names_N is None:
        return ImageIds(np.arange(n, dtype=np.int32), None, None, None, refused)
    place = {name: rank for rank, name in enumerate(sorted(names_N.tolist()))}
    return ImageIds(np.array([place[name] for name in names_N.tolist()], np.int32), names_N, key, None, refused)


def key_columns(table: ForeignTable) -> list[str]:
    """Columns that may name the images, the surest first."""
    return list(dict.fromkeys(column for name in KEYS for column in columns_of(name, table.columns)))


def names_of(values: np.ndarray, n: int) -> np.ndarray | str:
    """(N,) names in one form, of a column of texts or whole numbers; or why it names no images."""
    if values.shape != (n,):
        return f"{len(values)} values for {n} rows"
    if values.dtype.kind not in "OUiu":
        return f"{values.dtype}, neither texts nor whole numbers"
    names_N = np.array([image_name(str(value)) for value in values.tolist()], object)
    empty = names_N.tolist().count("")
    return f"{empty} empty" if empty else names_N


def _named(table: ForeignTable, sample_id: str | None, *, text_ids: bool) -> tuple[str | None, np.ndarray | None, dict[str, str]]:
    """The column that names the images, the names, and why others do not."""
    refused = {name: why for name, why in table.dropped.items() if any(columns_of(key, [name]) for key in UNSURE)}
    for column in ([sample_id] if sample_id and text_ids else []) + key_columns(table):
        names_N = names_of(table.columns[column], len(table.p_NK))
        sure = column == sample_id or is_sure_key(column)
        if not isinstance(names_N, str):
            values, counts = np.unique(names_N, return_counts=True)
            if counts.max() == 1:
                return column, names_N, refused
            if sure:
                raise MetannError(
                    f"{table.path}: column {column!r} says {values[counts.argmax()]!r} {counts.max()} times; a file stands once in a table"
                )
            names_N = "values repeat"  # of a patient, of a class ...
        elif sure and (text_ids or sample_id is None):
            raise MetannError(f"{table.path}: column {column!r} names no images ({names_N}); mend it, or leave the column out")
        refused[column] = names_N
    if sample_id is None:  # nothing else says which images these are; `image` may hold the pictures themselves, which is said
        sure = (name for name, why in table.dropped.items() if is_sure_key(name) and not why.startswith("shape"))
        table.refuse_dropped(name for name in sure if not columns_of("image", [name]))
    return None, None, refused


def of_length(values: np.ndarray, n: int, what: str) -> np.ndarray:
    """(N,) of a column or a column vector.

    Raises:
        MetannError: another number of rows.
    """
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (n,):
        raise MetannError(f"{what} has shape {values.shape}, the probabilities have {n} rows; one per row is needed")
    return values


def whole(values: np.ndarray, n: int, limit: int, what: str) -> np.ndarray:
    """(N,) whole numbers in 0..limit-1, one per row; a column vector is laid flat.

    Raises:
        MetannError: other values, or another number of rows.
    """
    values = of_length(values, n, what)
    if values.dtype.kind not in "iuf" or not np.array_equal(values, np.rint(values)):
        names = f" (such as {one_of(values[:3].tolist())}; give each class its number)" if values.dtype.kind in "OU" else ""
        raise MetannError(f"{what} is {values.dtype}, not whole numbers from 0 to {limit - 1}{names}")
    if values.min() < 0 or values.max() >= limit:
        from_one = "; do they count from 1? Subtract 1" if values.min() == 1 and values.max() == limit else ""
        raise MetannError(f"{what} runs from {values.min()} to {values.max()}; it must lie in 0 .. {limit - 1}{from_one}")
    return values
