"""Files of numbers made elsewhere: .npy, .npz, .csv, .tsv and .parquet as columns by name. N images, K classes.

`p_NK` is what is said of the classes, in whatever scale; other columns keep their names. Nothing is ever unpickled.
"""

import re
import unicodedata
from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError, exhausted, failed_system, one_of
from metann.tables.arrays import from_bfloat16, load_array
from metann.tables.columns import one_line
from metann.tables.text_tables import is_number, read_text_table

SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")
_TABLES = ("p_NK", "p", "probabilities", "probs", "softmax", "predictions", "scores", "logits", "log_probabilities", "arr_0")
# Columns that may name the images, the surest first; the last four may be of a patient or a class as well.
KEYS = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_file")
KEYS += ("image_id", "name", "id", "key")
UNSURE = KEYS[-4:]
_LABELS = ("label", "labels", "y", "y_true", "target", "targets")


def image_name(text: str) -> str:
    """The name of an image in the one form in which names are compared, whatever system wrote it."""
    return unicodedata.normalize("NFC", text.strip()).replace("\\", "/").removeprefix("./")


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Everything that a file holds of `p_NK` and of one value for each image.

    Raises:
        MetannError: missing, truncated or pickled file, another format, no probabilities in it, columns of unfitting types or gaps.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MetannError(f"{path} is not a file of {', '.join(SUFFIXES)}; save it as one of these")
    try:
        if suffix == ".npy":
            return {"p_NK": load_array(path)}
        if suffix == ".npz":
            return _of_archive(path)
        return _of_table(path, read_text_table(path) if suffix in (".csv", ".tsv") else pq.read_table(path, partitioning=None))
    except FileNotFoundError:
        raise MetannError(f"no file {path}; check the paths of probabilities, labels and val_rows") from None
    except (OSError, pa.ArrowException, MemoryError) as error:
        if exhausted(error):
            raise failed_system(path, error) from None
        what = "a whole Parquet file" if suffix == ".parquet" else f"a whole {suffix} file"
        raise MetannError(f"{path} is not {what} ({str(error).splitlines()[0]}); save it again") from None


def read_values(path: Path) -> np.ndarray:
    """(N,) numbers or texts of a file with one for each image: .npy, .csv, .tsv, or .txt with one a line.

    Raises:
        MetannError: missing, truncated or of another format.
    """
    if path.suffix.lower() == ".npy":
        return load_array(path)
    lines = read_lines(path)
    return np.array([float(line) for line in lines]) if all(is_number(line) for line in lines) else np.array(lines, str)


def read_lines(path: Path, known: Container[str] = ()) -> list[str]:
    """The lines of a text, without quotes and empty ones, and without a heading: a word over numbers, or one that heads names of images.

    Args:
        known: names of images, which are no heading.

    Raises:
        MetannError: missing, or no text in UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MetannError(f"no file {path}; check the paths of probabilities, labels and val_rows") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MetannError(f"{path} is not text in UTF-8 ({error}); save it as .npy, or as .txt with one value a line") from None
    if "\0" in text:
        raise MetannError(f"{path} is not text; save it as .npy, or as .txt with one value a line")
    lines = [line.strip().strip('"') for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or is_number(lines[0]) or image_name(lines[0]) in known:
        return lines
    heading = lines[0].lower() in KEYS or all(is_number(line) for line in lines[1:])
    return lines[1:] if heading else lines


def _of_archive(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: from_bfloat16(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and numpy raise many kinds
        pickled = " (a pickle can run code and is never read)" if "pickle" in str(error).lower() else ""
        raise MetannError(f"{path} is not a whole .npz file of numbers{pickled}; write it with numpy.savez") from None
    return _named(path, arrays, {name for name, array in arrays.items() if array.ndim == 2 and array.shape[1] > 1})


def _named(path: Path, arrays: Mapping[str, np.ndarray], tables: set[str]) -> dict[str, np.ndarray]:
    """`p_NK` and `label` by their usual names; a single table needs no name."""
    table = next((name for name in _TABLES if name in tables), next(iter(tables)) if len(tables) == 1 else None)
    if table is None:
        raise MetannError(f"{path}: which of {one_line(sorted(arrays))} are the probabilities? Name them 'probabilities'")
    label = next((name for name in _LABELS if name in arrays and name != table), None)
    found = {name: array for name, array in arrays.items() if name not in (table, label) and (array.ndim == 1 or array.shape[1:] == (1,))}
    return found | {"p_NK": arrays[table]} | ({"label": arrays[label]} if label else {})


def _of_table(path: Path, arrow: pa.Table) -> dict[str, np.ndarray]:
    names = arrow.column_names
    k = sum(re.fullmatch(r"p_\d+", name) is not None for name in names)
    classes = [f"p_{c}" for c in range(k)]
    if k and set(classes) <= set(names):
        p_NK = np.stack([_numbers(path, name, arrow.column(name)) for name in classes], axis=1)
    else:
        lists = [name for name in names if _is_list(arrow.column(name).type)]
        name = next((name for name in _TABLES if name in lists), lists[0] if len(lists) == 1 else None)
        if name is None:
            raise MetannError(f"{path}: columns {one_line(names)} are not p_0 .. p_K-1; rename them")
        classes, p_NK = [name], _lists(path, name, arrow.column(name))
    for name in KEYS:
        if name in names and name not in UNSURE and (gaps := arrow.column(name).null_count):
            raise MetannError(f"{path}: column {name!r} names no image in {gaps} of {len(arrow)} rows; fill it, or leave the column out")
    others = {name: _values(arrow.column(name)) for name in names if name not in classes}
    found = {name: values for name, values in others.items() if values is not None}
    label = next((name for name in _LABELS if name in names), None)
    if label:
        found["label"] = _numbers(path, label, arrow.column(label))
        found.pop(label if label != "label" else "", None)
    for name in ("sample_id", "log_partition"):
        if name in names and not (name == "sample_id" and _is_text(arrow.column(name).type)):
            found[name] = _numbers(path, name, arrow.column(name))
    return found | {"p_NK": p_NK}


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


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
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 2:  # Arrow knows no bfloat16
        raw = b"".join(value.as_py() for value in column)
        return from_bfloat16(np.frombuffer(raw, "V2"))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.to_numpy()
    text = _is_text(kind)
    cure = "numbers are needed: class numbers from 0, not names" if name in _LABELS else "numbers are needed"
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


def _values(column: pa.ChunkedArray) -> np.ndarray | None:
    """A column without nulls of texts, bools or numbers; None for any other."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count:
        return None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), object)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.array(column.to_pylist()) if pa.types.is_boolean(kind) else column.to_numpy()
    return None
