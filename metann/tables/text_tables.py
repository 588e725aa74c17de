"""Text as a table: commas, semicolons or tabs between the values, with or without a line of names, decimal points or commas."""

import codecs
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from metann.errors import MetannError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_LINE = 1_000_000


def is_number(text: str) -> bool:
    """Whether a text is read as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Beginning:
    """The first line that says something, how many stand before it, and what Excel's `sep=;` names as delimiter."""

    first: str
    before: int
    delimiter: str | None


def read_text_table(path: Path, rows: int | None = None) -> pa.Table:
    """A .csv or .tsv file; columns p_0, p_1, ... where it begins with numbers.

    Args:
        path: the file.
        rows: how many it should have, where that is known: a first line `0,1` may be a row of two classes, or their heading.

    Raises:
        MetannError: UTF-16, or packed.
        OSError, pyarrow.ArrowException: missing, or no table.
    """
    start = _beginning(path)
    delimiter = start.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
    if delimiter == "," and not start.delimiter and (";" in start.first or "," not in start.first):
        delimiter = next((other for other in (";", "\t") if other in start.first), ",")
    heads = [head.strip().strip('"').strip() for head in start.first.split(delimiter)]
    numbers = all(is_number(head.replace(",", ".")) for head in heads)
    names = [f"p_{k}" for k in range(len(heads))] if numbers else None
    numbered = names is not None and heads == [str(k) for k in range(len(heads))]  # a data frame without names of its own
    table = _read(path, delimiter, start.before + numbered, names)
    if numbered and len(heads) == 2 and len(table) + 1 == rows:
        return _read(path, delimiter, start.before, names)
    return table


def _beginning(path: Path) -> _Beginning:
    """Raises:
    MetannError: UTF-16, or packed.
    """
    before, delimiter = 0, None
    with path.open("rb") as file:
        for raw in iter(lambda: file.readline(_LINE), b""):
            if packed := next((what for sign, what in _PACKED.items() if not before and raw.startswith(sign)), None):
                raise MetannError(f"{path} is {packed}, not plain text; unpack it, and save the table as CSV in UTF-8")
            if raw.startswith(_UTF16) or b"\0" in raw:
                raise MetannError(f"{path} is UTF-16 or no text at all, and UTF-8 is needed; save it as UTF-8")
            line = raw.decode("utf-8-sig", "replace").strip("\r\n ")
            named = line.strip('"').lower().removeprefix("sep=") if line.strip('"').lower().startswith("sep=") else None
            if named is not None and len(named) == 1 and delimiter is None:
                delimiter = named
            elif line.strip():
                return _Beginning(line.strip(), before, delimiter)
            before += 1
    return _Beginning("", 0, None)


def _read(path: Path, delimiter: str, before: int, names: list[str] | None) -> pa.Table:
    """With decimal commas where fewer columns are text then; names without blanks around them."""
    options = {
        "read_options": csv.ReadOptions(column_names=names, skip_rows=before),
        "parse_options": csv.ParseOptions(delimiter=delimiter),
    }
    table = csv.read_csv(path, **options)
    if texts := _texts(table):
        other = csv.read_csv(path, **options, convert_options=csv.ConvertOptions(decimal_point=","))
        table = other if _texts(other) < texts else table
    return table.rename_columns([name.strip().strip('"').strip() for name in table.column_names])


def _texts(table: pa.Table) -> int:
    return sum(pa.types.is_string(kind) for kind in table.schema.types)
