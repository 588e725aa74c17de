"""metann.mnn.curve against counting at every breakpoint, between them, and outside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mnn_combination import RULES, SHARED, prior_of, tables

from metann.errors import MetannError
from metann.mnn.combination import combine
from metann.mnn.curve import curve_from_prefix, threshold_curve
from metann.mnn.prefix_table import prefix_correct


def by_counting(switch_NK, expert_NK, labels_N, t, **rule):
    active_NK = switch_NK >= t
    # argmax of exact ties may differ in the last bit; the prefix table decides them (its own tests hold it to combine)
    lengths = active_NK.sum(axis=1)
    correct = prefix_correct(switch_NK, expert_NK, labels_N, **rule)
    return int(sum(correct[i, j] for i, j in enumerate(lengths))), active_NK.sum() / len(switch_NK)


@pytest.mark.parametrize("rule", RULES)
@given(tables(), st.data())
def test_agrees_with_counting_everywhere(rule, drawn, data):
    switch_NK, expert_NK, _ = drawn
    n, classes = switch_NK.shape
    labels_N = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)))
    options = {"rule": rule, "prior_K": prior_of(rule, classes)}
    curve = threshold_curve(switch_NK, expert_NK, labels_N, **options)
    assert curve.thresholds.tolist() == [*sorted(set(switch_NK.ravel())), np.inf]
    finite = curve.thresholds[:-1]
    thin = curve.thinned()
    assert (np.diff(thin.correct) != 0).all()
    for t in [-1.0, 0.0, 1.0, np.inf, *finite, *np.nextafter(finite, 2), *np.nextafter(finite, -1)]:
        correct, experts = by_counting(switch_NK, expert_NK, labels_N, t, **options)
        point = curve.at(t)
        assert (point.correct, point.mean_experts) == (correct, pytest.approx(experts))
        assert point.accuracy == pytest.approx(correct / n)
        assert thin.at(t).correct == correct
    assert curve.mean_experts[-1] == 0
    assert curve.correct[-1] == (switch_NK.argmax(axis=1) == labels_N).sum()


def test_independent_of_the_prefix_table():
    """Random tables without ties: threshold, combine, argmax, count. Nothing shared with the curve but `combine`."""
    rng = np.random.default_rng(3)
    switch_NK, expert_NK, labels_N = rng.dirichlet(np.full(4, 0.5), 60), rng.random((60, 4)), rng.integers(0, 4, 60)
    curve = threshold_curve(switch_NK, expert_NK, labels_N)
    assert len(curve.thresholds) == 241
    for t, correct in zip(curve.thresholds, curve.correct, strict=True):
        assert (combine(switch_NK, expert_NK, switch_NK >= t).argmax(axis=1) == labels_N).sum() == correct


def test_small_by_hand():
    curve = threshold_curve([[0.7, 0.2, 0.1]], [[0.01, 0.9, 0.1]], [1])
    assert curve.thresholds.tolist() == [0.1, 0.2, 0.7, np.inf]
    assert curve.accuracy.tolist() == [1, 1, 1, 0]
    assert curve.mean_experts.tolist() == [3, 2, 1, 0]
    thin = curve.thinned()
    assert thin.thresholds.tolist() == [0.7, np.inf]
    assert thin.mean_experts.tolist() == [1, 0]


def test_at_takes_arrays_and_refuses_nan():
    curve = threshold_curve([[0.7, 0.3], [0.6, 0.4]], [[0.5, 0.5], [0.1, 0.9]], [0, 1])
    point = curve.at([[0.0, 0.65], [0.7, 1.0]])
    assert point.accuracy.shape == (2, 2)
    assert point.mean_experts.tolist() == [[2, 0.5], [0.5, 0]]
    assert curve.at(0.5).threshold == 0.5
    with pytest.raises(MetannError, match="NaN"):
        curve.at([0.1, np.nan])
    with pytest.raises(MetannError, match="correct_NJ has shape"):
        curve_from_prefix([[0.7, 0.3]], np.zeros((1, 4), bool))
    with pytest.raises(MetannError, match="correct_NJ is float64"):
        curve_from_prefix([[0.7, 0.3]], np.zeros((1, 3)))


def test_no_images():
    curve = threshold_curve(np.zeros((0, 3)), np.zeros((0, 3)), [])
    assert curve.thresholds.tolist() == [np.inf]
    assert np.isnan(curve.accuracy).all()


def test_published_tables_end_at_the_switch():
    if not SHARED.exists():
        pytest.skip("published probability tables are not beside this checkout (../shared/data/probabilities): curve NOT checked on them")
    switch_NK, expert_NK = np.load(SHARED / "mobilenet_v2_test.npy"), np.load(SHARED / "vgg19_bn_test.npy")
    curve = threshold_curve(switch_NK, expert_NK, np.load(SHARED / "labels_test.npy"))
    assert curve.at(1.0).accuracy == 0.8936
    assert [curve.at(t).mean_experts for t in (0.1, 0.17, 0.2, 0.3)] == pytest.approx([1.1618, 1.0757, 1.0557, 1.0116], abs=1e-12)
