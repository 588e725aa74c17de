import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metann.data.folds import fold_of


@given(st.lists(st.integers(0, 4), max_size=80), st.integers(2, 6), st.integers(0, 2**63 - 1))
def test_folds_are_even_in_all_and_in_each_class(labels: list[int], folds: int, seed: int) -> None:
    labels_N = np.array(labels, np.int16)
    fold_N = fold_of(labels_N, folds, seed)
    for chosen in [np.ones(len(labels_N), bool), *(labels_N == c for c in range(5))]:
        counts = np.bincount(fold_N[chosen], minlength=folds)
        assert counts.max(initial=0) - counts.min(initial=99) <= 1
    assert np.array_equal(fold_N, fold_of(labels_N, folds, seed))


def test_the_seed_matters() -> None:
    labels_N = np.zeros(1000, np.int16)
    assert 100 < np.sum(fold_of(labels_N, 5, 0) == fold_of(labels_N, 5, 1)) < 300
