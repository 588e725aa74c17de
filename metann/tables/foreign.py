"""Files of numbers made elsewhere: .npy, .npz, .csv, .tsv and .parquet as columns by name. N images, K classes.

`p_NK` is what is said of the classes, in whatever scale; other columns keep their names. Nothing is ever unpickled.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError, exhausted, failed_system
from metann.tables.arrays import from_bfloat16, load_array
from metann.tables.arrow_tables import TABLES, check_once, of_arrow
from metann.tables.column_names import label_columns
from metann.tables.columns import one_line
from metann.tables.foreign_table import ForeignTable
from metann.tables.text_tables import read_text_table

SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")


def read_columns(path: Path, rows: int | None = None) -> ForeignTable:
    """Everything that a file holds of `p_NK` and of one value for each image.

    Args:
        path: the file.
        rows: how many it should have, where that is known.

    Raises:
        MetannError: missing, truncated or pickled file, another format, no probabilities in it, columns of unfitting types or gaps.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MetannError(f"{path} is not a file of {', '.join(SUFFIXES)}; save it as one of these")
    try:
        if suffix == ".npy":
            return ForeignTable(load_array(path), {}, path)
        if suffix == ".npz":
            return _of_archive(path)
        if suffix == ".parquet":
            check_once(path, pq.read_schema(path).names)  # what reads the columns would call the file damaged
            return of_arrow(path, pq.read_table(path, partitioning=None))
        return of_arrow(path, read_text_table(path, rows))
    except FileNotFoundError:
        raise MetannError(f"no file {path}; check the paths of probabilities, labels and val_rows") from None
    except (OSError, pa.ArrowException, MemoryError) as error:
        if exhausted(error):
            raise failed_system(path, error) from None
        what = "a whole Parquet file" if suffix == ".parquet" else f"a whole {suffix} file"
        raise MetannError(f"{path} is not {what} ({str(error).splitlines()[0]}); save it again") from None


def _of_archive(path: Path) -> ForeignTable:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            check_once(path, archive.files)
            arrays = {name: from_bfloat16(archive[name]) for name in archive.files}
    except (FileNotFoundError, MetannError):
        raise
    except Exception as error:  # zipfile and numpy raise many kinds
        pickled = " (a pickle can run code and is never read)" if "pickle" in str(error).lower() else ""
        raise MetannError(f"{path} is not a whole .npz file of numbers{pickled}; write it with numpy.savez") from None
    return _named(path, arrays, {name for name, array in arrays.items() if array.ndim == 2 and array.shape[1] > 1})


def _named(path: Path, arrays: Mapping[str, np.ndarray], tables: set[str]) -> ForeignTable:
    """An archive's arrays by what they are; a single table needs no name."""
    table = next((name for name in TABLES if name in tables), next(iter(tables)) if len(tables) == 1 else None)
    if table is None:
        raise MetannError(f"{path}: which of {one_line(sorted(arrays))} are the probabilities? Name them 'probabilities'")
    columns: dict[str, np.ndarray] = {}
    dropped: dict[str, str] = {}
    for name, array in arrays.items():
        if name == table:
            continue
        values = _flat(array)
        if isinstance(values, str):
            dropped[name] = values
        else:
            columns[name] = values
    numbers = [name for name in label_columns(columns) if columns[name].dtype.kind in "iuf" and len(columns[name]) == len(arrays[table])]
    maybe = numbers or label_columns(name for name in arrays if name != table)[:1]  # of another type or shape: its check says what is wrong
    labels = {name: columns.pop(name, arrays[name]) for name in maybe}
    dropped |= dict.fromkeys(label_columns(columns), "no class numbers")
    return ForeignTable(arrays[table], columns, path, labels, {name: why for name, why in dropped.items() if name not in labels})


def _flat(array: np.ndarray) -> np.ndarray | str:
    """One value for each image, bytes as text; or why it is not used."""
    if array.ndim != 1 and array.shape[1:] != (1,):
        return f"shape {array.shape}"
    values = array.reshape(-1)
    if values.dtype.kind == "S":
        try:
            return np.array([value.decode() for value in values.tolist()], object)
        except UnicodeDecodeError:
            return "bytes that are no UTF-8"
    return values if values.dtype.kind in "OUbiuf" else str(values.dtype)
