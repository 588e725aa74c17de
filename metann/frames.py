"""Small result tables as Parquet: any columns, with the kind and schema checked on read, written atomically.

The tables of images (`metann.tables`) are large and have fixed columns; these are small, tidy and many. pandas is imported
only where a frame is asked for, because a stage that evaluates ends sooner than pandas is imported.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError
from metann.files import atomic

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
_META = b"metann"
_CURE = "delete it and run the workflow again"


def _to_arrow(frame: "pd.DataFrame | Mapping[str, Any]") -> pa.Table:
    columns = frame if isinstance(frame, Mapping) else {str(name): frame[name].to_numpy() for name in frame.columns}
    return pa.table({name: _column(values) for name, values in columns.items()})


def _column(values: Any) -> pa.Array:
    array = np.asarray(values)
    # Text is named as such, because a column of objects without rows would have no type.
    return pa.array(array.astype(object), pa.string()) if array.dtype.kind in "OUT" else pa.array(array)


def write_frame(path: Path, frame: "pd.DataFrame | Mapping[str, Any]", kind: str, metadata: Mapping[str, Any]) -> None:
    """Write a table, whole or not at all.

    The same content gives the same bytes, and a file that holds them already is left as it is.

    Args:
        path: the Parquet file.
        frame: a data frame (its index is dropped) or a mapping of column name -> array or list; columns of numbers, bools or text.
        kind: what the table is, such as 'curve'; `read_frame` asks for the same.
        metadata: what the table says of itself; plain JSON values.

    Raises:
        MetannError: the file cannot be written.
    """
    described = json.dumps(dict(metadata) | {"schema": SCHEMA_VERSION, "kind": kind}, sort_keys=True)
    arrow = _to_arrow(frame).replace_schema_metadata({_META: described.encode()})
    buffer = pa.BufferOutputStream()
    pq.write_table(arrow, buffer, compression="zstd")
    content, path = buffer.getvalue().to_pybytes(), Path(path)
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read_arrow(path: Path, kind: str) -> tuple[pa.Table, dict[str, Any]]:
    """A table and its metadata, without pandas.

    Raises:
        MetannError: missing, truncated or foreign file, another kind, or another schema version.
    """
    try:
        arrow = pq.ParquetFile(path).read()  # read_table takes five times as long for a small file
    except FileNotFoundError:
        raise MetannError(f"no table {path}; run the stage that makes it, or check the path") from None
    except (OSError, pa.ArrowException) as error:
        raise MetannError(f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}); {_CURE}") from None
    raw = (arrow.schema.metadata or {}).get(_META)
    try:
        metadata = json.loads(raw) if raw else {}
    except json.JSONDecodeError:
        metadata = {}
    if metadata.get("kind") != kind or metadata.get("schema") != SCHEMA_VERSION:
        found = f"kind {metadata['kind']!r}, schema {metadata.get('schema')}" if "kind" in metadata else "no metann metadata"
        raise MetannError(f"{path} is not a metann table of kind {kind!r} and schema {SCHEMA_VERSION} ({found}); {_CURE}")
    return arrow, metadata


def read_frame(path: Path, kind: str) -> "pd.DataFrame":
    """A table as a data frame; its metadata stand in `frame.attrs`.

    Raises:
        MetannError: as in `read_arrow`.
    """
    arrow, metadata = read_arrow(Path(path), kind)
    frame = arrow.replace_schema_metadata(None).to_pandas()
    frame.attrs = metadata
    return frame
