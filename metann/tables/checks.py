"""What a table's field is called in a file, and what it has to be. A rule takes the table and the field's values and says what is
wrong, or None.

Shapes: N images, K classes, E experts.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

SPLITS = ("train", "val", "test")
TOLERANCE = 1e-4
"""How far the sum of a float32 distribution may be from 1."""


class Table(Protocol):
    """What a rule may ask of the table whose field it checks; those of gates and answers ask for their own fields too."""

    sample_id: np.ndarray
    metadata: dict[str, Any]
    classes: int | None


Rule = Callable[[Table, np.ndarray], str | None]


def are_distributions(p_NK: np.ndarray, tolerance: float = TOLERANCE) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool, whether each row is >= 0 and sums to 1; and (N,) float64, the sums. A row with NaN is none."""
    with np.errstate(invalid="ignore"):
        sums_N = p_NK.sum(axis=1, dtype=np.float64)
        return (np.abs(sums_N - 1) <= tolerance) & (p_NK >= 0).all(axis=1), sums_N


def anything(_table: Table, _values: np.ndarray) -> None:
    """No rule."""


@dataclass(frozen=True)
class Column:
    """A field of a table, and the columns of a file that hold it.

    Attributes:
        field: its name in the class.
        name: of the column; one that ends with _ stands for a column for each class or expert: p_ for p_0, p_1, ...
        dtype: in the file; str is a dictionary of few different texts.
        rule: what the values have to be.
        least: fewest columns, where there are several.
    """

    field: str
    name: str
    dtype: type
    rule: Rule = anything
    least: int = 1

    @property
    def several(self) -> bool:
        """One column for each class or expert."""
        return self.name.endswith("_")

    @property
    def text(self) -> str:
        """'label', or 'p_0 .. p_K-1'."""
        return f"{self.name}0 .. {self.name}{self.field[-1]}-1" if self.several else self.name

    def names_in(self, found: Iterable[str]) -> list[str]:
        """Those of a file's columns that hold this field, in order; none where they are missing or have a gap."""
        if not self.several:
            return [name for name in found if name == self.name]
        number = sum(re.fullmatch(rf"{self.name}\d+", name) is not None for name in found)
        names = [f"{self.name}{i}" for i in range(number)]
        return names if set(names) <= set(found) else []


def unique(_table: Table, ids_N: np.ndarray) -> str | None:
    """Every image once."""
    ids, counts = np.unique(ids_N, return_counts=True)
    if len(ids) != len(ids_N):
        return f"sample_id {ids[counts > 1][0]} stands {counts.max()} times; ids are unique over all splits"
    return None


def known_splits(_table: Table, split_N: np.ndarray) -> str | None:
    """train, val and test alone."""
    strange = set(np.unique(split_N)) - set(SPLITS)
    return f"unknown split {sorted(strange)[0]!r}; known: {', '.join(SPLITS)}" if strange else None


def classes(table: Table, label_N: np.ndarray) -> str | None:
    """As many classes as names, and labels of these."""
    names, known = table.metadata.get("class_names"), table.classes
    if names is not None and known != len(names):
        return f"{known} probability columns but {len(names)} class names"
    if len(label_N) and (label_N.min() < 0 or (known is not None and label_N.max() >= known)):
        return f"labels run from {label_N.min()} to {label_N.max()}, classes from 0 to {(known or 0) - 1}"
    return None


def distributions(what: str, hint: str = "") -> Rule:
    """Rows that are >= 0 and sum to 1; `what` names a row of them, `hint` says what may have happened."""

    def rule(table: Table, p_NK: np.ndarray) -> str | None:
        good_N, sums_N = are_distributions(p_NK)
        if good_N.all():
            return None
        row, bad = int(np.argmin(good_N)), int((~good_N).sum())
        why = hint if (p_NK[row] < 0).any() or (p_NK[row] > 1).any() else ""  # inside [0, 1] the cause is another
        return f"{what} of sample {table.sample_id[row]} sum to {sums_N[row]:.6g}, not to 1 ({bad} such rows of {len(good_N)}){why}"

    return rule


def _each(what: str, needed: str, good: Callable[[Table, np.ndarray], np.ndarray]) -> Rule:
    """A rule for every row on its own."""

    def rule(table: Table, values: np.ndarray) -> str | None:
        good_N = good(table, values)
        if good_N.all():
            return None
        row = int(np.argmin(good_N))
        return f"sample {table.sample_id[row]} has {what} {values[row]}; must be {needed}"

    return rule


share = _each("expert probability", "in [0, 1]", lambda _, p_N: (p_N >= 0) & (p_N <= 1))  # NaN compares false
first_largest = _each("expert", "the first largest of its gate row", lambda table, e_N: e_N == table.gate_NE.argmax(axis=1))
answers = _each("experts' answers", "one of the classes", lambda table, y_NE: ((y_NE >= 0) & (y_NE < table.classes)).all(axis=1))
cost = _each("multiply-accumulates", "a number, 0 or more", lambda _, macs_N: np.isfinite(macs_N) & (macs_N >= 0))
