"""Which column of a foreign table is meant by a name: the names that people give to images, labels and splits, in all their forms."""

import re
import unicodedata
from collections.abc import Iterable

# Columns that may name the images, the surest first; the last four may be of a patient or a class as well.
KEYS = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_file")
KEYS += ("image_id", "name", "id", "key")
UNSURE = KEYS[-4:]
LABELS = ("label", "labels", "y", "y_true", "target", "targets")


def image_name(text: str) -> str:
    """The name of an image in the one form in which names are compared, whatever system wrote it."""
    return unicodedata.normalize("NFC", text.strip()).replace("\\", "/").removeprefix("./")


def columns_of(name: str, columns: Iterable[str]) -> list[str]:
    """Columns of a name, the one that is written so first: `File`, `files` and `FILE` are `file`, `Sample ID` is `sample_id`."""
    form = _form(name)
    return sorted((column for column in columns if _form(column) in (form, form + "s")), key=lambda column: column != name)


def is_sure_key(column: str) -> bool:
    """Whether a column can only name the images."""
    return any(columns_of(name, [column]) for name in KEYS if name not in UNSURE)


def label_columns(columns: Iterable[str]) -> list[str]:
    """Columns that may be the true classes, the surest first."""
    columns = list(columns)
    return list(dict.fromkeys(column for name in LABELS for column in columns_of(name, columns)))


def _form(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())
