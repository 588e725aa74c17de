"""Experts that answer for all classes, against loops over images and classes; and the two weights of the calibrated product."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metann.errors import MetannError
from metann.mnn.calibration import UNSURE, WEIGHTS, calibrated, fit_expert_temperature, fit_weights
from metann.mnn.combination import RULES, combine, log_odds_added
from metann.mnn.prefix_table import prefix_correct, prefix_order
from metann.mnn.single import combine_one, combine_one_vector
from metann.mnn.vectors import combine_vectors, vector_predictions
from metann.tables.probabilities import Probabilities


def distributions(*shape: int, seed: int = 0, zeros: bool = False) -> np.ndarray:
    p = np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])
    if zeros:
        p[..., 0] = np.where(p[..., 0] < 0.3, 0.0, p[..., 0])
        p /= p.sum(axis=-1, keepdims=True)
    return p


def by_loops(switch_K: np.ndarray, answers: list[np.ndarray], rule: str, weights: tuple[float, float]) -> list[float]:
    """Probabilities of one image: powers multiplied, class by class, as the definition says."""
    a = (0.0 if rule == "replace" else weights[0]) if answers else 1.0
    score_K = [p**a * math.prod(answer_K[k] ** weights[1] for answer_K in answers) for k, p in enumerate(switch_K)]
    return [score / sum(score_K) for score in score_K]


@pytest.mark.parametrize("rule", RULES)
def test_every_prefix_is_the_product_by_loops(rule: str) -> None:
    weights = (0.7, 1.3) if rule == "product_calibrated" else (1.0, 1.0)
    switch_NK, expert_NEK = distributions(30, 4), distributions(30, 4, 4, seed=1)
    order_NK = prefix_order(switch_NK)
    prediction_NJ = vector_predictions(switch_NK, expert_NEK, rule=rule, weights=weights)
    for n in range(30):
        for j in range(5):
            asked = order_NK[n, :j]
            wanted_K = by_loops(switch_NK[n], [expert_NEK[n, m] for m in asked], rule, weights)
            assert prediction_NJ[n, j] == int(np.argmax(wanted_K))
            got_K = combine_vectors(switch_NK[n : n + 1], np.zeros(j, int), expert_NEK[n, asked], rule=rule, weights=weights)[0]
            assert got_K == pytest.approx(wanted_K, rel=1e-9)
            one_K = combine_one_vector(switch_NK[n].tolist(), expert_NEK[n, asked].tolist(), rule=rule, weights=weights)
            assert one_K == pytest.approx(wanted_K, rel=1e-9)


def test_exact_zeros_count_as_elsewhere() -> None:
    switch_NK, expert_NEK = distributions(40, 3, zeros=True), distributions(40, 3, 3, seed=2, zeros=True)
    prediction_NJ = vector_predictions(switch_NK, expert_NEK)
    for n in range(40):
        all_K = combine_vectors(switch_NK[n : n + 1], np.zeros(3, int), expert_NEK[n], rule="product")[0]
        assert np.isfinite(all_K).all()
        assert prediction_NJ[n, 3] == all_K.argmax()


def test_an_answer_of_one_class_alone_is_the_published_product() -> None:
    """v_c of the report holds E_c at c and (1 - E_c) / (K - 1) elsewhere: as an answer for all classes it gives the same predictions."""
    switch_NK, expert_NK = distributions(200, 5), np.random.default_rng(3).uniform(0.01, 0.99, (200, 5))
    labels_N = np.random.default_rng(4).integers(0, 5, 200)
    vectors_NEK = np.repeat(((1 - expert_NK) / 4)[:, :, None], 5, axis=2)
    vectors_NEK[:, np.arange(5), np.arange(5)] = expert_NK
    correct_NJ = vector_predictions(switch_NK, vectors_NEK) == labels_N[:, None]
    assert np.array_equal(correct_NJ, prefix_correct(switch_NK, expert_NK, labels_N))


def test_a_wrong_shape_is_one_line() -> None:
    with pytest.raises(MetannError, match=r"expert_NEK has shape \(2, 3\); needed: \(2, 3, 3\)"):
        vector_predictions(distributions(2, 3), distributions(2, 3))
    with pytest.raises(MetannError, match="combination rule"):
        vector_predictions(distributions(2, 3), distributions(2, 3, 3), rule="sum")


@given(arrays(np.float64, (6, 4), elements=st.floats(0.01, 1)), st.floats(0.05, 5), st.floats(0, 5))
def test_weights_scale_switch_and_experts(raw_NK: np.ndarray, a: float, b: float) -> None:
    switch_NK = raw_NK / raw_NK.sum(axis=1, keepdims=True)
    expert_NK, active_NK = 1 - raw_NK / 2, raw_NK > 0.5
    prior_K = np.full(4, 0.3)
    got_NK = combine(switch_NK, expert_NK, active_NK, rule="product_calibrated", prior_K=prior_K, weights=(a, b))
    added_K = log_odds_added("product_calibrated", prior_K, 4)
    for n in range(6):
        score_K = [
            a * math.log(switch_NK[n, k])
            + (b * (math.log(expert_NK[n, k] / (1 - expert_NK[n, k])) - math.log(0.3 / 0.7)) if active_NK[n, k] else 0.0)
            for k in range(4)
        ]
        power_K = np.exp(np.array(score_K) - max(score_K))
        assert got_NK[n] == pytest.approx(power_K / power_K.sum(), rel=1e-6)
        answers = {k: expert_NK[n, k] for k in range(4) if active_NK[n, k]}
        one_K = combine_one(switch_NK[n].tolist(), answers, rule="product_calibrated", added_K=added_K.tolist(), weights=(a, b))
        assert one_K == pytest.approx(got_NK[n].tolist(), rel=1e-9)


def sampled(a: float, b: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms, and labels that are drawn by softmax(a log S + b added)."""
    rng = np.random.default_rng(5)
    log_NK, added_NK = np.log(distributions(n, 4, seed=6)), rng.normal(size=(n, 4))
    score_NK = a * log_NK + b * added_NK
    return log_NK, added_NK, (score_NK + rng.gumbel(size=score_NK.shape)).argmax(axis=1)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.4, 0.8), (2.0, 0.0)])
