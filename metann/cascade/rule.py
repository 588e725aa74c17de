"""The decision rule of a cascade: which network answers an image. The search, the tables and the runtime all use this one.

Shapes: N images, K classes, S stages (networks in the order in which they are asked).

The first network answers. While the answer in hand is not sure enough for the stage's threshold, the next network is
asked: without post-check its answer is taken; with post-check only where it is strictly more confident than the answer
in hand. Equality always stays with the earlier network, in the threshold check and in the post-check. With two networks
this is the rule of Kinnas et al. (2024), doi 10.1016/j.future.2024.107606.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metann import registry
from metann.cascade import score_functions
from metann.cascade.rowwise import first_argmax
from metann.errors import MetannError, unknown

_MODULE = "cascade/score_functions.py"


def needs_labels(score: str) -> bool:
    """Whether a score function looks at the truth (the oracle): then it needs no threshold and has no post-check.

    Raises:
        MetannError: unknown score function.
    """
    known = registry.functions(_MODULE)
    if score not in known:
        raise unknown("score function", score, known, f"metann/{_MODULE}")
    return "labels_N" in known[score]


def high_is_sure(score: str) -> bool:
    """Whether a high score means a sure network."""
    needs_labels(score)
    return getattr(score_functions, score).sure == "high"


def score_of(score: str, p_NK: np.ndarray, labels_N: np.ndarray | None = None) -> np.ndarray:
    """(N,) float64 scores of one network.

    Raises:
        MetannError: unknown score function, or one that needs labels without labels.
    """
    if not needs_labels(score):
        return getattr(score_functions, score)(p_NK)
    if labels_N is None:
        raise MetannError(f"score function {score!r} looks at the true labels; give labels, or choose another score function")
    return getattr(score_functions, score)(p_NK, labels_N)


def asks_next(score: str, s_N: np.ndarray, threshold: float) -> np.ndarray:
    """(N,) bool: the answer in hand is not sure enough. A score equal to the threshold is sure enough."""
    return s_N < threshold if high_is_sure(score) else s_N > threshold


def next_wins(score: str, s_N: np.ndarray, next_s_N: np.ndarray, postcheck: bool) -> np.ndarray:
    """(N,) bool: the next network's answer replaces the one in hand, on images where it was asked."""
    if not postcheck or needs_labels(score):
        return np.ones(len(s_N), bool)
    return next_s_N > s_N if high_is_sure(score) else next_s_N < s_N


@dataclass(frozen=True)
class Decisions:
    """What a cascade does with every image.

    Attributes:
        prediction_N: int64, the class that is answered.
        answered_N: int64 in 0..S-1, the stage whose answer it is.
        asked_N: int64 in 1..S, how many networks ran.
        score_N: float64, the score of the answer.
    """

    prediction_N: np.ndarray
    answered_N: np.ndarray
    asked_N: np.ndarray
    score_N: np.ndarray

    def calls_per_stage(self, stages: int) -> np.ndarray:
        """(S,) int64: images that each stage's network was asked for."""
        return (self.asked_N[:, None] > np.arange(stages)).sum(axis=0)


def decide(
    probabilities: Sequence[np.ndarray], thresholds: Sequence[float], score: str, postcheck: bool, labels_N: np.ndarray | None = None
) -> Decisions:
    """Apply the rule in hindsight to the full tables of all networks.

    Args:
        probabilities: one (N, K) table per stage, rows in the same order.
        thresholds: one fewer than stages; the threshold in force after each stage but the last.
        score: name of a score function.
        postcheck: whether the more confident answer is kept.
        labels_N: true classes, for a score function that needs them.

    Raises:
        MetannError: unequal tables, a wrong number of thresholds, unknown score function, or missing labels.
    """
    check_tables(probabilities, labels_N)
    check_count(thresholds, len(probabilities))
    n = len(probabilities[0])
    prediction_N = first_argmax(probabilities[0])
    score_N = score_of(score, probabilities[0], labels_N)
    answered_N, asked_N = np.zeros(n, np.int64), np.ones(n, np.int64)
    running_N = np.ones(n, bool)
    for stage, (p_NK, threshold) in enumerate(zip(probabilities[1:], thresholds, strict=True), start=1):
        running_N = running_N & asks_next(score, score_N, threshold)
        next_N = score_of(score, p_NK, labels_N)
        taken_N = running_N & next_wins(score, score_N, next_N, postcheck)
        asked_N = asked_N + running_N
        prediction_N = np.where(taken_N, first_argmax(p_NK), prediction_N)
        score_N = np.where(taken_N, next_N, score_N)
        answered_N = np.where(taken_N, stage, answered_N)
    return Decisions(prediction_N, answered_N, asked_N, score_N)


def check_count(thresholds: Sequence[float], networks: int) -> None:
    """Raise a MetannError unless there is one threshold after each network but the last."""
    if len(thresholds) != networks - 1:
        raise MetannError(f"{networks} networks need {networks - 1} thresholds, {len(thresholds)} were given")


def check_thresholds(thresholds: Sequence[float], networks: int) -> None:
    """`check_count`, and each a finite number: NaN would never ask the next network, and without a word."""
    check_count(thresholds, networks)
    for threshold in thresholds:
        if not np.isfinite(threshold):
            raise MetannError(f"threshold {threshold} is not a finite number; give one in the range of the score function")


def check_tables(probabilities: Sequence[np.ndarray], labels_N: np.ndarray | None = None) -> None:
    """Raise a MetannError unless all tables have the same N >= 1 and K >= 2, and labels have N rows."""
    shapes = [np.shape(p_NK) for p_NK in probabilities]
    if not shapes or len(set(shapes)) > 1 or len(shapes[0]) != 2 or shapes[0][0] < 1 or shapes[0][1] < 2:
        raise MetannError(f"tables of shapes {shapes} do not form a cascade; all must have one shape, images x classes (two or more)")
    if labels_N is not None and np.shape(labels_N) != shapes[0][:1]:
        raise MetannError(f"labels of shape {np.shape(labels_N)} do not belong to tables of {shapes[0][0]} images; one label per image")
