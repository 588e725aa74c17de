"""Small result tables as Parquet: any columns, with the kind and schema checked on read, written atomically.

The tables of images (`metann.tables`) are large and have fixed columns; these are small, tidy and many. pandas is imported
only where a frame is asked for, because a stage that evaluates ends sooner than pandas is imported.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.files.atomic import atomic
from metann.tables.columns import to_arrow
from metann.tables.sealed import read_sealed, seal

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


def _to_arrow(frame: "pd.DataFrame | Mapping[str, Any]") -> pa.Table:
    columns = frame if isinstance(frame, Mapping) else {str(name): frame[name].to_numpy() for name in frame.columns}
    return pa.table({name: _column(values) for name, values in columns.items()})


def _column(values: Any) -> pa.Array:
    return to_arrow(np.asarray(values))


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
    arrow = seal(_to_arrow(frame), dict(metadata) | {"schema": SCHEMA_VERSION, "kind": kind})
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
        MetannError: missing, truncated or foreign file, another kind, another schema version, or changed since it was written.
    """
    return read_sealed(path, kind, SCHEMA_VERSION)


def read_frame(path: Path, kind: str) -> "pd.DataFrame":
    """A table as a data frame; its metadata stand in `frame.attrs`.

    Raises:
        MetannError: as in `read_arrow`.
    """
    arrow, metadata = read_arrow(Path(path), kind)
    frame = arrow.replace_schema_metadata(None).to_pandas()
    frame.attrs = metadata
    return frame
