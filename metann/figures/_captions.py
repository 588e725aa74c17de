"""Figures: one file each, a `draw(tables)` that returns a matplotlib figure, a literal `CAPTION` and the literal names `TABLES` it needs.

The literals are read from the source, so that a workflow or a summary that only names figures does not import matplotlib.
"""

from typing import Any

from metann.errors import unknown
from metann.registry import figures, literal


def _literal(name: str, constant: str) -> Any:
    if name not in figures():
        raise unknown("figure", name, figures(), "metann/figures/")
    return literal(f"figures/{name}.py", constant)


def caption(name: str) -> str:
    """What a figure shows, as reStructuredText; its first sentence stands alone.

    Raises:
        MetannError: unknown figure.
    """
    return " ".join(str(_literal(name, "CAPTION")).split())


def tables_of(name: str) -> tuple[str, ...]:
    """Names of the tables that a figure is drawn from: files of tables/, such as mnn_results.

    Raises:
        MetannError: unknown figure.
    """
    return tuple(_literal(name, "TABLES"))
