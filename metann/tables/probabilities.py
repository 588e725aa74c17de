"""The currency between stages: typed Parquet tables, checked on read, written atomically.

What a kind of table holds stands in `metann.tables.samples`. Every table carries its own description as JSON in the file's metadata
(key `metann`), so that nothing is ever read from a path. `sample_id` is the key of every join.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError
from metann.files.atomic import atomic
from metann.tables.columns import is_number, is_text, one_line, to_numpy
from metann.tables.samples import SPLITS, Column, ExpertProbabilities, Gate, Probabilities, Samples, as_arrow
from metann.tables.sealed import CURE, read_sealed, seal

SCHEMA_VERSION = 1
Table = TypeVar("Table", bound=Samples)


def digest_of(*arrays: np.ndarray) -> str:
    """16 hex digits over the bytes, types and shapes of arrays; names a dataset or a table."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def write_samples(path: Path, table: Samples) -> None:
    """Write samples.parquet atomically, after the checks of `read_samples`."""
    _write(Path(path), table, Samples)


def write_probabilities(path: Path, table: Probabilities) -> None:
    """Write a network's probabilities atomically, after the checks of `read_probabilities`.

    Raises:
        MetannError: a check fails, or the file cannot be written.
    """
    _write(Path(path), table, Probabilities)


def write_expert_probabilities(path: Path, table: ExpertProbabilities) -> None:
    """Write one expert's probabilities atomically, after the checks of `read_expert_probabilities`."""
    _write(Path(path), table, ExpertProbabilities)


def write_gate(path: Path, table: Gate) -> None:
    """Write what a mixture says atomically, after the checks of `read_gate`."""
    _write(Path(path), table, Gate)


def read_samples(path: Path) -> Samples:
    """Read samples.parquet.

    Raises:
        MetannError: missing, truncated or foreign file, wrong schema, or a failed check (ids, splits, labels).
    """
    return _read(Path(path), Samples, None)


def read_probabilities(path: Path, split: str | None = None) -> Probabilities:
    """Read a network's probabilities; all splits, or one.

    Raises:
        MetannError: missing, truncated or foreign file, wrong schema, duplicate ids, unknown split, labels out of range,
            NaN, or rows that do not sum to 1 within 1e-4. One line that names the file.
    """
    return _read(Path(path), Probabilities, split)


def read_expert_probabilities(path: Path, split: str | None = None) -> ExpertProbabilities:
    """Read one expert's probabilities; errors as in `read_probabilities`."""
    return _read(Path(path), ExpertProbabilities, split)


def read_expert_answers(path: Path, split: str | None = None) -> ExpertProbabilities | Probabilities:
    """Read what one expert says, of its class alone or of all classes, whichever it is; errors as in `read_probabilities`."""
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException):
        names = []  # what is wrong with the file, the reader says
    return read_probabilities(path, split) if "p_0" in names else read_expert_probabilities(path, split)


def read_gate(path: Path, split: str | None = None) -> Gate:
    """Read what a mixture says of every image; errors as in `read_probabilities`."""
    return _read(Path(path), Gate, split)


def _write(path: Path, table: Table, kind: type[Table]) -> None:
    if type(table) is not kind:
        raise MetannError(f"{path}: a table of kind {table.KIND!r} was given to be written as {kind.KIND!r}")
    _check(path, table, "it was not written")
    arrow = seal(as_arrow(table), table.metadata | {"schema": SCHEMA_VERSION, "kind": kind.KIND})
    with atomic(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def _read(path: Path, kind: type[Table], split: str | None) -> Table:
    arrow, metadata = read_sealed(path, kind.KIND, SCHEMA_VERSION)
    fields = {column.field: _values(path, arrow, column) for column in kind.COLUMNS}
    table = kind(**fields, metadata=metadata, file=path)
    _check(path, table, CURE)
    if split is None:
        return table
    if split not in SPLITS:
        raise MetannError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    return table.select(split)


def _values(path: Path, arrow: pa.Table, column: Column) -> np.ndarray:
    """(N,), or (N, columns) where the field has several."""
    names = column.names_in(arrow.column_names)
    if len(names) < column.least:
        found = one_line(arrow.column_names)
        if column.several:
            raise MetannError(f"{path}: columns {found} are not {column.text}; {CURE}")
        raise MetannError(f"{path} has no column {column.name!r}; found {found}; {CURE}")
    if column.dtype is str:
        return _texts(path, arrow, column.name)
    values = [_numbers(path, arrow, name) for name in names]
    return np.stack(values, axis=1) if column.several else values[0]


def _numbers(path: Path, arrow: pa.Table, name: str) -> np.ndarray:
    column = arrow.column(name)
    if not is_number(column.type) or column.null_count:
        raise MetannError(f"{path}: column {name!r} is {column.type} with {column.null_count} nulls, not whole numbers or floats; {CURE}")
    return to_numpy(column)


def _texts(path: Path, arrow: pa.Table, name: str) -> np.ndarray:
    column = arrow.column(name)
    if not is_text(column.type):
        raise MetannError(f"{path} has no text column {name!r}; found {one_line(arrow.column_names)}; {CURE}")
    encoded = column.combine_chunks() if pa.types.is_dictionary(column.type) else column.dictionary_encode().combine_chunks()
    texts = np.asarray(encoded.dictionary.to_pylist() or [""])
    return texts[to_numpy(pa.chunked_array([encoded.indices]))]


def _check(path: Path, table: Samples, cure: str) -> None:
    """Raise what the first rule says that a field breaks."""
    n, widths = len(table), dict[str, tuple[str, int]]()
    for column in table.COLUMNS:
        values = getattr(table, column.field)
        if len(values) != n:
            raise MetannError(f"{path}: column {column.field} has {len(values)} rows, sample_id has {n}; {cure}")
        if column.several:
            first, width = widths.setdefault(column.field[-1], (column.text, values.shape[1]))
            if values.shape[1] != width:
                raise MetannError(f"{path}: {values.shape[1]} columns {column.text}, but {width} columns {first}; {cure}")
    for column in table.COLUMNS:
        if wrong := column.rule(table, getattr(table, column.field)):
            raise MetannError(f"{path}: {wrong}{' ' if wrong.endswith('?') else '; '}{cure}")
