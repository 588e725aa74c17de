"""Columns between numpy and Arrow, by their buffers.

pyarrow's own conversions import pandas wherever it is installed: 0.3 s in every short job that reads or writes a table.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa


def one_line(names: Iterable[str]) -> str:
    """Names of columns for an error text, cut after six."""
    names = list(names)
    return "[" + ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") + "]"


def is_number(kind: pa.DataType) -> bool:
    """Whole numbers or floats."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def is_text(kind: pa.DataType) -> bool:
    """Texts, as they are or as codes into a dictionary."""
    return pa.types.is_dictionary(kind) or pa.types.is_string(kind)


def to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) numbers or bools of a column without nulls; a copy that may be written to."""
    array = column.combine_chunks()
    if pa.types.is_boolean(array.type) and len(array):
        bits = np.unpackbits(np.frombuffer(array.buffers()[1], np.uint8), bitorder="little")
        return bits[array.offset : array.offset + len(array)].astype(bool)
    return np.from_dlpack(array).copy() if len(array) else np.zeros(0, array.type.to_pandas_dtype())


def to_arrow(values_N: np.ndarray) -> pa.Array:
    """A column of numbers, bools or text (an array of str, or of objects that are str)."""
    if values_N.dtype.kind in "OUT":
        return _text(values_N.tolist())
    if values_N.dtype.kind == "b":
        bits = np.packbits(values_N, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values_N), [None, pa.py_buffer(bits)])
    return pa.Array.from_buffers(pa.from_numpy_dtype(values_N.dtype), len(values_N), [None, pa.py_buffer(np.ascontiguousarray(values_N))])


def to_dictionary(values_N: np.ndarray) -> pa.DictionaryArray:
    """A column of few different texts: int32 codes into a dictionary in order of appearance."""
    values = values_N.tolist()
    place = {name: code for code, name in enumerate(dict.fromkeys(values))}
    codes_N = np.fromiter(map(place.__getitem__, values), np.int32, len(values))  # numpy's == would take "" and a zero byte for equal
    return pa.DictionaryArray.from_arrays(to_arrow(codes_N), _text(list(place)))


def _text(values: list[str]) -> pa.StringArray:
    encoded = [value.encode() for value in values]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in encoded])]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))])
