"""Measures of generated classifiers against naive loops and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

import metann.hypernetwork
from metann.errors import MetannError
from metann.hypernetwork.measures import (
    auc,
    balanced_accuracy,
    cross_entropy,
    effective_rank,
    principal_axes,
    reliance,
    saturation,
    steps_to,
    task_reliance,
    variance_share,
)

SHARES = st.integers(2, 7).flatmap(lambda tasks: arrays.arrays(np.float64, (tasks, tasks), elements=st.floats(0, 1)))
SEEDS = st.integers(0, 2**32 - 1)


@given(SHARES)
def test_reliance_is_diagonal_minus_rest(accuracy_TT: np.ndarray) -> None:
    tasks = len(accuracy_TT)
    own = [accuracy_TT[i, i] for i in range(tasks)]
    rest = [accuracy_TT[i, j] for i in range(tasks) for j in range(tasks) if i != j]
    assert reliance(accuracy_TT) == pytest.approx(sum(own) / len(own) - sum(rest) / len(rest), abs=1e-12)
    assert task_reliance(accuracy_TT).shape == (tasks,)


def test_reliance_of_known_cases() -> None:
    assert metann.hypernetwork.reliance is reliance
    assert reliance(np.full((5, 5), 0.8)) == pytest.approx(0)  # a general network
    assert reliance(np.eye(3)) == 1
    # Two tasks and their mirrors, always right: its own z 1, the mirror's 0, the others' on average 0.5.
    accuracy_TT = np.full((4, 4), 0.5)
    for i in range(4):
        accuracy_TT[i, i], accuracy_TT[i, (i + 2) % 4] = 1, 0
    assert reliance(accuracy_TT) == pytest.approx(1 - 1 / 3)
    assert isinstance(reliance([[1.0, 0.5], [0.25, 0.75]]), float)


@pytest.mark.parametrize("wrong", [[], [[1.0]], [1.0, 0.5], [[1.0, 0.5]], [[1.0, 50.0], [0.5, 1.0]], [[1.0, np.nan], [0.5, 1.0]]])
def test_reliance_refuses_what_is_no_matrix_of_accuracies(wrong: list) -> None:
    with pytest.raises(MetannError, match="reliance"):
        reliance(wrong)


@given(SEEDS, st.integers(2, 60), st.integers(1, 8))
def test_auc_is_that_of_scikit_learn(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    positive_N = np.arange(n) % n < rng.integers(1, n)
    scores_N = rng.integers(0, levels, n) / 3.0  # many ties
    assert auc(scores_N, positive_N) == pytest.approx(roc_auc_score(positive_N, scores_N), abs=1e-12)
    assert auc(scores_N, positive_N) + auc(scores_N, ~positive_N) == pytest.approx(1)


def test_auc_of_one_side_is_unknown() -> None:
    assert np.isnan(auc([0.1, 0.2], [True, True]))
    assert np.isnan(auc([0.1, 0.2], [False, False]))
    with pytest.raises(MetannError, match="auc"):
        auc([0.1, np.nan], [True, False])
    with pytest.raises(MetannError, match="auc"):
        auc([0.1], [True, False])


@given(SEEDS, st.integers(2, 40))
def test_counts_and_logits_give_scikit_learns_numbers(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    positive_N = np.arange(n) % n < rng.integers(1, n)
    logits_N = rng.normal(scale=3, size=n)
    right_N = (logits_N > 0) == positive_N
    counts = right_N.sum(), n, right_N[positive_N].sum(), positive_N.sum()
    assert balanced_accuracy(*counts) == pytest.approx(balanced_accuracy_score(positive_N, logits_N > 0))
    assert cross_entropy(logits_N, positive_N) == pytest.approx(log_loss(positive_N, 1 / (1 + np.exp(-logits_N))), rel=1e-9)


def test_balanced_accuracy_of_columns_and_of_one_side() -> None:
    found = balanced_accuracy(np.int32([9, 5, 5, 0]), np.int32([10, 10, 5, 0]), np.int32([1, 5, 0, 0]), np.int32([2, 5, 0, 0]))
    assert found[:3] == pytest.approx([(0.5 + 1) / 2, 0.5, 1])
    assert np.isnan(found[3])


def test_cross_entropy_is_finite_far_out() -> None:
    assert cross_entropy([1e4, -1e4], [False, False]) == pytest.approx(5e3)
    assert cross_entropy([[0.0], [0.0]], [[True], [False]]) == pytest.approx(np.log(2))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.1, 1))
def test_steps_to_a_share_of_the_last_accuracy(accuracies: list[float], share: float) -> None:
    steps = [10 * i for i in range(len(accuracies))]
    expected = next(step for step, accuracy in zip(steps, accuracies, strict=True) if accuracy >= share * accuracies[-1])
    assert steps_to(steps, accuracies, share) == expected


def test_steps_to_without_steps() -> None:
    assert np.isnan(steps_to([], []))
    with pytest.raises(MetannError, match="steps_to"):
        steps_to([0, 1], [0.5])


@given(SEEDS, st.integers(1, 6), st.integers(1, 6))
def test_variance_share_is_a_share(seed: int, tasks: int, numbers: int) -> None:
    theta_TP = np.random.default_rng(seed).normal(loc=1, size=(tasks, numbers))
    variance = sum(np.mean((theta_TP[:, p] - theta_TP[:, p].mean()) ** 2) for p in range(numbers))
    square = sum(np.mean(theta_TP[:, p] ** 2) for p in range(numbers))
    assert variance_share(theta_TP) == pytest.approx(variance / square)
    assert 0 <= variance_share(theta_TP) <= 1
    assert variance_share(np.concatenate([theta_TP, -theta_TP])) == pytest.approx(1)


def test_variance_share_of_equal_and_of_zero_layers() -> None:
    assert variance_share(np.ones((3, 4))) == 0
    assert np.isnan(variance_share(np.zeros((3, 4))))


def test_effective_rank_counts_directions() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(50, 5)))[0].T
    codes = np.concatenate([np.eye(5), -np.eye(5)])  # five directions, equally strong
    assert effective_rank(codes @ axes + 7) == pytest.approx(5, abs=1e-4)
    assert effective_rank(np.outer([1.0, -1, 3], axes[0])) == pytest.approx(1, abs=1e-4)
    assert effective_rank(np.ones((4, 9))) == 0
    assert effective_rank(np.zeros((4, 9))) == 0


@given(SEEDS, st.integers(2, 8), st.integers(1, 8))
def test_effective_rank_is_the_entropy_of_singular_values(seed: int, tasks: int, numbers: int) -> None:
    theta_TP = np.random.default_rng(seed).normal(size=(tasks, numbers))
    values = np.linalg.svd(theta_TP - theta_TP.mean(axis=0), compute_uv=False)
    shares = values[values > 1e-9] / values[values > 1e-9].sum()
    assert effective_rank(theta_TP) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)


def test_saturation_counts_what_is_near_the_bound() -> None:
    theta_TP = np.array([[0.5, -0.995, 0.999, 0.99]])
    assert saturation(theta_TP, 1.0) == 0.5
    assert saturation(theta_TP, 2.0) == 0
    assert saturation(theta_TP, np.inf) == 0


@given(SEEDS, st.integers(3, 9), st.integers(2, 5))
def test_principal_axes_are_scikit_learns(seed: int, tasks: int, size: int) -> None:
    z_TD = np.random.default_rng(seed).normal(size=(tasks, size))
    place, share = principal_axes(z_TD)
    other = PCA(2)
    expected = other.fit_transform(z_TD)
    assert np.abs(place) == pytest.approx(np.abs(expected), abs=1e-8)
    assert share == pytest.approx(other.explained_variance_ratio_, abs=1e-8)
    assert (place[np.abs(place).argmax(axis=0), [0, 1]] > 0).all()


def test_principal_axes_of_too_few_directions() -> None:
    place, share = principal_axes(np.array([[1.0], [3.0]]))
    assert np.abs(place) == pytest.approx(np.array([[1.0, 0], [1, 0]]))
    assert share == pytest.approx([1, 0])
    assert principal_axes(np.ones((3, 2)))[1] == pytest.approx([0, 0])
    two = np.random.default_rng(0).normal(size=(2, 8))
    assert (principal_axes(two)[0][:, 1] == 0).all()  # not what rounding leaves
