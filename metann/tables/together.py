"""The tables of several networks on the same images."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from metann.errors import MetannError
from metann.tables.join import joined
from metann.tables.probabilities import read_probabilities
from metann.tables.samples import Probabilities, Samples

Table = TypeVar("Table", bound=Samples)


def read_together(paths: Sequence[Path], split: str | None = None, reference: Samples | None = None) -> dict[str, Probabilities]:
    """Read networks' probabilities, joined.

    Args:
        paths: files of probabilities.
        split: of which images; all of them where not given.
        reference: whose images, and in which order; the first table's where not given.

    Returns:
        Network name -> table, in the order of the files; all with the same rows.

    Raises:
        MetannError: as `read_probabilities` and `align` raise, or a network that is given twice.
    """
    return together((read_probabilities(path, split) for path in paths), reference)


def together(tables: Iterable[Table], reference: Samples | None = None) -> dict[str, Table]:
    """The same for tables that were read before."""
    found: dict[str, Table] = {}
    for table in tables:
        name = table.network
        if name in found:
            raise MetannError(f"two tables are of a network {name!r}: {found[name].where} and {table.where}; give each network once")
        reference = table if reference is None else reference
        found[name] = joined(reference, table)
    return found


def tables_of(names: Iterable[str], found: dict[str, Table], why: str) -> list[Table]:
    """The tables of some networks, in the order of their names.

    Args:
        why: who needs them, for the error, such as 'cascade.json needs'.

    Raises:
        MetannError: no table of a name.
    """
    names = list(names)
    for name in names:
        if name not in found:
            raise MetannError(f"{why} the table of {name!r}; given: {', '.join(found) or 'none'}")
    return [found[name] for name in names]
