"""Text as a table: commas, semicolons or tabs between the values, with or without a line of names, decimal points or commas."""

import codecs
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from metann.errors import MetannError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_number(text: str) -> bool:
    """Whether a text is read as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_text_table(path: Path) -> pa.Table:
    """A .csv or .tsv file; columns p_0, p_1, ... where it begins with numbers.

    Raises:
        MetannError: UTF-16.
        OSError, pyarrow.ArrowException: missing, or no table.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open("rb") as file:
        raw = file.readline(1_000_000)
        second = file.readline(1_000_000).decode("utf-8", "replace")
    if raw.startswith(_UTF16) or b"\0" in raw:
        raise MetannError(f"{path} is UTF-16 or no text at all, and UTF-8 is needed; save it as UTF-8")
    first = raw.decode("utf-8-sig", "replace").strip()
    if delimiter == "," and (";" in first or "," not in first):
        delimiter = next((other for other in (";", "\t") if other in first), ",")
    point = "," if delimiter != "," and "," in second and "." not in second else "."
    heads = [head.strip().strip('"') for head in first.split(delimiter)]
    numbers = all(is_number(head.replace(",", ".")) for head in heads)
    names = [f"p_{k}" for k in range(len(heads))] if numbers else None
    parse, convert = csv.ParseOptions(delimiter=delimiter), csv.ConvertOptions(decimal_point=point)
    if names and heads == [str(k) for k in range(len(heads))]:  # a data frame without names of its own
        return csv.read_csv(path, parse_options=parse, convert_options=convert).rename_columns(names)
    return csv.read_csv(path, read_options=csv.ReadOptions(column_names=names), parse_options=parse, convert_options=convert)
