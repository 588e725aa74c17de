"""Files with one value for each image: labels, or ids of images."""

from collections.abc import Container
from pathlib import Path

import numpy as np

from metann.errors import MetannError
from metann.tables.arrays import load_array
from metann.tables.column_names import KEYS, image_name
from metann.tables.text_tables import is_number


def read_values(path: Path) -> np.ndarray:
    """(N,) numbers or texts of a file with one for each image: .npy, .csv, .tsv, or .txt with one a line.

    Raises:
        MetannError: missing, truncated or of another format.
    """
    if path.suffix.lower() == ".npy":
        return load_array(path)
    lines = read_lines(path)
    return np.array([float(line) for line in lines]) if all(is_number(line) for line in lines) else np.array(lines, str)


def read_lines(path: Path, known: Container[str] = ()) -> list[str]:
    """The lines of a text, without quotes and empty ones, and without a heading: a word over numbers, or one that heads names of images.

    Args:
        known: names of images, which are no heading.

    Raises:
        MetannError: missing, or no text in UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MetannError(f"no file {path}; check the paths of probabilities, labels and val_rows") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MetannError(f"{path} is not text in UTF-8 ({error}); save it as .npy, or as .txt with one value a line") from None
    if "\0" in text:
        raise MetannError(f"{path} is not text; save it as .npy, or as .txt with one value a line")
    lines = [line.strip().strip('"') for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or is_number(lines[0]) or image_name(lines[0]) in known:
        return lines
    heading = lines[0].lower() in KEYS or all(is_number(line) for line in lines[1:])
    return lines[1:] if heading else lines
