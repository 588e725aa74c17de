"""Search for the threshold of a two-network cascade on tables, exactly, in O(N log N).

Shapes: N images, K classes, T candidate thresholds. Sorted by the first network's confidence, the images that a
threshold sends to the second network are a prefix. Two cumulative sums therefore give the number of right answers at
every threshold at once, whatever the answer after asking both is made of.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from metann.cascade.evidence import ADDED, combined, evidence_of
from metann.cascade.rowwise import first_argmax
from metann.cascade.rule import check_tables, high_is_sure, needs_labels, next_wins, score_of
from metann.config.cascade_answers import answer_taken
from metann.errors import MetannError, unknown

Objective = Literal["accuracy", "target_accuracy", "budget"]


class UnreachableError(MetannError):
    """No threshold of this pair meets the target or the budget."""


@dataclass(frozen=True)
class Sweep:
    """Right answers and use of the second network at every candidate threshold, least use first.

    Attributes:
        threshold_T: float64, in the order that sends ever more images.
        correct_T: int64, images answered right.
        sent_T: int64, images sent to the second network; never falls.
        n: images.
        grid: points of the uniform grid, or None where all distinct scores are candidates.
    """

    threshold_T: np.ndarray
    correct_T: np.ndarray
    sent_T: np.ndarray
    n: int
    grid: int | None
    ascending: bool

    def grid_index(self, position: int) -> int | None:
        """Index in linspace(0, 1, grid) of a candidate; None without a grid."""
        if self.grid is None:
            return None
        return position if self.ascending else self.grid - 1 - position


@dataclass(frozen=True)
class FoundThreshold:
    """The chosen threshold and what it does on the images that it was searched on.

    Attributes:
        threshold: images less sure than this go to the second network; equality stays with the first.
        correct: images answered right.
        sent: images sent to the second network.
        n: images.
        grid_index: index in linspace(0, 1, grid); None where all distinct scores were searched.
    """

    threshold: float
    correct: int
    sent: int
    n: int
    grid_index: int | None

    @property
    def accuracy(self) -> float:
        """Share of images answered right."""
        return self.correct / self.n

    @property
    def use(self) -> float:
        """Share of images sent to the second network."""
        return self.sent / self.n


def sweep_thresholds(
    probabilities_a_NK: np.ndarray,
    probabilities_b_NK: np.ndarray,
    labels_N: np.ndarray,
    score: str,
    postcheck: bool = False,
    grid: int | None = None,
    *,
    answer: str = "second",
) -> Sweep:
    """Every candidate threshold's right answers and use.

    Args:
        probabilities_a_NK: of the network that is always asked.
        probabilities_b_NK: of the network that is asked when the first is unsure.
        labels_N: true classes.
        score: name of a score function.
        postcheck: keep the first answer unless the second is strictly more confident; the same as `answer` more_confident.
        grid: None for all distinct scores of the first network and 'send all' (exact); a number n >= 2 for the n
            thresholds linspace(0, 1, n), 2000 in the published search.
        answer: what is answered once both were asked: second, more_confident, mean or product.

    Raises:
        MetannError: unequal tables, unknown score function or answer, or a grid of fewer than two points.
    """
    check_tables([probabilities_a_NK, probabilities_b_NK], labels_N)
    labels_N = np.asarray(labels_N)
    # class by class in memory, once, instead of in every function that works so
    a_NK, b_NK = np.asfortranarray(probabilities_a_NK), np.asfortranarray(probabilities_b_NK)
    s_a_N = score_of(score, a_NK, labels_N)
    a_right_N, b_right_N = first_argmax(a_NK) == labels_N, first_argmax(b_NK) == labels_N
    answer = answer_taken(answer, postcheck)
    if answer in ADDED:
        b_right_N = first_argmax(combined(answer, evidence_of(answer, a_NK) + evidence_of(answer, b_NK), 2)) == labels_N
    elif answer == "more_confident" and not needs_labels(score):
        wins_N = next_wins(score, s_a_N, score_of(score, b_NK, labels_N), True)
        b_right_N = (b_right_N & wins_N) | (a_right_N & ~wins_N)
    return sweep_answers(score, s_a_N, a_right_N, b_right_N, grid)


def sweep_answers(score: str, s_a_N: np.ndarray, a_right_N: np.ndarray, b_right_N: np.ndarray, grid: int | None = None) -> Sweep:
    """`sweep_thresholds` where scores and answers are known already.

    Args:
        score: says which side of `s_a_N` is sure.
        s_a_N: float64 scores of the answers in hand, N >= 1.
        a_right_N: bool, whether the answer in hand is right.
        b_right_N: bool, whether the answer after asking the next network is right, post-check, mean or product included.
        grid: as in `sweep_thresholds`.
    """
    sign = 1.0 if high_is_sure(score) else -1.0  # negation is exact, so one direction serves both
    order = np.argsort(sign * s_a_N)
    confidence_N = sign * s_a_N[order]
    gain_N = b_right_N.view(np.int8) - a_right_N.view(np.int8)
    right_after_sending = np.concatenate([[0], np.cumsum(gain_N[order], dtype=np.int64)]) + np.count_nonzero(a_right_N)
    if grid is None:
        first_N = np.concatenate([[True], confidence_N[1:] > confidence_N[:-1]])
        sent_T = np.append(np.flatnonzero(first_N), len(order))
        threshold_T = sign * np.append(confidence_N[first_N], np.nextafter(confidence_N[-1], np.inf))
    else:
        if grid < 2:
            raise MetannError(f"a grid of {grid} thresholds cannot hold both 0 and 1; give 2 or more, or None for an exact search")
        threshold_T = np.linspace(0, 1, grid)[:: int(sign)]
        sent_T = np.searchsorted(confidence_N, sign * threshold_T, side="left")
    return Sweep(threshold_T, right_after_sending[sent_T], sent_T, len(order), grid, sign > 0)


def choose(
    sweep: Sweep,
    objective: Objective = "accuracy",
    *,
    target: float | None = None,
    macs: tuple[float, float] | None = None,
    budget: float | None = None,
) -> FoundThreshold:
    """Pick one candidate of a sweep; equals go to the least use.

    Args:
        objective: `accuracy`, the most right answers; `target_accuracy`, the least use among those that reach `target`;
            `budget`, the most right answers among those of at most `budget` multiply-accumulates per image.
        target: accuracy in [0, 1].
        macs: multiply-accumulates per image of the first and the second network.
        budget: multiply-accumulates per image, on average.

    Raises:
        UnreachableError: no threshold meets the target or the budget.
        MetannError: unknown objective, or one without the numbers it needs.
    """
    if objective not in get_args(Objective):
        raise unknown("objective", objective, get_args(Objective))
    if objective == "target_accuracy":
        if target is None:
            raise MetannError("objective 'target_accuracy' needs a target; give an accuracy in [0, 1]")
        reached = sweep.correct_T / sweep.n >= target
        if not reached.any():
            raise UnreachableError(f"no threshold reaches an accuracy of {target:.4f}; the best is {sweep.correct_T.max() / sweep.n:.4f}")
        return _found(sweep, int(np.argmax(reached)))
    correct_T = sweep.correct_T
    if objective == "budget":
        if macs is None or budget is None:
            raise MetannError("objective 'budget' needs the MACs of both networks and a budget in MACs per image")
        cost_T = macs[0] + macs[1] * sweep.sent_T / sweep.n
        if cost_T[0] > budget:
            raise UnreachableError(f"no threshold stays within {budget:.4g} MACs per image; the cheapest needs {cost_T[0]:.4g}")
        correct_T = correct_T[cost_T <= budget]
    return _found(sweep, int(np.argmax(correct_T)))  # the first maximum is the one of least use


def _found(sweep: Sweep, position: int) -> FoundThreshold:
    return FoundThreshold(
        float(sweep.threshold_T[position]),
        int(sweep.correct_T[position]),
        int(sweep.sent_T[position]),
        sweep.n,
        sweep.grid_index(position),
    )


def search_threshold(
    probabilities_a_NK: np.ndarray,
    probabilities_b_NK: np.ndarray,
    labels_N: np.ndarray,
    score: str,
    postcheck: bool = False,
    grid: int | None = None,
    *,
    answer: str = "second",
    objective: Objective = "accuracy",
    target: float | None = None,
    macs: tuple[float, float] | None = None,
    budget: float | None = None,
) -> FoundThreshold:
    """The best threshold of a pair: `sweep_thresholds`, then `choose`; arguments and errors are theirs."""
    sweep = sweep_thresholds(probabilities_a_NK, probabilities_b_NK, labels_N, score, postcheck, grid, answer=answer)
    return choose(sweep, objective, target=target, macs=macs, budget=budget)
