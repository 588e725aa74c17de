"""A training's epochs as a file: one row per epoch, with the columns that its trainer gives. No torch: plans read it too."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from metann.errors import MetannError
from metann.files.text import write_text


class Length(BaseModel):
    """How long a training is, as count-training writes it."""

    model_config = ConfigDict(strict=True)

    epochs: Annotated[int, Field(ge=1, le=10_000_000)]
    expert_images: Annotated[int, Field(ge=0)]


Row = dict[str, float | int | str]


def _text(value: float | int | str) -> str:
    return value if isinstance(value, str) else str(int(value)) if isinstance(value, int) else f"{value:.9g}"


def write_history(path: Path, history: Sequence[Mapping[str, float | int | str]], columns: Sequence[str] = ()) -> None:
    """Write the epochs as CSV, whole or not at all; numbers with 9 digits.

    Args:
        history: one mapping per epoch. Epochs may differ in their columns (phases of a training do); a missing value stays empty.
        columns: what the head line names first; a network that needed no training has only this line.
    """
    names = dict.fromkeys([*columns, *(name for row in history for name in row)])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(row[name]) if name in row else "" for name in names] for row in history)
    write_text(path, buffer.getvalue())


def read_history(path: Path) -> list[Row]:
    """What `write_history` wrote: whole numbers, other numbers (nan too), else text; an empty value is left out of its row.

    Raises:
        MetannError: the file is missing, not text, or a row has more or fewer values than the head line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *lines = list(csv.reader(file))
        return [{name: _value(text) for name, text in zip(names, line, strict=True) if text} for line in lines]
    except (OSError, ValueError, csv.Error):
        raise MetannError(f"{path} is not the history of a training; delete it and run snakemake again") from None


def _value(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
