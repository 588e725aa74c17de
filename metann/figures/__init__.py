"""Figures: one file each, a `draw(tables)` that returns a matplotlib figure, a literal `CAPTION` and the literal names `TABLES` it needs.

The literals are read from the source, so that a workflow or a summary that only names figures does not import matplotlib.
"""

import ast
from pathlib import Path

from metann.errors import unknown
from metann.registry import figures


def _literal(name: str, constant: str) -> str | tuple[str, ...]:
    if name not in figures():
        raise unknown("figure", name, figures(), "metann/figures/")
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == constant for t in node.targets):
            return ast.literal_eval(node.value)
    raise LookupError(f"metann/figures/{name}.py has no literal {constant}")


def caption(name: str) -> str:
    """What a figure shows, as reStructuredText; its first sentence stands alone.

    Raises:
        MetannError: unknown figure.
    """
    return " ".join(str(_literal(name, "CAPTION")).split())


def tables_of(name: str) -> tuple[str, ...]:
    """Names of the tables that a figure is drawn from: 'results', or a file of tables/.

    Raises:
        MetannError: unknown figure.
    """
    return tuple(_literal(name, "TABLES"))
