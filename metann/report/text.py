"""Numbers as text: percent, costs, counts and tables; differences with their intervals come from where verdicts are worded."""

import unicodedata
from collections.abc import Collection, Sequence

import numpy as np

from metann.statistics.wording import interval as interval
from metann.statistics.wording import p_value as p_value
from metann.statistics.wording import points as points
from metann.thresholds import format_threshold


def percent(share: float) -> str:
    """0.8641 -> '86.41 %'."""
    return f"{100 * share:.2f} %"


def macs(value: float) -> str:
    """1234567 -> '1.23 M'; 'unknown' for NaN."""
    if not np.isfinite(value):
        return "unknown"
    for factor, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def times(ratio: float) -> str:
    """2.163 -> '2.16 x'."""
    return f"{ratio:.2f} x" if np.isfinite(ratio) else "unknown"


def count(number: int, noun: str) -> str:
    """'1 seed', '3 seeds'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def seed_text(seed: object) -> str:
    """'seed 3', or 'no seed' of a table from elsewhere."""
    return "no seed" if seed is None else f"seed {seed}"


def thresholds_text(thresholds: Sequence[float]) -> str:
    """'0.05, 0.10, 0.20', or the ends of a long list."""
    texts = [format_threshold(threshold) for threshold in thresholds]
    return ", ".join(texts) if len(texts) <= 6 else f"{texts[0]} to {texts[-1]}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text, the others numbers, set to the right."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


_JOINTS = "\u200c\u200d"  # between letters of Persian words and parts of emoji


def escaped(name: str) -> str:
    """A name from outside for a page: shown as it is, and read by nobody as markup, whichever way its letters run."""
    text = "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#~$&!" else letter for letter in str(name))
    text = "".join(letter if letter.isprintable() or letter in _JOINTS else " " for letter in text)
    # Else numbers behind a name in Arabic or Hebrew would stand before it.
    return f"\u2068{text}\u2069" if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text) else text


def width(text: str) -> int:
    """Columns that a text takes in a terminal: two for a Chinese letter, none for an accent on its own."""
    return sum(0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def aligned_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """A table for a terminal: columns two blanks apart, set to the right but for those whose numbers are in `left`."""
    lines = [header, *rows]
    widths = [max(width(line[column]) for line in lines) for column in range(len(header))]

    def padded(line: Sequence[str]) -> str:
        blanks = [" " * (wide - width(cell)) for cell, wide in zip(line, widths, strict=True)]
        return "  ".join(cell + blank if i in left else blank + cell for i, (cell, blank) in enumerate(zip(line, blanks, strict=True)))

    return "\n".join(map(padded, lines))
