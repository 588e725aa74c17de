"""Thresholds of cascades of more than two networks.

Shapes: N images, K classes, S stages.
"""

from collections.abc import Sequence

import numpy as np

from metann.cascade.rule import InHand, asks_next, check_tables
from metann.cascade.search import choose, sweep_answers
from metann.config.cascade_answers import answer_taken


def search_chain(
    probabilities: Sequence[np.ndarray], labels_N: np.ndarray, score: str, postcheck: bool = False, *, answer: str = "second"
) -> list[float]:
    """S - 1 thresholds, found stage by stage: each is the most accurate (then least used) on the images that reach it.

    With two networks this is the exact search. With more it is greedy: a threshold does not know what a later network
    would mend. A stage that no image reaches gets the threshold at which nothing is sent.

    Args:
        probabilities: one (N, K) table per stage.
        labels_N: true classes.
        score: name of a score function.
        postcheck, answer: what is answered, as in `decide`.

    Raises:
        MetannError: as `decide`.
    """
    check_tables(probabilities, labels_N)
    labels_N = np.asarray(labels_N)
    n, classes = probabilities[0].shape
    everyone, rows_R = np.arange(n), np.arange(n)
    hand = InHand(n, classes, score, answer_taken(answer, postcheck))
    hand.ask(0, everyone, probabilities[0], labels_N)
    thresholds: list[float] = []
    for stage, p_NK in enumerate(probabilities[1:], start=1):
        here = rows_R if len(rows_R) else everyone
        before_R, right_R = hand.score_N[here], hand.prediction_N[here] == labels_N[here]
        hand.ask(stage, rows_R, p_NK[rows_R], labels_N[rows_R])
        after_R = hand.prediction_N[here] == labels_N[here]
        sweep = sweep_answers(score, before_R, right_R, after_R)
        thresholds.append(choose(sweep).threshold if len(rows_R) else float(sweep.threshold_T[0]))
        rows_R = rows_R[asks_next(score, before_R, thresholds[-1])] if len(rows_R) else rows_R
    return thresholds
