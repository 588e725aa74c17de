"""metann.mnn.controls against enumeration: all permutations, all choices of prefixes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metann.mnn.bounds import oracle_curve, oracle_prefix, random_prefix


def tables_of(max_rows, classes):
    row = st.tuples(*[st.booleans()] * (classes + 1))
    return st.lists(row, min_size=1, max_size=max_rows).map(np.array)


@settings(max_examples=50)
@given(tables_of(6, 2), st.data())
def test_random_prefix_over_all_permutations(correct_NJ, data):
    n = len(correct_NJ)
    lengths = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    every = [correct_NJ[np.arange(n), lengths[list(order)]].mean() for order in itertools.permutations(range(n))]
    got = random_prefix(correct_NJ, lengths)
    assert got.accuracy == pytest.approx(np.mean(every))
    assert got.standard_error == pytest.approx(np.std(every), abs=1e-7)
    assert got.mean_experts == pytest.approx(lengths.mean())


def test_random_prefix_of_equal_lengths_is_that_prefix():
    correct_NJ = np.random.default_rng(0).random((50, 5)) < 0.5
    got = random_prefix(correct_NJ, np.full(50, 3))
    assert got.accuracy == pytest.approx(correct_NJ[:, 3].mean())
    assert got.standard_error == pytest.approx(0, abs=1e-12)


@settings(max_examples=50)
@given(tables_of(5, 2), st.floats(0, 2))
def test_oracle_over_all_choices(correct_NJ, budget):
    n, states = correct_NJ.shape
    choices = [np.array(c) for c in itertools.product(range(states), repeat=n)]
    score = [(correct_NJ[np.arange(n), c].mean(), -c.mean()) for c in choices]
    free = oracle_prefix(correct_NJ)
    assert (free.accuracy, -free.mean_experts) == max(score)
    assert free.accuracy == correct_NJ[np.arange(n), free.lengths_N].mean()
    bound = oracle_prefix(correct_NJ, budget)
    assert (bound.accuracy, -bound.mean_experts) == max(s for s in score if -s[1] * n <= budget * n + 1e-6)
    assert bound.lengths_N.sum() <= budget * n + 1e-6


@given(tables_of(12, 3))
def test_oracle_curve_is_the_oracle_at_its_budgets(correct_NJ):
    n = len(correct_NJ)
    curve = oracle_curve(correct_NJ)
    assert curve.accuracy[0] == correct_NJ[:, 0].mean()
    assert curve.accuracy[-1] == correct_NJ.any(axis=1).mean()
    for experts, accuracy in zip(curve.mean_experts, curve.accuracy, strict=True):
        assert oracle_prefix(correct_NJ, experts).accuracy == pytest.approx(accuracy)
    for budget in np.linspace(0, 3, 13):
        between = np.interp(budget, *_rising(curve))
        assert oracle_prefix(correct_NJ, budget).accuracy <= between + 1e-9
        assert oracle_prefix(correct_NJ, budget).accuracy > between - 1 / n - 1e-9


def _rising(curve):
    keep = np.append(np.diff(curve.mean_experts) > 0, True)  # equal budgets: the last point holds
    return curve.mean_experts[keep], curve.accuracy[keep]


def test_by_hand():
    correct_NJ = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    assert oracle_prefix(correct_NJ).lengths_N.tolist() == [0, 1, 2, 0]
    assert oracle_prefix(correct_NJ, 0.5).lengths_N.tolist() == [0, 1, 0, 0]
    assert oracle_curve(correct_NJ).mean_experts.tolist() == [0, 0.25, 0.75]
    assert oracle_curve(correct_NJ).accuracy.tolist() == [0.25, 0.5, 0.75]


def test_no_images():
    empty = np.zeros((0, 3), bool)
    oracle, chance = oracle_prefix(empty), random_prefix(empty, [])
    assert len(oracle.lengths_N) == 0
    assert np.isnan([oracle.accuracy, oracle.mean_experts, chance.accuracy, chance.standard_error, chance.mean_experts]).all()
    assert np.isnan(oracle_curve(empty).accuracy).all()


def test_one_image_is_where_it_is():
    one = random_prefix(np.array([[False, True, False]]), [1])
    assert (one.accuracy, one.standard_error, one.mean_experts) == (1.0, 0.0, 1.0)


def test_of_equal_repairs_the_first_images_are_mended():
    """More images than a sort that is not stable keeps in order."""
    correct_NJ = np.tile([False, True, True], (100, 1))
    assert oracle_prefix(correct_NJ, 0.4).lengths_N.tolist() == [1] * 40 + [0] * 60
    assert oracle_prefix(correct_NJ, 0.39999).lengths_N.sum() == 39
