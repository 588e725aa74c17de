"""The currency between stages: typed Parquet tables, checked on read, written atomically.

Shapes: N images, K classes. Every table carries its own description as JSON in the file's metadata (key `metann`), so
that nothing is ever read from a path. `sample_id` is the key of every join.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError
from metann.files import atomic
from metann.tables.columns import to_numpy
from metann.tables.samples import SPLITS, ExpertProbabilities, Probabilities, Samples, as_arrow
from metann.tables.sealed import CURE, read_sealed, seal

SCHEMA_VERSION = 1


def digest_of(*arrays: np.ndarray) -> str:
    """16 hex digits over the bytes, types and shapes of arrays; names a dataset or a table."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _write(path: Path, table: Samples, kind: str) -> None:
    _check(path, table)
    arrow = seal(as_arrow(table), table.metadata | {"schema": SCHEMA_VERSION, "kind": kind})
    with atomic(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def write_samples(path: Path, table: Samples) -> None:
    """Write samples.parquet atomically, after the checks of `read_samples`."""
    _write(Path(path), table, "samples")


def write_probabilities(path: Path, table: Probabilities) -> None:
    """Write a network's probabilities atomically, after the checks of `read_probabilities`.

    Raises:
        MetannError: a check fails, or the file cannot be written.
    """
    _write(Path(path), table, "probabilities")


def write_expert_probabilities(path: Path, table: ExpertProbabilities) -> None:
    """Write one expert's probabilities atomically, after the checks of `read_expert_probabilities`."""
    _write(Path(path), table, "expert_probabilities")


def read_samples(path: Path) -> Samples:
    """Read samples.parquet.

    Raises:
        MetannError: missing, truncated or foreign file, wrong schema, or a failed check (ids, splits, labels).
    """
    path = Path(path)
    columns, metadata = _columns(path, "samples")
    return _checked(path, Samples(*_keys(path, columns), metadata), None)


def read_probabilities(path: Path, split: str | None = None) -> Probabilities:
    """Read a network's probabilities; all splits, or one.

    Raises:
        MetannError: missing, truncated or foreign file, wrong schema, duplicate ids, unknown split, labels out of range,
            NaN, or rows that do not sum to 1 within 1e-4. One line that names the file.
    """
    path = Path(path)
    columns, metadata = _columns(path, "probabilities")
    classes = sorted((name for name in columns if name.startswith("p_")), key=lambda name: int(name[2:]))
    if classes != [f"p_{k}" for k in range(len(classes))] or len(classes) < 2 or "log_partition" not in columns:
        raise MetannError(f"{path}: columns {one_line(columns)} are not p_0 .. p_K-1 and log_partition; {CURE}")
    p_NK = np.stack([_numbers(path, columns, name) for name in classes], axis=1)
    log_partition = _numbers(path, columns, "log_partition")
    table = Probabilities(*_keys(path, columns), metadata, p_NK=p_NK, log_partition=log_partition)
    return _checked(path, table, split)


def read_expert_probabilities(path: Path, split: str | None = None) -> ExpertProbabilities:
    """Read one expert's probabilities; errors as in `read_probabilities`."""
    path = Path(path)
    columns, metadata = _columns(path, "expert_probabilities")
    table = ExpertProbabilities(*_keys(path, columns), metadata, expert_probability=_numbers(path, columns, "expert_probability"))
    return _checked(path, table, split)


def one_line(names: Iterable[str]) -> str:
    """Column names for an error text, cut after six."""
    names = list(names)
    return "[" + ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") + "]"


def _columns(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    arrow, metadata = read_sealed(path, kind, SCHEMA_VERSION)
    return {name: arrow.column(name) for name in arrow.column_names}, metadata


def _numbers(path: Path, columns: dict[str, Any], name: str) -> np.ndarray:
    column = columns.get(name)
    if column is None:
        raise MetannError(f"{path} has no column {name!r}; found {one_line(columns)}; {CURE}")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) or column.null_count:
        raise MetannError(f"{path}: column {name!r} is {column.type} with {column.null_count} nulls, not whole numbers or floats; {CURE}")
    return to_numpy(column)


def _keys(path: Path, columns: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    split = columns.get("split")
    text = split is not None and (pa.types.is_dictionary(split.type) or pa.types.is_string(split.type))
    if not text:
        raise MetannError(f"{path} has no text column 'split'; found {one_line(columns)}; {CURE}")
    encoded = split.combine_chunks() if pa.types.is_dictionary(split.type) else split.dictionary_encode().combine_chunks()
    names = np.asarray(encoded.dictionary.to_pylist() or [""])
    return _numbers(path, columns, "sample_id"), names[to_numpy(pa.chunked_array([encoded.indices]))], _numbers(path, columns, "label")


def _check(path: Path, table: Samples) -> None:
    n = len(table)
    for name, column in vars(table).items():
        if isinstance(column, np.ndarray) and len(column) != n:
            raise MetannError(f"{path}: column {name} has {len(column)} rows, sample_id has {n}; {CURE}")
    ids, counts = np.unique(table.sample_id, return_counts=True)
    if len(ids) != n:
        raise MetannError(f"{path}: sample_id {ids[counts > 1][0]} stands {counts.max()} times; ids are unique over all splits; {CURE}")
    strange = set(np.unique(table.split)) - set(SPLITS)
    if strange:
        raise MetannError(f"{path}: unknown split {sorted(strange)[0]!r}; known: {', '.join(SPLITS)}; {CURE}")
    names = table.metadata.get("class_names")
    classes = table.p_NK.shape[1] if isinstance(table, Probabilities) else len(names) if names else None
    if names is not None and classes != len(names):
        raise MetannError(f"{path}: {classes} probability columns but {len(names)} class names; {CURE}")
    if n and (table.label.min() < 0 or (classes is not None and table.label.max() >= classes)):
        raise MetannError(
            f"{path}: labels run from {table.label.min()} to {table.label.max()}, classes from 0 to {(classes or 0) - 1}; {CURE}"
        )
    if isinstance(table, Probabilities):
        _check_rows(path, table)
    if isinstance(table, ExpertProbabilities):
        inside = (table.expert_probability >= 0) & (table.expert_probability <= 1)
        if not inside.all():
            row = int(np.argmin(inside))
            raise MetannError(
                f"{path}: sample {table.sample_id[row]} has expert probability {table.expert_probability[row]}; must be in [0, 1]; {CURE}"
            )


def _check_rows(path: Path, table: Probabilities) -> None:
    with np.errstate(invalid="ignore"):
        sums = table.p_NK.sum(axis=1, dtype=np.float64)
        good = (np.abs(sums - 1) <= 1e-4) & (table.p_NK >= 0).all(axis=1)  # NaN compares false
    if not good.all():
        row = int(np.argmin(good))
        raise MetannError(
            f"{path}: the probabilities of sample {table.sample_id[row]} sum to {sums[row]:.6g}, not to 1 "
            f"({int((~good).sum())} such rows of {len(table)}); are they logits? {CURE}"
        )


def _checked(path: Path, table: Any, split: str | None) -> Any:
    _check(path, table)
    if split is None:
        return table
    if split not in SPLITS:
        raise MetannError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    return table.select(split)
