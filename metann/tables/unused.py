"""What a foreign table says and nobody asked for, in sentences: a name of another spelling must not be passed over in silence."""

from collections.abc import Collection

from metann.tables.foreign_table import ForeignTable, listed
from metann.tables.split_words import are_splits


def unused(table: ForeignTable, used: Collection[str], refused: dict[str, str], *, splits_known: bool) -> list[str]:
    """Columns that were dropped, that name the images under no known name, or that look like splits.

    Args:
        table: the table.
        used: columns that were.
        refused: those that could have named the images -> why they do not.
        splits_known: whether a column gave the splits.
    """
    said = []
    left = {name: values for name, values in table.columns.items() if name not in used and name not in refused}
    dropped = {name: why for name, why in table.dropped.items() if name not in refused}
    if refused:
        said.append(f"the images are not named by {listed(refused)}")
    if dropped:
        said.append(f"columns not used: {listed(dropped)}")
    texts = {name: values.tolist() for name, values in left.items() if values.dtype.kind in "OU" and len(values) == len(table.p_NK) > 1}
    names = {name: "a text for each row" for name, values in texts.items() if len(set(values)) == len(values)}
    if names:
        said.append(f"columns not used: {listed(names)}; a column 'file' or 'id' names the images")
    words = {name: "words for splits" for name in texts if not splits_known and are_splits(left[name])}
    if words:
        said.append(f"columns not used: {listed(words)}; a column 'split' gives the splits, or val_rows with the column's name")
    return said
