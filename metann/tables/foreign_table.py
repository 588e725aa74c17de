"""What a file from elsewhere holds, by name. N images, K classes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metann.errors import MetannError
from metann.tables.column_names import columns_of

_SHOWN, _LONGEST = 5, 40


@dataclass(frozen=True)
class ForeignTable:
    """A table from elsewhere, not yet checked.

    Attributes:
        p_NK: what is said of the classes, in whatever scale.
        columns: (N,) texts, bools or numbers by the names of the file, without the labels.
        labels: (N,) class numbers by the names of the file that hold them; several may be there, and none may.
        dropped: columns of which nothing is used -> why.
        path: the file.
    """

    p_NK: np.ndarray
    columns: Mapping[str, np.ndarray]
    path: Path
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> str | None:
        """The column that is meant by a name, in the form that the file has it.

        Raises:
            MetannError: it is there and cannot be used.
        """
        if found := columns_of(name, self.columns):
            return found[0]
        self.refuse_dropped(columns_of(name, self.dropped))
        return None

    def refuse_dropped(self, names: Iterable[str]) -> None:
        """Refuse what is asked for and cannot be used.

        Raises:
            MetannError: one of the names is of a column that was dropped.
        """
        for name in names:
            if why := self.dropped.get(name):
                raise MetannError(f"{self.path}: column {name!r} cannot be used ({why}); write it anew, or leave the column out")


def listed(columns: Mapping[str, str]) -> str:
    """Columns and what is said of each, for a sentence; not more than a few."""
    parts = [f"{name[:_LONGEST]!r} ({why})" for name, why in list(columns.items())[:_SHOWN]]
    return ", ".join(parts) + (f", ... ({len(columns)} in all)" if len(columns) > _SHOWN else "")
