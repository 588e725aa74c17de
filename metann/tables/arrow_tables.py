"""Arrow tables, of Parquet or text, as what a foreign table holds. N images, K classes."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from metann.errors import MetannError, one_of
from metann.tables.arrays import from_bfloat16
from metann.tables.column_names import columns_of, is_sure_key, label_columns
from metann.tables.columns import one_line
from metann.tables.foreign_table import ForeignTable

TABLES = ("p_NK", "p", "probabilities", "probs", "softmax", "predictions", "scores", "logits", "log_probabilities", "arr_0")
_TEXTS: tuple[Callable[[pa.DataType], bool], ...] = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)


def of_arrow(path: Path, arrow: pa.Table) -> ForeignTable:
    """The columns of a table by what they are.

    Raises:
        MetannError: no probabilities, or numbers, labels or names of images with gaps or of unfitting types.
    """
    given, arrow = arrow.num_columns, _without_empty(arrow)
    dropped = {"": f"{given - arrow.num_columns} without name and values"} if arrow.num_columns < given else {}
    names = arrow.column_names
    check_once(path, names)
    columns = {name: _without_codes(arrow.column(name)) for name in names}
    k = sum(re.fullmatch(r"p_\d+", name) is not None for name in names)
    classes = [f"p_{c}" for c in range(k)]
    if k and set(classes) <= set(names):
        p_NK = np.stack([_numbers(path, name, columns[name]) for name in classes], axis=1)
    else:
        lists = [name for name in names if _is_list(columns[name].type)]
        name = next((name for name in TABLES if name in lists), lists[0] if len(lists) == 1 else None)
        if name is None:
            raise MetannError(f"{path}: columns {one_line(names)} are not p_0 .. p_K-1; rename them")
        classes, p_NK = [name], _lists(path, name, columns[name])
    others = {name: column for name, column in columns.items() if name not in classes}
    labels = _labels(path, others)
    found: dict[str, np.ndarray] = {}
    for name, column in others.items():
        if name in labels:
            continue
        if is_sure_key(name) and column.null_count:
            raise MetannError(
                f"{path}: column {name!r} names no image in {column.null_count} of {len(arrow)} rows; fill it, or leave the column out"
            )
        text_ids = columns_of("sample_id", [name]) and _is_any(column.type, _TEXTS + _BYTES)
        number = not text_ids and any(columns_of(plain, [name]) for plain in ("sample_id", "log_partition"))
        values = _numbers(path, name, column) if number else _values(column)
        if isinstance(values, str):
            dropped[name] = values
        elif name in label_columns([name]):
            dropped[name] = "no class numbers"
        else:
            found[name] = values
    return ForeignTable(p_NK, found, path, labels, dropped)


def check_once(path: Path, names: Sequence[str]) -> None:
    """Refuse two columns of one name.

    Raises:
        MetannError: naming the first.
    """
    for name, times in Counter(names).items():
        if times > 1:
            called = repr(name) if name.strip() else "without a name"
            raise MetannError(f"{path} has {times} columns {called}, and which is meant? Rename them, or leave one out")


def _without_empty(arrow: pa.Table) -> pa.Table:
    """The columns that have a name or values: a spreadsheet may write empty ones behind its last."""
    pairs = enumerate(zip(arrow.column_names, arrow.columns, strict=True))
    return arrow.select([place for place, (name, column) in pairs if name.strip() or _has_values(column)])


def _has_values(column: pa.ChunkedArray) -> bool:
    return not pa.types.is_null(column.type) and any(str(value).strip() for value in column.unique().to_pylist() if value is not None)


def _labels(path: Path, columns: dict[str, pa.ChunkedArray]) -> dict[str, np.ndarray]:
    """Columns that may be the true classes and hold numbers.

    Raises:
        MetannError: gaps, or none of several holds numbers.
    """
    maybe = label_columns(columns)
    numbers = [name for name in maybe if _is_number(columns[name].type)]
    return {name: _numbers(path, name, columns[name]) for name in numbers or maybe[:1]}


def _without_codes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of codes into a dictionary, which may have gaps of its own, as plain values."""
    kind = column.type
    return pa.chunked_array([pa.array(column.to_pylist(), kind.value_type)]) if pa.types.is_dictionary(kind) else column


def _is_any(kind: pa.DataType, tests: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(test(kind) for test in tests)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_bfloat16(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_binary(kind) and kind.byte_width == 2  # Arrow has no name for it


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or _is_bfloat16(kind)


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """A column of numbers of any kind.

    Raises:
        MetannError: text, nulls or what else is no number.
    """
    kind = column.type
    if column.null_count:
        raise MetannError(f"{path}: column {name!r} is {kind} with {column.null_count} nulls; numbers without gaps are needed")
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64()).to_numpy()
    if _is_bfloat16(kind):
        raw = b"".join(value.as_py() for value in column)
        return from_bfloat16(np.frombuffer(raw, "V2"))
    if _is_number(kind):
        return column.to_numpy()
    text = _is_any(kind, _TEXTS)
    cure = "numbers are needed: class numbers from 0, not names" if label_columns([name]) else "numbers are needed"
    raise MetannError(f"{path}: column {name!r} is {'text' if text else kind} ({kind}) with 0 nulls; {cure}")


def _lists(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """A column of lists of equal length as (N, K)."""
    if column.null_count:
        raise MetannError(f"{path}: column {name!r} is {column.type} with {column.null_count} nulls; numbers without gaps are needed")
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    lengths = sorted({len(row) for row in array})
    if len(lengths) != 1:
        raise MetannError(f"{path}: column {name!r} holds lists of {one_of(lengths)} numbers; one for each class is needed in every row")
    return _numbers(path, name, pa.chunked_array([array.flatten()])).reshape(len(array), lengths[0])


def _values(column: pa.ChunkedArray) -> np.ndarray | str:
    """A column of texts, bools or numbers, bytes as text; or why it is not used: its gaps or its type."""
    kind = column.type
    if column.null_count:
        return f"{column.null_count} nulls"
    if _is_any(kind, _TEXTS):
        return np.array(column.to_pylist(), object)
    if _is_any(kind, _BYTES):
        try:
            return np.array([value.rstrip(b"\0").decode() for value in column.to_pylist()], object)
        except UnicodeDecodeError:
            return "bytes that are no UTF-8"
    if pa.types.is_boolean(kind):
        return np.array(column.to_pylist(), bool)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.to_numpy()
    return str(kind)[:40]