def test_weights_are_found_again(a: float, b: float) -> None:
    assert fit_weights(*sampled(a, b)) == pytest.approx((a, b), abs=0.06)


def test_the_weights_have_the_least_loss() -> None:
    log_NK, added_NK, labels_N = sampled(0.5, 1.5, 500)

    def loss(a: float, b: float) -> float:
        score_NK = a * log_NK + b * added_NK
        return float((np.logaddexp.reduce(score_NK, axis=1) - score_NK[np.arange(500), labels_N]).mean())

    a, b = fit_weights(log_NK, added_NK, labels_N)
    assert all(loss(a, b) <= loss(a + da, b + db) + 1e-9 for da in (-0.02, 0, 0.02) for db in (-0.02, 0, 0.02))


def test_without_anything_to_fit_both_count_the_same() -> None:
    assert fit_weights(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, int)) == (1.0, 1.0)
    assert fit_weights(np.log(distributions(5, 3)), np.zeros((5, 3)), np.zeros(5, int)) == (1.0, 1.0)


@pytest.mark.parametrize("for_all", [False, True])
@pytest.mark.parametrize("temperature", ["none", "validation"])
def test_calibration_fits_on_unsure_validation_images_only(for_all: bool, temperature: str) -> None:
    rng, n = np.random.default_rng(8), 400
    labels_N, split_N = rng.integers(0, 3, n).astype(np.int16), np.repeat(np.array(["val", "test"]), n // 2)
    raw_NK = np.exp(2 * np.eye(3)[labels_N] + rng.normal(size=(n, 3)))
    p_NK = (raw_NK / raw_NK.sum(axis=1, keepdims=True)).astype(np.float32)
    table = Probabilities(np.arange(n, dtype=np.int32), split_N, labels_N, {}, p_NK=p_NK, log_partition=np.zeros(n, np.float32))
    experts = np.repeat(p_NK[:, None], 3, axis=1) if for_all else p_NK.astype(np.float64)
    found = calibrated(table, experts, 0.1, "product_calibrated", temperature)
    assert (found.prior_K is None) == for_all
    assert bool(found.temperatures) == (temperature == "validation")
    (low_a, high_a), (low_b, high_b) = WEIGHTS
    assert low_a <= found.weights[0] <= high_a
    assert low_b <= found.weights[1] <= high_b
    assert found.weights != (1.0, 1.0)
    changed = experts.copy()
    changed[n // 2 :] = changed[n // 2 :][::-1]
    assert calibrated(table, changed, 0.1, "product_calibrated", temperature).weights == found.weights, "test images were looked at"
    assert calibrated(table, experts, 0.1, "product", "none").weights == (1.0, 1.0)


def test_scores_that_round_to_one_probability_keep_their_class() -> None:
    """Within a few ulp of 1 two scores differ and their probabilities do not; the class is the prefix table's, image by image too."""
    rng = np.random.default_rng(0)
    switch_NK, answer_NK = (1 - rng.integers(0, 4, (4_000, 3)) * 2.0**-53 for _ in range(2))
    expert_NEK = np.broadcast_to(answer_NK[:, None], (4_000, 3, 3))
    for rule in ("product", "replace"):
        wanted_N = vector_predictions(switch_NK, expert_NEK, rule=rule)[:, 1]
        assert (combine_vectors(switch_NK, np.arange(4_000), answer_NK, rule=rule).argmax(axis=1) == wanted_N).all()
        for switch_K, answer_K in zip(switch_NK.tolist(), answer_NK.tolist(), strict=True):
            # By math.log, which may differ from numpy's in the last bit.
            score_K = [(rule == "product") * math.log(s) + math.log(e) for s, e in zip(switch_K, answer_K, strict=True)]
            one_K = combine_one_vector(switch_K, [answer_K], rule=rule, weights=(1.0, 1.0))
            assert one_K.index(max(one_K)) == score_K.index(max(score_K))


def test_one_image_of_saturated_experts_is_what_the_batch_says() -> None:
    expert_NK = 1 - np.random.default_rng(1).integers(0, 4, (4_000, 3)) * 2.0**-53
    batch_NK = combine(expert_NK, expert_NK, np.ones((4_000, 3), bool), rule="replace")
    for row_K, wanted_K in zip(expert_NK.tolist(), batch_NK, strict=True):
        one_K = combine_one(row_K, dict(enumerate(row_K)), rule="replace", added_K=[0.0] * 3)
        assert np.argmax(one_K) == wanted_K.argmax()


def calibration_case(n: int = 600, classes: int = 3) -> tuple[Probabilities, np.ndarray]:
    """A table of validation and test, and answers of experts of one class each, who know something that the switch does not."""
    rng = np.random.default_rng(5)
    labels_N, split_N = rng.integers(0, classes, n).astype(np.int16), np.repeat(np.array(["val", "test"]), n // 2)
    raw_NK = np.exp(np.eye(classes)[labels_N] + rng.normal(size=(n, classes)))
    p_NK = (raw_NK / raw_NK.sum(axis=1, keepdims=True)).astype(np.float32)
    expert_NK = 1 / (1 + np.exp(-(3 * np.eye(classes)[labels_N] - 1.5 + rng.normal(size=(n, classes)))))
    ids_N, zeros_N = np.arange(n, dtype=np.int32), np.zeros(n, np.float32)
    return Probabilities(ids_N, split_N, labels_N, {}, p_NK=p_NK, log_partition=zeros_N), expert_NK


def test_the_two_weights_are_the_best_of_a_grid_of_the_loss_by_loops() -> None:
    """Experts that answer for one class each: the negative log-likelihood of unsure validation images, with the experts that are asked."""
    table, expert_NK = calibration_case()
    threshold = 0.2
    found = calibrated(table, expert_NK, threshold, "product_calibrated", "none")
    assert np.array_equal(found.switch_NK, table.p_NK)
    assert np.array_equal(found.experts, expert_NK)
    rows = [n for n in range(len(table)) if table.split[n] == "val" and table.p_NK[n].max() < UNSURE]

    def loss(a: float, b: float) -> float:
        total = 0.0
        for n in rows:
            score_K = []
            for k in range(3):
                s, e, prior = float(table.p_NK[n, k]), expert_NK[n, k], found.prior_K[k]
                odds = math.log(e / (1 - e)) - math.log(prior / (1 - prior))
                score_K.append(a * math.log(s) + (b * odds if s >= threshold else 0.0))
            top = max(score_K)
            total += top + math.log(sum(math.exp(score - top) for score in score_K)) - score_K[table.label[n]]
        return total / len(rows)

    best = loss(*found.weights)
    (low_a, high_a), (low_b, high_b) = WEIGHTS
    around = [(da, db) for da in (-0.02, 0, 0.02) for db in (-0.02, 0, 0.02)]
    for a, b in [(found.weights[0] + da, found.weights[1] + db) for da, db in around] + [(1.0, 1.0), (0.5, 0.5), (1.0, 0.1), (1.5, 1.0)]:
        if low_a <= a <= high_a and low_b <= b <= high_b:
            assert best <= loss(a, b) + 1e-9


def test_an_expert_is_asked_from_the_dataset_threshold_on_when_weights_and_temperatures_are_fitted() -> None:
    """Switches that say exactly the threshold, in float32, count; one ulp more and they do not."""
    table, expert_NK = calibration_case()
    p_NK = np.tile(np.array([0.5, 0.25, 0.25], np.float32), (len(table), 1))
    even = replace(table, p_NK=p_NK)
    at, above = 0.25, float(np.nextafter(0.25, 1))
    for temperature in ("none", "validation"):
        with_them, without = (calibrated(even, expert_NK, t, "product_calibrated", temperature) for t in (at, above))
        assert with_them.weights != without.weights
    fitted = calibrated(even, expert_NK, at, "product", "validation").temperatures
    assert set(fitted) == {"switch", "experts"}
    val = table.rows("val")
    wanted = [fit_expert_temperature(expert_NK[val, c], table.label[val] == c) for c in range(3)]
    assert fitted["experts"] == pytest.approx(wanted)
    only_first = calibrated(even, expert_NK, above, "product", "validation").temperatures["experts"]
    assert only_first[0] == pytest.approx(wanted[0])
    assert only_first[1:] == [1.0, 1.0]  # nobody was asked


@pytest.mark.parametrize("rule", RULES)
def test_one_image_with_exact_zeros_and_ones(rule: str) -> None:
    """Probabilities of exactly 0 and 1, of switch and experts, image by image as in the batch."""
    ends = [0.0, 1.0, 0.3, 1e-300]
    prior_K = np.array([0.2, 0.3, 0.5]) if rule == "product_calibrated" else None
    added_K = log_odds_added(rule, prior_K, 3)
    for switch_K in itertools.product(ends, repeat=3):
        for expert_K in itertools.product(ends, repeat=3):
            batch_K = combine(np.array([switch_K]), np.array([expert_K]), np.array([[True, True, False]]), rule=rule, prior_K=prior_K)[0]
            one_K = combine_one(switch_K, {0: expert_K[0], 1: expert_K[1]}, rule=rule, added_K=added_K.tolist())
            assert one_K == pytest.approx(batch_K.tolist(), abs=1e-12)
            vector_K = combine_vectors(np.array([switch_K]), np.zeros(1, int), np.array([expert_K]), rule=rule)[0]
            assert combine_one_vector(switch_K, [expert_K], rule=rule, weights=(1.0, 1.0)) == pytest.approx(vector_K.tolist(), abs=1e-12)


def test_no_images_and_rules_that_are_none() -> None:
    assert vector_predictions(np.zeros((0, 3)), np.zeros((0, 3, 3))).shape == (0, 4)
    assert vector_predictions(distributions(2, 3), distributions(2, 3, 3)).dtype == np.int64
    with pytest.raises(MetannError, match="'produkt'"):
        vector_predictions(distributions(2, 3), distributions(2, 3, 3), rule="produkt")
    with pytest.raises(MetannError, match="switch_NK"):
        vector_predictions(np.full((2, 3), np.nan), distributions(2, 3, 3))
    with pytest.raises(MetannError, match="expert_NEK"):
        vector_predictions(distributions(2, 3), np.full((2, 3, 3), np.nan))
