"""Parquet files that say what they are: a description as JSON in the file's metadata, sealed by a digest of the content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError, exhausted, failed_system
from metann.files.headers import Description, check_types, parse_header
from metann.files.ordinary import check_ordinary
from metann.tables.headers import header_of

_META = b"metann"
CURE = "delete it and run snakemake again"


def _content_digest(arrow: pa.Table, metadata: Mapping[str, Any]) -> str:
    """16 hex digits over what a table holds and says of itself, however Parquet stores it."""
    digest = hashlib.blake2b(json.dumps(dict(metadata), sort_keys=True).encode(), digest_size=8)
    for name, column in zip(arrow.column_names, arrow.columns, strict=True):
        digest.update(f"{name} {column.type}".encode())
        values = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
        if values.null_count or not pa.types.is_primitive(values.type):
            digest.update(repr(values.to_pylist()).encode())
            continue
        width = values.type.bit_width // 8  # pyarrow's to_numpy would import pandas
        for chunk in values.chunks:
            digest.update(memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width])
    return digest.hexdigest()


def seal(arrow: pa.Table, metadata: Mapping[str, Any]) -> pa.Table:
    """The table with its description, and a digest of both as `content`."""
    plain = {key: value for key, value in metadata.items() if key != "content"}
    described = json.dumps(plain | {"content": _content_digest(arrow, plain)}, sort_keys=True)
    return arrow.replace_schema_metadata({_META: described.encode()})


def read_sealed(path: Path, kind: str, schema: int) -> tuple[pa.Table, dict[str, Any]]:
    """A table and what it says of itself, without the seal; without pandas.

    Raises:
        MetannError: missing, truncated or foreign file, another kind or schema version, or changed since it was sealed.
    """
    check_ordinary(path)
    try:
        arrow = pq.ParquetFile(path, memory_map=True).read()  # read_table imports pandas, and takes five times as long for a small file
    except FileNotFoundError:
        raise MetannError(f"no table {path}; run the stage that makes it, or check the path") from None
    except (OSError, pa.ArrowException, MemoryError) as error:
        if exhausted(error):
            raise failed_system(path, error) from None
        raise MetannError(f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}); {CURE}") from None
    return arrow, _open(path, arrow, kind, schema)


def read_description(path: Path) -> dict[str, Any]:
    """What a table says of itself, unchecked, and without reading the table; {} where it says nothing.

    Raises:
        OSError, ValueError: no Parquet file.
    """
    return parse_header((pq.read_schema(path).metadata or {}).get(_META) or b"{}", path)


def _open(path: Path, arrow: pa.Table, kind: str, schema: int) -> dict[str, Any]:
    metadata = parse_header((arrow.schema.metadata or {}).get(_META) or b"{}", path)
    if metadata.get("kind") != kind or metadata.get("schema") != schema:
        found = f"kind {metadata['kind']!r}, schema {metadata.get('schema')}" if "kind" in metadata else "no metann metadata"
        raise MetannError(f"{path} is not a metann table of kind {kind!r} and schema {schema} ({found[:120]}); {CURE}")
    if metadata.pop("content", None) != _content_digest(arrow, metadata):
        raise MetannError(f"{path} was changed after metann wrote it; {CURE}")
    check_types(header_of(kind), metadata, path, CURE)
    return Description.of(metadata, path, CURE)
