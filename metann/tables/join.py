"""Tables of the same images, joined by sample_id."""

from pathlib import Path

import numpy as np

from metann.errors import MetannError
from metann.tables.samples import Samples
from metann.tables.sealed import CURE


def align(reference: Samples, other: Samples, reference_path: Path, path: Path) -> np.ndarray:
    """Positions in `other` of the rows of `reference`, joined by sample_id.

    Returns:
        (N,) int64; `other.label[positions]` equals `reference.label`.

    Raises:
        MetannError: another dataset or class order, missing or additional ids, or unequal labels or splits.
    """
    names = [table.metadata.get("image_names") for table in (reference, other) if table.metadata.get("dataset") == "imported"]
    if len(names) == 2 and names[0] != names[1]:
        if None in names:
            named, nameless = (reference_path, path) if names[1] is None else (path, reference_path)
            raise MetannError(f"{named} names its images and {nameless} does not; give both a column 'file', or neither")
        raise MetannError(f"{path} names other images than {reference_path}; give tables of the same images, named alike")
    for key, what in [("digest", "dataset"), ("class_names", "class order")]:
        mine, theirs = reference.metadata.get(key), other.metadata.get(key)
        if mine is not None and theirs is not None and mine != theirs:
            raise MetannError(f"{path} is of another {what} ({theirs}) than {reference_path} ({mine}); make it anew with this run's data")
    order = np.argsort(other.sample_id, kind="stable")
    where = np.minimum(np.searchsorted(other.sample_id, reference.sample_id, sorter=order), max(len(other) - 1, 0))
    positions = order[where] if len(other) else np.zeros(0, np.int64)
    missing = reference.sample_id[other.sample_id[positions] != reference.sample_id] if len(other) else reference.sample_id
    if len(missing) or len(other) != len(reference):
        detail = f"sample {missing[0]} is missing" if len(missing) else f"{len(other)} rows instead of {len(reference)}"
        raise MetannError(f"{path} does not hold the images of {reference_path}: {detail}; {CURE}")
    for name in ("label", "split"):
        unequal = getattr(other, name)[positions] != getattr(reference, name)
        if unequal.any():
            row = int(np.argmax(unequal))
            raise MetannError(f"{path} and {reference_path} disagree on the {name} of sample {reference.sample_id[row]}; {CURE}")
    return positions
