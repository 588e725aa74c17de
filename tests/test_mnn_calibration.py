"""metann.mnn.calibration: known temperatures are found again, and the published tables give the measured ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mnn_combination import SHARED, tables

from metann.errors import MetannError
from metann.mnn.calibration import apply_expert_temperature, apply_temperature, base_rates, fit_expert_temperature, fit_temperature


def softmax(logits_NK):
    p_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return p_NK / p_NK.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_finds_a_known_temperature(temperature):
    """Labels drawn from softmax(logits), table made with logits * T: dividing by T makes it true again."""
    rng = np.random.default_rng(1)
    logits_NK = rng.normal(0, 2, (20_000, 6))
    labels_N = (softmax(logits_NK).cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1).clip(0, 5)
    sure_NK = softmax(logits_NK * temperature)
    found = fit_temperature(sure_NK, labels_N)
    assert found == pytest.approx(temperature, rel=0.03)
    losses = [-np.log(apply_temperature(sure_NK, found * f)[np.arange(20_000), labels_N]).mean() for f in (0.99, 1, 1.01)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_a_known_expert_temperature(temperature):
    rng = np.random.default_rng(2)
    logit_N = rng.normal(1, 2, 20_000)
    target_N = rng.random(20_000) < 1 / (1 + np.exp(-logit_N))
    assert fit_expert_temperature(1 / (1 + np.exp(-logit_N * temperature)), target_N) == pytest.approx(temperature, rel=0.04)


def test_an_expert_is_a_classifier_of_two_classes():
    rng = np.random.default_rng(3)
    expert_N = rng.random(500)
    target_N = rng.random(500) < expert_N**2 / (expert_N**2 + (1 - expert_N) ** 2)
    two_N2 = np.stack([1 - expert_N, expert_N], axis=1)
    assert fit_expert_temperature(expert_N, target_N) == pytest.approx(fit_temperature(two_N2, target_N.astype(int)), rel=1e-4)
    np.testing.assert_allclose(apply_expert_temperature(expert_N, 1.7), apply_temperature(two_N2, 1.7)[:, 1], rtol=1e-12)


@given(tables(), st.floats(0.05, 20))
def test_applying(drawn, temperature):
    p_NK = drawn[0] / np.maximum(drawn[0].sum(axis=1, keepdims=True), 1e-300)
    got_NK = apply_temperature(p_NK, temperature)
    full = p_NK.sum(axis=1) > 0
    np.testing.assert_allclose(got_NK[full].sum(axis=1), 1)
    np.testing.assert_allclose(apply_temperature(p_NK, 1), p_NK, rtol=1e-12)
    assert (got_NK[p_NK == 0] == 0).all()
    np.testing.assert_array_equal(np.take_along_axis(got_NK, p_NK.argmax(axis=1)[:, None], 1)[:, 0], got_NK.max(axis=1))
    with np.errstate(divide="ignore"):
        expected_NK = softmax(np.where(p_NK > 0, np.log(np.where(p_NK > 0, p_NK, 1)), -np.inf)[full] / temperature)
    np.testing.assert_allclose(got_NK[full], expected_NK, rtol=1e-9, atol=1e-300)


def test_expert_ends_stay():
    got = apply_expert_temperature([0.0, 0.2, 0.5, 1.0], 4.0)
    np.testing.assert_allclose(got, [0, 1 / (1 + 4**0.25), 0.5, 1])
    np.testing.assert_allclose(apply_expert_temperature([1e-300, 0.3], 0.05), [0, 1 / (1 + (7 / 3) ** 20)], rtol=1e-9)


@pytest.mark.parametrize(
    ("p_NK", "labels_N"),
    [
        (np.zeros((0, 3)), []),
        (np.full((9, 3), 1 / 3), [0, 1, 2] * 3),  # rows without preference
        ([[0.6, 0.4], [0.7, 0.3]], [0, 0]),  # all right: T would fall to 0
        ([[0.6, 0.4]], [1]),  # all wrong: T would grow without end
        ([[1.0, 0.0]], [0]),
    ],
)
def test_nothing_to_learn_is_a_temperature_of_one(p_NK, labels_N):
    assert fit_temperature(p_NK, labels_N) == 1
    p_NK, labels_N = np.asarray(p_NK), np.asarray(labels_N, int)
    if p_NK.shape[1] == 2:
        assert fit_expert_temperature(p_NK[:, 1], labels_N == 1) == 1


def test_rounded_ends_count_as_what_they_may_have_been():
    """2,000 images at exactly 1 and right, one at exactly 0 and wrong: a finite loss, and the T that balances the two.

    With l the log of the rounded zero, the optimum of the loss has 1/2001 = softmax weight of the wrong class: T = l / log 2000.
    """
    p_NK = np.repeat(np.array([[1, 0]], np.float32), 2001, axis=0)
    labels_N = np.repeat([0, 1], [2000, 1])
    assert fit_temperature(p_NK, labels_N) == pytest.approx(150 * np.log(2) / np.log(2000), rel=1e-3)
    assert fit_expert_temperature(p_NK[:, 0], labels_N == 0) == pytest.approx(25 * np.log(2) / np.log(2000), rel=1e-3)


def test_base_rates():
    switch_NK = [[0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.9, 0.1, 0.0]]
    np.testing.assert_allclose(base_rates(switch_NK, [0, 0, 1], 0.3), [3 / 6, 1 / 5, 1 / 3])
    assert base_rates(np.array([[0.7, 0.3]], np.float32), [0], 0.7).tolist() == [0.5, 0.5]  # float32(0.7) < 0.7: not active
    np.testing.assert_allclose(base_rates(np.zeros((0, 4)), [], 0.1), [0.25] * 4)


def test_bad_input():
    for value in (0, -1, np.nan, np.inf):
        with pytest.raises(MetannError, match="temperature"):
            apply_temperature([[0.5, 0.5]], value)
        with pytest.raises(MetannError, match="temperature"):
            apply_expert_temperature([0.5], value)
    with pytest.raises(MetannError, match="target_N is int64"):
        fit_expert_temperature([0.5], [1])
    with pytest.raises(MetannError, match=r"expert_N\[1\] is 2.0"):
        fit_expert_temperature([0.5, 2.0], [True, False])
    with pytest.raises(MetannError, match="expert_N has shape"):
        apply_expert_temperature([[0.5]], 1)


@pytest.mark.parametrize(("network", "temperature"), [("resnet18", 1.066), ("vgg19_bn", 1.284), ("googlenet", 0.861)])
def test_published_tables(network, temperature):
    if not SHARED.exists():
        pytest.skip("published probability tables are not beside this checkout (../shared/data/probabilities): temperatures NOT checked")
    p_NK, labels_N = np.load(SHARED / f"{network}_test.npy")[:5000], np.load(SHARED / "labels_test.npy")[:5000]
    assert fit_temperature(p_NK, labels_N) == pytest.approx(temperature, abs=0.001)
