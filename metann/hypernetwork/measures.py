"""What is measured of classifiers that a generator wrote. Pure numpy.

Shapes: T tasks (and as many task vectors z), N images, P generated numbers of a layer, S steps.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError

SATURATED = 0.99  # a generated number beyond this share of its bound hardly moves any more


def reliance(accuracy_TT: Any) -> float:
    """How much the answers depend on z: mean of the diagonal minus mean of the rest.

    Args:
        accuracy_TT: (T, T) shares; row i, column j: accuracy on task i of the classifier that z_j writes.

    Returns:
        About 0 where one classifier does for every task, whatever z says; 0.5 at most on average where each task has a mirror.

    Raises:
        MetannError: not square, fewer than two tasks, or a share outside 0..1.
    """
    return float(task_reliance(accuracy_TT).mean())


def task_reliance(accuracy_TT: Any) -> np.ndarray:
    """(T,) accuracy on a task by its own z minus the mean by all others; its mean is `reliance`, because all rows are equally long."""
    accuracy_TT = np.asarray(accuracy_TT, np.float64)
    tasks = len(accuracy_TT) if accuracy_TT.ndim else 0
    if accuracy_TT.shape != (tasks, tasks) or tasks < 2:
        raise MetannError(f"reliance: needed the accuracies of two or more tasks by as many z; given shape {accuracy_TT.shape}")
    if not ((accuracy_TT >= 0) & (accuracy_TT <= 1)).all():
        raise MetannError("reliance: accuracies are shares between 0 and 1")
    own_T = np.diagonal(accuracy_TT)
    others_T = accuracy_TT[~np.eye(tasks, dtype=bool)].reshape(tasks, tasks - 1).mean(axis=1)
    return own_T - others_T


def balanced_accuracy(correct: Any, n: Any, correct_positive: Any, n_positive: Any) -> Any:
    """Mean of the accuracies on positive and on negative images, from counts; the accuracy of one side where the other is empty.

    NaN without images. Numbers or arrays, as the counts are.
    """
    correct, n, correct_positive, n_positive = (np.asarray(count, np.float64) for count in (correct, n, correct_positive, n_positive))
    correct_negative, n_negative = correct - correct_positive, n - n_positive
    with np.errstate(invalid="ignore", divide="ignore"):
        sides = np.stack(np.broadcast_arrays(correct_positive / n_positive, correct_negative / n_negative))
        there = np.stack(np.broadcast_arrays(n_positive > 0, n_negative > 0))
        return (np.where(there, sides, 0).sum(axis=0) / there.sum(axis=0))[()]


def cross_entropy(logits_N: Any, positive_N: Any) -> np.ndarray:
    """Mean of log(1 + exp(-logit)) over positive and of log(1 + exp(logit)) over negative images, in nats, along the last axis."""
    logits_N = np.asarray(logits_N, np.float64)
    return np.logaddexp(0, np.where(np.asarray(positive_N, bool), -logits_N, logits_N)).mean(axis=-1)


def auc(scores_N: Any, positive_N: Any) -> float:
    """Area under the ROC curve: how often a positive image scores above a negative one, ties counted half (Mann and Whitney 1947).

    Args:
        scores_N: (N,) logits or probabilities.
        positive_N: (N,) bool.

    Returns:
        NaN where one side is empty.

    Raises:
        MetannError: lengths that differ, or scores that are not finite.
    """
    scores_N, positive_N = np.asarray(scores_N), np.asarray(positive_N, bool)
    if scores_N.ndim != 1 or scores_N.shape != positive_N.shape or not np.isfinite(scores_N).all():
        raise MetannError(f"auc: needed finite scores and as many bools; given shapes {scores_N.shape} and {positive_N.shape}")
    positives = int(positive_N.sum())
    negatives = len(positive_N) - positives
    if not positives or not negatives:
        return float("nan")
    _, place_N, counts = np.unique(scores_N, return_inverse=True, return_counts=True)
    rank_N = (np.cumsum(counts) - (counts - 1) / 2)[place_N]  # of equals the mean rank, from 1
    wins = float(rank_N[positive_N].sum()) - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def steps_to(step_S: Any, accuracy_S: Any, share: float = 0.95) -> float:
    """The first step at which the accuracy is at least `share` of what it is at the end.

    Args:
        step_S: (S,) ascending steps, the first one before any update.
        accuracy_S: (S,) accuracy after these.
        share: of the last accuracy.

    Returns:
        A step; NaN without steps.

    Raises:
        MetannError: lengths that differ.
    """
    step_S, accuracy_S = np.asarray(step_S), np.asarray(accuracy_S, np.float64)
    if step_S.shape != accuracy_S.shape or step_S.ndim != 1:
        raise MetannError(f"steps_to: needed one accuracy for each step; given shapes {step_S.shape} and {accuracy_S.shape}")
    if not len(step_S):
        return float("nan")
    return float(step_S[np.argmax(accuracy_S >= share * accuracy_S[-1])])


def variance_share(theta_TP: Any) -> float:
    """V: the share of the generated numbers' mean square that differs between tasks, sum of Var_t over sum of mean_t of the squares.

    0: every z writes the same layer. 1: the mean over tasks is 0 everywhere. NaN where all numbers are 0.
    """
    theta_TP = np.asarray(theta_TP, np.float64)
    square = float((theta_TP**2).mean(axis=0).sum())
    return float(theta_TP.var(axis=0).sum()) / square if square > 0 else float("nan")


def effective_rank(theta_TP: Any) -> float:
    """exp of the entropy of the normalised singular values (Roy and Vetterli 2007) of what differs between tasks.

    0 where nothing differs; at most min(T - 1, P), because the mean over tasks is taken away.
    """
    theta_TP = np.asarray(theta_TP, np.float64)
    differs_TP = theta_TP - theta_TP.mean(axis=0)
    # From the (T, T) products: P may be a million.
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(differs_TP @ differs_TP.T), 0))
    values = values[values > 1e-7 * max(values.max(initial=0), np.abs(theta_TP).max(initial=0))]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def saturation(theta_TP: Any, bound: float) -> float:
    """Share of the generated numbers whose size is beyond `SATURATED` of their bound; 0 without a bound (infinite)."""
    return float((np.abs(np.asarray(theta_TP)) > SATURATED * bound).mean())


def principal_axes(z_TD: Any, axes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of task vectors.

    Returns:
        (T, axes) coordinates, and the (axes,) shares of the variance; zeros where there are fewer directions. The largest
        coordinate of an axis is positive, so that the same vectors give the same picture.
    """
    z_TD = np.asarray(z_TD, np.float64)
    centred_TD = z_TD - z_TD.mean(axis=0)
    left_TR, values_R, _ = np.linalg.svd(centred_TD, full_matrices=False)
    values_R = np.where(values_R > 1e-10 * values_R.max(initial=0), values_R, 0)  # what rounding leaves is no direction
    found = min(axes, len(values_R))
    place, share = np.zeros((len(z_TD), axes)), np.zeros(axes)
    place[:, :found] = left_TR[:, :found] * values_R[:found]
    signs = np.sign(place[np.abs(place).argmax(axis=0), np.arange(axes)])
    total = float((values_R**2).sum())
    share[:found] = values_R[:found] ** 2 / total if total > 0 else 0
    return place * np.where(signs < 0, -1, 1), share
