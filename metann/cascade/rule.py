"""The decision rule of a cascade: which network answers an image. The search, the tables and the runtime all use this one.

Shapes: N images, K classes, S stages (networks in the order in which they are asked).

The first network answers. While the answer in hand is not sure enough for the stage's threshold, the next network is asked, and
`answer` says what is in hand then: its answer (second); its answer where it is strictly more confident than the one in hand
(more_confident, published as post-check); or the mean or the product of all answers so far (`metann.cascade.evidence`), whose own
score the next threshold judges. Equality always stays with the earlier network, in the threshold check and in the post-check. With
two networks the first two are the rule of Kinnas et al. (2024), doi 10.1016/j.future.2024.107606.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metann import registry
from metann.cascade import score_functions
from metann.cascade.evidence import ADDED, combined, evidence_of
from metann.cascade.rowwise import first_argmax
from metann.config.cascade_answers import answer_taken
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
        answered_N: int64 in 0..S-1, the stage whose answer it is; of a mean or a product the last one that took part.
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


class InHand:
    """The answers in hand while networks are asked, one after another: what tables and a cascade that runs both go by.

    Attributes:
        prediction_N, answered_N, asked_N, score_N: as in `Decisions`, so far.
        p_NK: float64 probabilities of the answers in hand.
    """

    def __init__(self, n: int, classes: int, score: str, answer: str) -> None:
        """Nobody was asked yet about n images.

        Args:
            score: name of a score function.
            answer: an `AnswerRule`.
        """
        self.score, self.answer = score, answer
        self.prediction_N, self.answered_N, self.asked_N = (np.zeros(n, np.int64) for _ in range(3))
        self.score_N, self.p_NK = np.zeros(n), np.zeros((n, classes))
        self._evidence_NK = np.zeros((n, classes)) if answer in ADDED else None

    def ask(self, stage: int, rows_R: np.ndarray, p_RK: np.ndarray, labels_R: np.ndarray | None = None) -> np.ndarray:
        """Take in what the network of a stage, the next one, says of some images.

        Args:
            stage: its number, from 0.
            rows_R: int64, which images; all of them were asked of every network before.
            p_RK: its probabilities.
            labels_R: true classes, for a score function that needs them.

        Returns:
            (R,) float64, its own scores.
        """
        own_R = score_R = score_of(self.score, p_RK, labels_R)
        won_R = np.ones(len(rows_R), bool)
        if self._evidence_NK is not None:
            self._evidence_NK[rows_R] += evidence_of(self.answer, p_RK)
            if stage:
                p_RK = combined(self.answer, self._evidence_NK[rows_R], stage + 1)
                score_R = score_of(self.score, p_RK, labels_R)
        elif stage:
            won_R = next_wins(self.score, self.score_N[rows_R], score_R, self.answer == "more_confident")
        won = rows_R[won_R]
        self.prediction_N[won], self.score_N[won], self.p_NK[won] = first_argmax(p_RK)[won_R], score_R[won_R], p_RK[won_R]
        self.answered_N[won] = stage
        self.asked_N[rows_R] += 1
        return own_R

    def unsure(self, rows_R: np.ndarray, threshold: float) -> np.ndarray:
        """Those of the images whose answer in hand is not sure enough."""
        return rows_R[asks_next(self.score, self.score_N[rows_R], threshold)]


def decide(
    probabilities: Sequence[np.ndarray],
    thresholds: Sequence[float],
    score: str,
    postcheck: bool = False,
    labels_N: np.ndarray | None = None,
    *,
    answer: str = "second",
) -> Decisions:
    """Apply the rule in hindsight to the full tables of all networks.

    Args:
        probabilities: one (N, K) table per stage, rows in the same order.
        thresholds: one fewer than stages; the threshold in force after each stage but the last.
        score: name of a score function.
        postcheck: whether the more confident answer is kept: `answer` more_confident by its published name.
        labels_N: true classes, for a score function that needs them.
        answer: second, more_confident, mean or product.

    Raises:
        MetannError: unequal tables, a wrong number of thresholds, unknown score function or answer, or missing labels.
    """
    check_tables(probabilities, labels_N)
    check_count(thresholds, len(probabilities))
    n, classes = probabilities[0].shape
    hand, rows_R = InHand(n, classes, score, answer_taken(answer, postcheck)), np.arange(n)
    for stage, p_NK in enumerate(probabilities):
        rows_R = hand.unsure(rows_R, thresholds[stage - 1]) if stage else rows_R
        everyone = len(rows_R) == n
        labels_R = labels_N if everyone or labels_N is None else np.asarray(labels_N)[rows_R]
        hand.ask(stage, rows_R, p_NK if everyone else p_NK[rows_R], labels_R)
    return Decisions(hand.prediction_N, hand.answered_N, hand.asked_N, hand.score_N)


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
