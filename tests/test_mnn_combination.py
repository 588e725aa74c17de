"""metann.mnn.combination against the report's product in exact fractions, and against the published tables."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metann.errors import MetannError
from metann.mnn.combination import combine
from metann.mnn.prefix_table import prefix_correct, prefix_order, prefix_predictions

SHARED = Path(__file__).parents[2] / "shared" / "data" / "probabilities"
ZERO = Fraction(1, 10**2000)
RULES = ["product", "product_calibrated", "replace"]
PLAIN = [0.5, 0.1, 0.25, 0.3, 0.9]


def prior_of(rule, classes):
    return np.linspace(0.2, 0.9, classes) if rule == "product_calibrated" else None


@st.composite
def tables(draw, with_ends=True, rows=5):
    """Switch, expert and active of one shape; many ties, zeros and ones."""
    n, classes = draw(st.integers(1, rows)), draw(st.integers(2, 6))
    # 1e-9: powers of it stay far above the oracle's stand-in for zero
    value = st.sampled_from(PLAIN + ([0.0, 1.0] if with_ends else [])) | st.floats(1e-9, 1 - 1e-9)
    table = st.lists(st.lists(value, min_size=classes, max_size=classes), min_size=n, max_size=n)
    active = st.lists(st.lists(st.booleans(), min_size=classes, max_size=classes), min_size=n, max_size=n)
    return np.array(draw(table)), np.array(draw(table)), np.array(draw(active))


def report_product(s_K, e_K, active_K, zero=0):
    """The published rule, literally and without rounding: P = S, then P *= v_c for every active class c."""
    classes = len(s_K)
    p = [Fraction(x) or zero for x in s_K]
    for c in np.flatnonzero(active_K):
        yes, no = Fraction(e_K[c]) or zero, (1 - Fraction(e_K[c])) or zero
        p = [x * (yes if k == c else no / (classes - 1)) for k, x in enumerate(p)]
    total = sum(p)
    return [float(x / total) for x in p] if total else None


@given(tables())
def test_equals_the_report_product_where_it_is_not_zero(drawn):
    for s_K, e_K, active_K, p_K in zip(*drawn, combine(*drawn), strict=True):
        expected_K = report_product(s_K, e_K, active_K)
        if expected_K is not None:
            np.testing.assert_allclose(p_K, expected_K, rtol=1e-9, atol=1e-300)


@given(tables())
def test_is_the_limit_of_the_report_product_where_it_is_zero(drawn):
    for s_K, e_K, active_K, p_K in zip(*drawn, combine(*drawn), strict=True):
        np.testing.assert_allclose(p_K, report_product(s_K, e_K, active_K, ZERO), rtol=1e-9, atol=1e-300)


def test_limits_by_hand():
    both_sure = combine([[0.6, 0.3, 0.1]], [[1.0, 1.0, 0.5]], [[True, True, False]])
    np.testing.assert_allclose(both_sure, [[2 / 3, 1 / 3, 0]], rtol=1e-9)  # as sure as each other: the switch decides
    np.testing.assert_allclose(combine([[0.0, 1.0]], [[1.0, 0.5]], [[True, False]]), [[0.5, 0.5]])  # S -> 0 as fast as E -> 1
    all_deny = combine([[0.6, 0.3, 0.1]], [[0.0, 0.0, 0.0]], np.ones((1, 3), bool))
    np.testing.assert_allclose(all_deny, [[0.6, 0.3, 0.1]], rtol=1e-9)
    np.testing.assert_allclose(combine([[0.0, 0.0]], [[0.5, 0.5]], [[False, False]]), [[0.5, 0.5]])


def test_least_floats_stay_in_order():
    tiny = np.nextafter(0, 1)
    p = combine([[tiny, 0.0, 0.0]], [[tiny, 0.5, 1 - 2**-53]], np.ones((1, 3), bool))
    assert p.argmax() == 0
    assert p[0, 1] == p[0, 2] == 0


@pytest.mark.parametrize("rule", RULES)
@given(tables())
def test_no_active_class_is_the_switch(rule, drawn):
    switch_NK, expert_NK, _ = drawn
    p_NK = combine(switch_NK, expert_NK, np.zeros(switch_NK.shape, bool), rule=rule, prior_K=prior_of(rule, switch_NK.shape[1]))
    sums = switch_NK.sum(axis=1, keepdims=True)
    expected = np.where(sums > 0, switch_NK / np.where(sums > 0, sums, 1), 1 / switch_NK.shape[1])
    np.testing.assert_allclose(p_NK, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        prefix_predictions(switch_NK, expert_NK, rule=rule, prior_K=prior_of(rule, switch_NK.shape[1]))[:, 0], switch_NK.argmax(axis=1)
    )


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=200)
@given(tables())
def test_prefix_predictions_are_the_argmax_of_combine(rule, drawn):
    """Every prefix, by the slow way: mark the j first classes active, combine, take a best class, the first of exact equals."""
    switch_NK, expert_NK, _ = drawn
    n, classes = switch_NK.shape
    prior_K = prior_of(rule, classes)
    got_NJ = prefix_predictions(switch_NK, expert_NK, rule=rule, prior_K=prior_K)
    assert got_NJ.shape == (n, classes + 1)
    for j in range(classes + 1):
        active_NK = np.zeros((n, classes), bool)
        for row, s_K in enumerate(switch_NK):
            active_NK[row, sorted(range(classes), key=lambda k, s_K=s_K: (-s_K[k], k))[:j]] = True
        p_NK = combine(switch_NK, expert_NK, active_NK, rule=rule, prior_K=prior_K)
        for row, k in enumerate(got_NJ[:, j]):
            assert p_NK[row, k] >= p_NK[row].max() * (1 - 1e-9)
            lower = (switch_NK[row] == switch_NK[row, k]) & (expert_NK[row] == expert_NK[row, k]) & (active_NK[row] == active_NK[row, k])
            if rule != "product_calibrated":
                assert np.flatnonzero(lower)[0] == k


@st.composite
def saturated(draw):
    """Experts within a few ulp of 1, of 0 or of one half, where two scores can round to one probability."""
    classes = draw(st.integers(2, 7))
    place, ulps = st.sampled_from([1.0, 0.5, 5e-324]), st.integers(0, 4)
    expert = st.builds(lambda at, ulp: at - ulp * 2.0**-53 if at > 0.1 else at * ulp, place, ulps)
    switch = st.sampled_from([0.25, 1.0, 1e-300]) | st.floats(1e-9, 1)
    row = st.lists(st.tuples(switch, expert), min_size=classes, max_size=classes)
    table = np.array(draw(st.lists(row, min_size=1, max_size=8)))
    return table[..., 0], table[..., 1]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100)
@given(saturated())
def test_the_largest_probability_is_the_prefix_tables_class(rule, drawn):
    """Exactly, ties too: what `predict` answers and what the tables count as right are one thing."""
    switch_NK, expert_NK = drawn
    n, classes = switch_NK.shape
    prior_K = prior_of(rule, classes)
    got_NJ, order_NK = prefix_predictions(switch_NK, expert_NK, rule=rule, prior_K=prior_K), prefix_order(switch_NK)
    for j in range(classes + 1):
        active_NK = np.zeros((n, classes), bool)
        np.put_along_axis(active_NK, order_NK[:, :j], True, axis=1)
        p_NK = combine(switch_NK, expert_NK, active_NK, rule=rule, prior_K=prior_K)
        assert (p_NK.argmax(axis=1) == got_NJ[:, j]).all()
        assert np.abs(p_NK.sum(axis=1) - 1).max() < 1e-14
        assert p_NK.max() <= 1


def test_replace_within_an_ulp_of_one(rng):
    """Tables in which one case in 23 once differed."""
    expert_NK = 1 - rng.integers(0, 4, (4_000, 3)) * 2.0**-53
    p_NK = combine(expert_NK, expert_NK, np.ones((4_000, 3), bool), rule="replace")
    assert (p_NK.argmax(axis=1) == prefix_predictions(expert_NK, expert_NK, rule="replace")[:, 3]).all()


@given(tables(with_ends=False))
def test_prefix_predictions_against_the_report(drawn):
    switch_NK, expert_NK, _ = drawn
    got_NJ, order_NK = prefix_predictions(switch_NK, expert_NK), prefix_order(switch_NK)
    for row in range(len(switch_NK)):
        active_K = np.zeros(switch_NK.shape[1], bool)
        for j in range(switch_NK.shape[1] + 1):
            active_K[order_NK[row, :j]] = True
            p = report_product(switch_NK[row], expert_NK[row], active_K)
            assert p[got_NJ[row, j]] >= max(p) * (1 - 1e-9)


def test_ties_go_to_the_first_class():
    switch_NK = np.full((1, 3), 1 / 3)
    assert prefix_order(switch_NK).tolist() == [[0, 1, 2]]
    assert prefix_predictions(switch_NK, [[0.2, 0.7, 0.7]]).tolist() == [[0, 1, 1, 1]]
    assert prefix_predictions([[0.2, 0.6, 0.2]], [[0.5, 0.1, 0.5]]).tolist() == [[1, 0, 0, 0]]
    assert prefix_predictions([[0.2, 0.2, 0.6]], [[0.5, 0.5, 1e-9]]).tolist() == [[2, 0, 0, 0]]


def test_an_expert_at_its_neutral_value_changes_nothing():
    switch_NK = np.array([[0.4, 0.35, 0.15, 0.1]])
    active = np.array([[True, True, False, True]])
    np.testing.assert_allclose(combine(switch_NK, np.full((1, 4), 0.25), active), switch_NK, rtol=1e-12)
    prior_K = np.array([0.9, 0.5, 0.3, 0.2])
    np.testing.assert_allclose(combine(switch_NK, prior_K[None], active, rule="product_calibrated", prior_K=prior_K), switch_NK, rtol=1e-12)


@given(tables())
def test_calibrated_with_a_prior_of_one_in_k_is_the_product(drawn):
    prior_K = np.full(drawn[0].shape[1], 1 / drawn[0].shape[1])
    np.testing.assert_allclose(combine(*drawn, rule="product_calibrated", prior_K=prior_K), combine(*drawn), rtol=1e-8, atol=1e-300)


def test_replace_takes_the_experts_word():
    active = np.array([[True, True, False]])
    np.testing.assert_allclose(combine([[0.7, 0.2, 0.1]], [[0.2, 0.5, 0.9]], active, rule="replace"), [[0.25, 0.625, 0.125]])
    assert prefix_predictions([[0.7, 0.2, 0.1]], [[0.2, 0.5, 0.9]], rule="replace").tolist() == [[0, 0, 1, 2]]
    assert prefix_predictions([[0.7, 0.2, 0.1]], [[0.1, 0.5, 0.9]], rule="replace").tolist() == [[0, 1, 1, 2]]


def test_prefix_correct_and_its_shape():
    correct = prefix_correct([[0.7, 0.2, 0.1]], [[0.01, 0.9, 0.1]], [1])
    assert correct.dtype == bool
    assert correct.tolist() == [[False, True, True, True]]


@pytest.mark.parametrize("classes", [2, 7])
def test_no_images(classes):
    empty = np.zeros((0, classes))
    assert combine(empty, empty, empty.astype(bool)).shape == (0, classes)
    assert prefix_predictions(empty, empty).shape == (0, classes + 1)
    assert prefix_correct(empty, empty, []).shape == (0, classes + 1)


def test_the_input_type_does_not_matter():
    rng = np.random.default_rng(0)
    switch_NK, expert_NK = rng.dirichlet(np.ones(5), 50).astype(np.float32), rng.random((50, 5)).astype(np.float32)
    active = switch_NK > 0.2
    p32 = combine(switch_NK, expert_NK, active)
    assert p32.dtype == np.float64
    np.testing.assert_array_equal(p32, combine(switch_NK.astype(float), expert_NK.astype(float), active))
    np.testing.assert_array_equal(p32, combine(np.asfortranarray(switch_NK), np.asfortranarray(expert_NK), active))


OK2 = [[0.5, 0.5]]
NO2 = [[False, False]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: combine([[0.5, np.nan]], OK2, NO2), r"switch_NK\[\(0, 1\)\] is nan"),
        (lambda: combine(OK2, [[0.5, 1.5]], NO2), r"expert_NK\[\(0, 1\)\] is 1.5.*logits"),
        (lambda: combine([[-3.0, 5.0]], OK2, NO2), "switch_NK.*logits"),
        (lambda: combine(OK2, [[0.5, 0.5, 0.5]], NO2), r"expert_NK has shape \(1, 3\) but switch_NK has \(1, 2\)"),
        (lambda: combine([0.5, 0.5], [0.5, 0.5], [True, True]), r"switch_NK has shape \(2,\)"),
        (lambda: combine([[1.0]], [[1.0]], [[True]]), "2 classes"),
        (lambda: combine(OK2, OK2, [[1, 0]]), "active_NK is int64.*bool"),
        (lambda: combine(OK2, OK2, [True, False]), "active_NK"),
        (lambda: combine([["a", "b"]], OK2, NO2), "switch_NK is not an array of numbers"),
        (lambda: combine(OK2, OK2, NO2, rule="sum"), "unknown combination rule 'sum'; known: product, product_calibrated, replace"),
        (lambda: combine(OK2, OK2, NO2, rule="product_calibrated"), "needs prior_K"),
        (lambda: combine(OK2, OK2, NO2, prior_K=[0.5, 0.5]), "takes no prior_K"),
        (lambda: combine(OK2, OK2, NO2, rule="product_calibrated", prior_K=[0.5, 1.0]), "prior_K"),
        (lambda: combine(OK2, OK2, NO2, rule="product_calibrated", prior_K=[0.5]), r"prior_K has shape \(1,\)"),
        (lambda: prefix_correct(OK2, OK2, [2]), "labels_N runs from 2 to 2; needed: 0..1"),
        (lambda: prefix_correct(OK2, OK2, [-1]), "labels_N"),
        (lambda: prefix_correct(OK2, OK2, [0.0]), "whole numbers"),
        (lambda: prefix_correct(OK2, OK2, [0, 1]), r"labels_N has shape \(2,\)"),
    ],
)
def test_bad_input_is_one_line(call, text):
    with pytest.raises(MetannError, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_published_tables():
    """Accuracy and active classes of the published MobileNetV2 tables, counted with nothing of this project."""
    if not SHARED.exists():
        pytest.skip(
            "published probability tables are not beside this checkout (../shared/data/probabilities): reference counts NOT checked"
        )
    switch_NK, labels_N = np.load(SHARED / "mobilenet_v2_test.npy"), np.load(SHARED / "labels_test.npy")
    correct = prefix_correct(switch_NK, switch_NK, labels_N)  # the empty expert set's answer, E = S, for every class
    assert correct[:, 0].mean() == 0.8936
    # rank of the true class: with perfect experts (1 for the true class, 0 else) prefix j is right where it holds the true class
    perfect = prefix_correct(switch_NK, np.eye(10)[labels_N], labels_N)
    share = {0.10: 0.9374, 0.17: 0.9208, 0.20: 0.9154, 0.26: 0.9075, 0.33: 0.9013}
    for t, expected in share.items():
        lengths_N = np.count_nonzero(switch_NK.astype(np.float64) >= t, axis=1)
        active_or_right = perfect[:, 0] | np.take_along_axis(np.argsort(np.argsort(-switch_NK)), labels_N[:, None], 1)[:, 0].__lt__(
            lengths_N
        )
        assert active_or_right.mean() == pytest.approx(expected, abs=1e-12)
        assert (perfect[:, 0] | perfect[np.arange(len(labels_N)), lengths_N]).mean() >= expected
