"""The stratified split: exact counts, no class emptied, the same for every run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann.config.data import DataSection
from metann.data.split import assign_splits, stratified_mask
from metann.errors import MetannError

labels = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(np.array)


@given(labels, st.floats(0, 1), st.integers(0, 2**32))
def test_each_class_gives_its_share(labels_N, fraction, seed):
    n = len(labels_N)
    counts = np.bincount(labels_N)
    total = round(fraction * n)
    taken = np.bincount(labels_N[stratified_mask(labels_N, total, seed)], minlength=len(counts))
    assert taken.sum() == min(total, np.maximum(counts - 1, 0).sum())
    assert (taken <= np.maximum(counts - 1, 0)).all()
    if (np.ceil(counts * total / n) <= np.maximum(counts - 1, 0)).all():  # where no class is capped: floor or ceil
        assert (taken >= counts * total // n).all()
        assert (taken <= -(-counts * total // n)).all()


@given(labels, st.integers(0, 40))
def test_remainders_go_to_the_largest(labels_N, total):
    """Against largest remainder written as a loop; only where no class runs dry."""
    counts = np.bincount(labels_N)
    share = [(int(c) * total, len(labels_N)) for c in counts]
    want = [a // b for a, b in share]
    for k in sorted(range(len(counts)), key=lambda k: (-(share[k][0] % share[k][1]), k))[: max(total - sum(want), 0)]:
        want[k] += 1
    if total <= len(labels_N) and all(w <= max(c - 1, 0) for w, c in zip(want, counts, strict=True)):
        assert np.bincount(labels_N[stratified_mask(labels_N, total, 0)], minlength=len(counts)).tolist() == want


def test_published_choice_never_changes():
    """Results are compared over years and numpy versions: these rows are chosen for ever."""
    mask = stratified_mask(np.arange(40) % 4, 8, 42, "val")
    assert np.flatnonzero(mask).tolist() == [2, 15, 18, 20, 25, 28, 37, 39]


def test_seed_and_purpose_name_the_choice():
    labels_N = np.arange(1000) % 10
    first = stratified_mask(labels_N, 100, 1, "val")
    assert np.array_equal(first, stratified_mask(labels_N, 100, 1, "val"))
    for other in (stratified_mask(labels_N, 100, 2, "val"), stratified_mask(labels_N, 100, 1, "test")):
        assert 2 < (first & other).sum() < 30  # 10 expected of independent choices


def test_missing_splits_are_filled_and_given_ones_kept():
    labels_N = np.arange(200) % 4
    settings = DataSection(name="digits", val_fraction=0.1, test_fraction=0.25)
    everything = assign_splits(np.full(200, "train"), labels_N, settings)
    assert [(everything == name).sum() for name in ("train", "val", "test")] == [135, 15, 50]
    official = np.array(["train"] * 100 + ["test"] * 100)
    assert (assign_splits(official, labels_N, settings)[100:] == "test").all()
    own = np.array(["train"] * 100 + ["val"] * 50 + ["test"] * 50)
    assert np.array_equal(assign_splits(own, labels_N, settings), own)


@pytest.mark.parametrize("official", [["train"] * 3, ["test"] * 3, []])
def test_too_few_images_to_split(official):
    with pytest.raises(MetannError, match="training images"):
        assign_splits(np.array(official, dtype="<U5"), np.arange(len(official)), DataSection(name="digits"))
