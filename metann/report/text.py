"""Numbers as text: percent, costs, counts and tables; differences with their intervals come from where verdicts are worded."""

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


def thresholds_text(thresholds: Sequence[float]) -> str:
    """'0.05, 0.10, 0.20', or the ends of a long list."""
    texts = [format_threshold(threshold) for threshold in thresholds]
    return ", ".join(texts) if len(texts) <= 6 else f"{texts[0]} to {texts[-1]}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text, the others numbers, set to the right."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def aligned_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """A table for a terminal: columns two blanks apart, set to the right but for those whose numbers are in `left`."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) if i in left else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )
