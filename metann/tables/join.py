"""Tables of the same images, joined by sample_id."""

from typing import TypeVar

import numpy as np

from metann.errors import MetannError
from metann.tables.samples import Samples
from metann.tables.sealed import CURE

Table = TypeVar("Table", bound=Samples)


def align(reference: Samples, other: Samples) -> np.ndarray:
    """Positions in `other` of the rows of `reference`, joined by sample_id.

    Returns:
        (N,) int64; `other.label[positions]` equals `reference.label`.

    Raises:
        MetannError: another dataset or class order, missing or additional ids, or unequal labels or splits. The files are named.
    """
    names = [table.metadata.get("image_names") for table in (reference, other) if table.metadata.get("dataset") == "imported"]
    if len(names) == 2 and names[0] != names[1]:
        if None in names:
            named, nameless = (reference, other) if names[1] is None else (other, reference)
            raise MetannError(f"{named.where} names its images and {nameless.where} does not; give both a column 'file', or neither")
        raise MetannError(f"{other.where} names other images than {reference.where}; give tables of the same images, named alike")
    for key, what in [("digest", "dataset"), ("class_names", "class order")]:
        mine, theirs = reference.metadata.get(key), other.metadata.get(key)
        if mine is not None and theirs is not None and mine != theirs:
            raise MetannError(
                f"{other.where} is of another {what} ({theirs}) than {reference.where} ({mine}); make it anew with this run's data"
            )
    order = np.argsort(other.sample_id, kind="stable")
    place = np.minimum(np.searchsorted(other.sample_id, reference.sample_id, sorter=order), max(len(other) - 1, 0))
    positions = order[place] if len(other) else np.zeros(0, np.int64)
    missing = reference.sample_id[other.sample_id[positions] != reference.sample_id] if len(other) else reference.sample_id
    if len(missing) or len(other) != len(reference):
        detail = f"sample {missing[0]} is missing" if len(missing) else f"{len(other)} rows instead of {len(reference)}"
        raise MetannError(f"{other.where} does not hold the images of {reference.where}: {detail}; {CURE}")
    for name in ("label", "split"):
        unequal = getattr(other, name)[positions] != getattr(reference, name)
        if unequal.any():
            row = int(np.argmax(unequal))
            raise MetannError(f"{other.where} and {reference.where} disagree on the {name} of sample {reference.sample_id[row]}; {CURE}")
    return positions


def joined(reference: Samples, other: Table) -> Table:
    """`other` with its rows in the order of `reference`; errors as in `align`."""
    positions = align(reference, other)
    # the usual case, in which a table of a thousand classes need not be copied
    return other if np.array_equal(positions, np.arange(len(other))) else other.take(positions)


def check_seed(table: Samples, seed: int) -> None:
    """Raise a MetannError for a table that says that it is of another seed; one that was made elsewhere says nothing."""
    theirs = table.metadata.get("seed")
    if theirs is not None and theirs != seed:
        raise MetannError(f"{table.where} is of seed {theirs}, not {seed}; give the tables of one seed, and that seed")
