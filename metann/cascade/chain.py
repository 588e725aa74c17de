"""Thresholds of cascades of more than two networks.

Shapes: N images, K classes, S stages.
"""

from collections.abc import Sequence

import numpy as np

from metann.cascade.rowwise import first_argmax
from metann.cascade.rule import asks_next, check_tables, decide, next_wins, score_of
from metann.cascade.search import choose, sweep_answers


def search_chain(probabilities: Sequence[np.ndarray], labels_N: np.ndarray, score: str, postcheck: bool) -> list[float]:
    """S - 1 thresholds, found stage by stage: each is the most accurate (then least used) on the images that reach it.

    With two networks this is the exact search. With more it is greedy: a threshold does not know what a later network
    would mend. A stage that no image reaches gets the threshold at which nothing is sent.

    Args:
        probabilities: one (N, K) table per stage.
        labels_N: true classes.
        score: name of a score function.
        postcheck: whether the more confident answer is kept.

    Raises:
        MetannError: as `decide`.
    """
    check_tables(probabilities, labels_N)
    labels_N = np.asarray(labels_N)
    thresholds: list[float] = []
    reached_N = np.ones(len(labels_N), bool)
    for p_NK in probabilities[1:]:
        so_far = decide(probabilities[: len(thresholds) + 1], thresholds, score, postcheck, labels_N)
        right_N, next_N = so_far.prediction_N == labels_N, score_of(score, p_NK, labels_N)
        after_N = np.where(next_wins(score, so_far.score_N, next_N, postcheck), first_argmax(p_NK) == labels_N, right_N)
        here = np.flatnonzero(reached_N) if reached_N.any() else np.arange(len(labels_N))
        sweep = sweep_answers(score, so_far.score_N[here], right_N[here], after_N[here])
        thresholds.append(choose(sweep).threshold if reached_N.any() else float(sweep.threshold_T[0]))
        reached_N = reached_N & asks_next(score, so_far.score_N, thresholds[-1])
    return thresholds
