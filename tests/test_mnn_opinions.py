"""A second opinion, against loops; and each expert's own question, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from metann.errors import MetannError
from metann.mnn.opinions import BOUNDS, chosen_bound, opinion_at
from metann.mnn.self_check import area_under_curve, measured, self_check
from metann.mnn.training_length import Trained, training_length


def tables(n: int = 300, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(0, classes, n)
    raw = [np.exp(1.5 * np.eye(classes)[labels_N] + rng.normal(size=(n, classes))) for _ in range(2)]
    switch_NK, other_NK = (p / p.sum(axis=1, keepdims=True) for p in raw)
    return switch_NK, other_NK, labels_N


@pytest.mark.parametrize("bound", [0.0, 0.5, 0.8, 1.0])
def test_an_opinion_by_loops(bound: float) -> None:
    switch_NK, other_NK, labels_N = tables()
    found = opinion_at(bound, switch_NK, other_NK, labels_N)
    for n, (s_K, p_K) in enumerate(zip(switch_NK, other_NK, strict=True)):
        asked = max(s_K) < bound
        score_K = [s * p for s, p in zip(s_K, p_K, strict=True)] if asked else list(s_K)
        assert found.asked_N[n] == asked
        assert found.right_N[n] == (score_K.index(max(score_K)) == labels_N[n])


def test_the_bound_is_the_best_on_validation_and_of_equals_the_cheapest() -> None:
    switch_NK, other_NK, labels_N = tables()
    right = {bound: opinion_at(bound, switch_NK, other_NK, labels_N).right_N.sum() for bound in BOUNDS}
    bound = chosen_bound(switch_NK, other_NK, labels_N)
    assert right[bound] == max(right.values())
    assert all(count < right[bound] for other, count in right.items() if other < bound)
    assert chosen_bound(switch_NK, switch_NK, labels_N) == 0.0, "the switch itself is no second opinion"


def test_ties_go_to_the_switch_as_everywhere() -> None:
    half = np.array([[0.5, 0.5]])
    assert opinion_at(0.0, half, half, [0]).right_N.all()
    assert opinion_at(1.0, half, half, [0]).right_N.all()


def test_who_is_at_the_bound_is_not_asked() -> None:
    switch_NK, other_NK = np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([[0.01, 0.99], [0.01, 0.99]])
    at = opinion_at(0.75, switch_NK, other_NK, [0, 1])
    assert at.bound == 0.75
    assert not at.asked_N.any()
    assert at.right_N.all()
    above = opinion_at(np.nextafter(0.75, 1), switch_NK, other_NK, [0, 1])
    assert above.asked_N.all()
    assert above.right_N.tolist() == [False, True]


def test_opinions_of_tables_that_do_not_belong_together() -> None:
    switch_NK, other_NK, labels_N = tables(n=6)
    with pytest.raises(MetannError, match="switch_NK"):
        opinion_at(0.5, switch_NK * np.nan, other_NK, labels_N)
    for other in (other_NK[:5], other_NK[:, :3], other_NK * np.nan):
        with pytest.raises(MetannError, match="other_NK"):
            opinion_at(0.5, switch_NK, other, labels_N)
    with pytest.raises(MetannError, match="label"):
        opinion_at(0.5, switch_NK, other_NK, labels_N + 4)


def test_the_self_check_takes_the_images_that_reach_the_threshold_in_float64() -> None:
    """float32(0.7) lies below 0.7 and float32(0.1) above 0.1; of 0.5 each says yes."""
    switch_NK = np.array([[0.7, 0.3], [0.1, 0.9], [0.5, 0.5]], np.float32)
    expert_NK, labels_N = np.array([[0.5, 0.5], [0.2, 0.6], [0.9, 0.1]]), np.array([0, 1, 0])
    split_N = np.array(["test"] * 3)
    for threshold, counts in ((0.7, [0, 1]), (0.1, [3, 3]), (0.5, [2, 2])):
        rows = self_check(switch_NK, expert_NK, labels_N, split_N, ["a", "b"], threshold)
        assert [row["n"] for row in rows if row["images"] == "asked"] == counts
        assert [row["n"] for row in rows if row["images"] == "all"] == [3, 3]
    whole = {row["class"]: row for row in rows if row["images"] == "all"}
    # Expert 0: 0.5 for class 0 (yes, right), 0.2 (no, right), 0.9 (yes, right). Switch: 0.7, 0.1, 0.5: all right.
    assert (whole[0]["accuracy"], whole[0]["switch_accuracy"], whole[0]["fixed"], whole[0]["broken"]) == (1.0, 1.0, 0, 0)
    # Expert 1: 0.5 (yes, wrong), 0.6 (yes, right), 0.1 (no, right). Switch: 0.3, 0.9, 0.5 (yes, wrong).
    assert (whole[1]["accuracy"], whole[1]["switch_accuracy"]) == pytest.approx((2 / 3, 2 / 3))
    assert (whole[1]["fixed"], whole[1]["broken"], whole[1]["mcnemar_p"]) == (1, 1, 1.0)


def test_the_area_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    for ties in (False, True):
        score_N, positive_N = rng.random(200), rng.random(200) < 0.3
        if ties:
            score_N = np.round(score_N, 1)
        assert area_under_curve(score_N, positive_N) == pytest.approx(roc_auc_score(positive_N, score_N))
        found = measured(score_N, positive_N)
        assert found["accuracy"] == pytest.approx(accuracy_score(positive_N, score_N >= 0.5))
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(positive_N, score_N >= 0.5))


def test_one_side_has_no_area() -> None:
    assert np.isnan(area_under_curve([0.2, 0.3], [True, True]))
    assert np.isnan(area_under_curve([], []))
    assert np.isnan(list(measured(np.zeros(0), np.zeros(0, bool)).values())).all()


def test_each_expert_is_checked_on_asked_images_and_on_all() -> None:
    switch_NK, other_NK, labels_N = tables()
    split_N = np.where(np.arange(300) % 3 == 0, "val", "test")
    rows = self_check(switch_NK, other_NK, labels_N, split_N, list("abcd"), 0.3)
    assert len(rows) == 2 * 4 * 2
    for row in rows:
        c, name = row["class"], "abcd"[row["class"]]
        mine = (split_N == row["split"]) & ((switch_NK[:, c] >= 0.3) | (row["images"] == "all"))
        own_N, s_N, e_N = labels_N[mine] == c, switch_NK[mine, c], other_NK[mine, c]
        assert (row["class_name"], row["n"], row["positives"]) == (name, mine.sum(), own_N.sum())
        assert row["auc"] == pytest.approx(roc_auc_score(own_N, e_N))
        assert row["switch_auc"] == pytest.approx(roc_auc_score(own_N, s_N))
        right, before = (e_N >= 0.5) == own_N, (s_N >= 0.5) == own_N
        assert (row["fixed"], row["broken"]) == ((right & ~before).sum(), (before & ~right).sum())
        assert row["accuracy"] - row["switch_accuracy"] == pytest.approx((row["fixed"] - row["broken"]) / mine.sum())


def test_all_the_training_is_images_times_share() -> None:
    experts = [Trained(images=100, epochs=4, share=1.0), Trained(images=50, epochs=2, share=0.6)]
    # 460 images' worth of experts are 4.6 epochs of 100 images: rounded up to 5
    assert training_length([8], experts, 100) == {"epochs": 13, "expert_images": 500}
    assert training_length([8, 8], experts, 100)["epochs"] == 21
    assert training_length([8], [Trained(5, 1, 0.6)], 3)["epochs"] == 9, "0.6 * 5 / 3 is one epoch, not one and a rounding error"
    assert training_length([0], [], 100) == {"epochs": 1, "expert_images": 0}
    assert training_length([2], [Trained(3, 1, 1.0)], 0)["epochs"] == 5, "no images: as if one"
    assert training_length([2], [Trained(10_000_001, 1, 1.0)], 10_000_000)["epochs"] == 4, "a little more than one epoch is two"
