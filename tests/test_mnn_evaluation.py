"""metann.mnn.evaluation against loops over images, and the published tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mnn_combination import SHARED, tables

from metann import registry
from metann.errors import MetannError
from metann.mnn import expert_sets, prefix_table, switch_functions
from metann.mnn.combination import combine
from metann.mnn.curve import curve_from_prefix
from metann.mnn.evaluation import correct_at, evaluate_lengths, evaluate_thresholds, lengths_at, prefix_lengths, prefix_mask
from metann.mnn.prefix import Prefix, cell, cells
from metann.mnn.prefix_table import prefix_correct, prefix_predictions
from metann.mnn.setting import functions_in


@st.composite
def prefix_tables(draw):
    """A switch and a prefix table that belongs to nothing: any state may be right."""
    switch_NK = draw(tables(rows=8))[0]
    n, classes = switch_NK.shape
    row = st.lists(st.booleans(), min_size=classes + 1, max_size=classes + 1)
    return switch_NK, np.array(draw(st.lists(row, min_size=n, max_size=n)))


@pytest.mark.parametrize("block", [1, 7, 40, 10**6])
def test_blocks_of_any_size_count_the_same(rng, monkeypatch, block):
    switch_NK, expert_NK, labels_N = rng.dirichlet(np.ones(5), 83), rng.random((83, 5)), rng.integers(0, 5, 83)
    thresholds_T = [0.1, 0.9, 0.3, *switch_NK[0]]
    whole_NJ = np.stack([prefix_predictions(s[None], e[None])[0] for s, e in zip(switch_NK, expert_NK, strict=True)]) == labels_N[:, None]
    monkeypatch.setattr(prefix_table, "_BLOCK", block)
    assert (prefix_correct(switch_NK, expert_NK, labels_N) == whole_NJ).all()
    assert ((prefix_predictions(switch_NK, expert_NK) == labels_N[:, None]) == whole_NJ).all()
    found = evaluate_thresholds(switch_NK, whole_NJ, thresholds_T)
    for i, t in enumerate(thresholds_T):
        one = evaluate_lengths(whole_NJ, (switch_NK >= t).sum(axis=1))
        assert (found.correct[i], found.fixed[i], found.broken[i]) == (one.correct, one.fixed, one.broken)
        assert found.mean_experts[i] == one.mean_experts


def test_all_cells_at_once_are_the_cells_one_by_one(rng):
    """Bit for bit, float32 probabilities on the thresholds included."""
    split_N = np.where(np.arange(90) % 3, "test", "val")
    switch_NK = rng.choice(np.float32([0.1, 0.2, 0.25, 0.3]), (90, 4))
    metadata = {"seed": 0, "dataset_threshold": 0.1, "class_names": list("abcd"), "switch_macs": 10, "expert_macs": 3, "trunk_macs": 7}
    prefix = Prefix(np.arange(90), split_N, rng.integers(0, 4, 90), switch_NK, rng.random((90, 5)) < 0.6, metadata)
    functions = functions_in([0.0, 0.1, 0.2, 0.25, 0.3, 1.0], ["top_k(2)", "none", "all"])
    together = list(cells(prefix, functions))
    assert [function for function, _ in together] == list(functions)
    for function, columns in together:
        for name, values in cell(prefix, function).items():
            assert np.array_equal(np.asarray(columns[name]), np.asarray(values), equal_nan=name == "test_threshold"), (function, name)


@given(prefix_tables(), st.data())
def test_lengths_by_loop(drawn, data):
    correct_NJ = drawn[1]
    n, states = correct_NJ.shape
    lengths = data.draw(st.lists(st.integers(0, states - 1), min_size=n, max_size=n))
    got = evaluate_lengths(correct_NJ, lengths)
    before, after = [row[0] for row in correct_NJ], [row[j] for row, j in zip(correct_NJ, lengths, strict=True)]
    assert (got.n, got.correct, got.baseline_correct) == (n, sum(after), sum(before))
    assert got.fixed == sum(a and not b for a, b in zip(after, before, strict=True))
    assert got.broken == sum(b and not a for a, b in zip(after, before, strict=True))
    assert got.mean_experts == pytest.approx(sum(lengths) / n)
    assert got.accuracy == sum(after) / n
    assert correct_at(correct_NJ, lengths).tolist() == after


@given(prefix_tables(), st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, np.inf]) | st.floats(-1, 2), min_size=1, max_size=8))
def test_grid_is_one_threshold_after_another(drawn, thresholds):
    """Unsorted and repeated thresholds too; and the exact curve says the same."""
    switch_NK, correct_NJ = drawn
    grid, curve = evaluate_thresholds(switch_NK, correct_NJ, thresholds), curve_from_prefix(switch_NK, correct_NJ)
    lengths_NT = lengths_at(switch_NK, thresholds)
    correct_NT = correct_at(correct_NJ, lengths_NT)
    for i, t in enumerate(thresholds):
        lengths_N = switch_functions.threshold(switch_NK, t)
        one = evaluate_lengths(correct_NJ, lengths_N)
        assert lengths_NT[:, i].tolist() == lengths_N.tolist()
        assert correct_NT[:, i].sum() == one.correct == curve.at(t).correct
        assert (grid.correct[i], grid.fixed[i], grid.broken[i]) == (one.correct, one.fixed, one.broken)
        assert grid.mean_experts[i] == pytest.approx(one.mean_experts)
        assert grid.baseline_correct == one.baseline_correct
    assert grid.correct.dtype == grid.fixed.dtype == np.int64


@pytest.mark.parametrize("name", registry.switch_functions())
def test_dispatch_knows_every_switch_function(name):
    switch_NK = np.random.default_rng(0).dirichlet(np.full(5, 0.3), 20)
    parameters = [2 if p == "k" else 0.4 for p in registry.switch_functions()[name]]
    expected = getattr(switch_functions, name)(switch_NK, *parameters)
    assert prefix_lengths(name, tuple(parameters), switch_NK).tolist() == expected.tolist()
    with pytest.raises(MetannError, match=f"switch function {name} takes"):
        prefix_lengths(name, [*parameters, 1.0], switch_NK)


@pytest.mark.parametrize("name", ["np", "_switch", "thresh", "checks"])
def test_dispatch_refuses_other_names(name):
    with pytest.raises(MetannError, match=f"unknown switch function '{name}'; known: all, contested, margin"):
        prefix_lengths(name, (), [[0.5, 0.5]])


@given(tables(), st.data())
def test_mask_is_the_prefix(drawn, data):
    """The prefix table, rebuilt from masks and `combine`: the argmax has the probability of a best class."""
    switch_NK, expert_NK, _ = drawn
    n, classes = switch_NK.shape
    lengths = data.draw(st.lists(st.integers(0, classes), min_size=n, max_size=n))
    mask_NK = prefix_mask(switch_NK, lengths)
    assert mask_NK.sum(axis=1).tolist() == lengths
    for s_K, mask_K in zip(switch_NK, mask_NK, strict=True):
        if mask_K.any() and not mask_K.all():
            assert s_K[mask_K].min() >= s_K[~mask_K].max()
    best_NK = combine(switch_NK, expert_NK, mask_NK)
    best_NK = best_NK >= best_NK.max(axis=1, keepdims=True) * (1 - 1e-9)
    for k in range(classes):
        right_N = correct_at(prefix_correct(switch_NK, expert_NK, np.full(n, k)), lengths)
        assert (best_NK[:, k] | ~right_N).all()


def test_no_images():
    empty = np.zeros((0, 4), bool)
    counts = evaluate_lengths(empty, [])
    assert (counts.n, counts.correct) == (0, 0)
    assert np.isnan([counts.accuracy, counts.mean_experts]).all()
    assert np.isnan(evaluate_thresholds(np.zeros((0, 3)), empty, [0.1, 0.2]).accuracy).all()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: evaluate_lengths(np.zeros((2, 4), bool), [0, 4]), "lengths_N runs from 0 to 4; needed: 0..3"),
        (lambda: evaluate_lengths(np.zeros((2, 4), bool), [0, -1]), "lengths_N runs from -1"),
        (lambda: evaluate_lengths(np.zeros((2, 4), bool), [0.0, 1.0]), "whole numbers"),
        (lambda: evaluate_lengths(np.zeros((2, 4), bool), [0]), r"shape \(1,\)"),
        (lambda: evaluate_lengths(np.zeros((2, 4)), [0, 0]), "correct_NJ is float64"),
        (lambda: correct_at(np.zeros((2, 4), bool), [[0], [4]]), "0..3"),
        (lambda: evaluate_thresholds([[0.5, 0.5]], np.zeros((1, 3), bool), [np.nan]), "NaN"),
        (lambda: evaluate_thresholds([[0.5, 0.5]], np.zeros((1, 4), bool), [0.1]), "correct_NJ has shape"),
        (lambda: prefix_mask([[0.5, 0.5]], [3]), "0..2"),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(MetannError, match=text):
        call()


def test_reference_counts_of_the_published_tables():
    """Images per class with S_c >= t, and mean active classes: counted elsewhere from the published files."""
    if not SHARED.exists():
        pytest.skip(
            "published probability tables are not beside this checkout (../shared/data/probabilities): reference counts NOT checked"
        )
    train_NK = np.load(SHARED / "mobilenet_v2_train.npy")
    counts = {
        0.10: [5712, 5162, 5519, 5950, 5532, 5507, 5748, 5546, 5672, 5705],
        0.17: [5406, 4959, 5254, 5529, 5148, 5105, 5355, 5246, 5365, 5179],
        0.30: [5153, 4808, 5024, 5138, 4945, 4860, 5035, 5060, 5141, 4893],
    }
    for t, expected in counts.items():
        assert prefix_mask(train_NK, switch_functions.threshold(train_NK, t)).sum(axis=0).tolist() == expected
    test_NK, labels_N = np.load(SHARED / "mobilenet_v2_test.npy"), np.load(SHARED / "labels_test.npy")
    grid = evaluate_thresholds(test_NK, prefix_correct(test_NK, test_NK, labels_N), [0.1, 0.17, 0.2, 0.3])
    assert grid.mean_experts.tolist() == pytest.approx([1.1618, 1.0757, 1.0557, 1.0116], abs=1e-12)
    assert grid.baseline_correct == 8936


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2, 0.5, 1.0])
def test_an_expert_learns_from_the_image_on_the_threshold(threshold):
    """`>=`, in float64: the value itself is in, its lower neighbour is out; in float32 0.1 is above 0.1, and 0.05's neighbour below."""
    around = np.array([np.nextafter(threshold, 0), threshold, np.nextafter(threshold, 2)])
    assert expert_sets.active(around, threshold).tolist() == [False, True, True]
    as_float32 = np.float32([threshold])
    assert expert_sets.active(as_float32, threshold).tolist() == [float(as_float32[0]) >= threshold]


def test_a_prefix_of_many_equal_classes_begins_with_the_lowest():
    """More classes than a sort that is not stable keeps in order."""
    switch_NK = np.tile(np.repeat([1 / 120, 2 / 120], 40), (2, 1))
    mask_NK = prefix_mask(switch_NK, [3, 43])
    assert np.flatnonzero(mask_NK[0]).tolist() == [40, 41, 42]
    assert np.flatnonzero(mask_NK[1]).tolist() == [0, 1, 2, *range(40, 80)]


def test_expert_sets_reach_their_threshold_in_float64():
    """float32(0.7) lies below 0.7, float32(0.1) above 0.1; compared in float32 both would be equal."""
    p_N = np.array([0.7, 0.1], np.float32)
    assert expert_sets.active(p_N, 0.7).tolist() == [False, False]
    assert expert_sets.active(p_N, float(p_N[0])).tolist() == [True, False]
    assert expert_sets.active(p_N, 0.1).tolist() == [True, True]
    assert expert_sets.active(p_N, float(np.nextafter(np.float64(p_N[1]), 1))).tolist() == [True, False]
