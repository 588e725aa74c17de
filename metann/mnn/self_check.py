"""Each expert on its own question, is this image of class c?, beside what the switch's probability S_c says of it.

Shapes: N images, K classes.
"""

from typing import Any

import numpy as np

from metann.statistics.paired import mcnemar_p

COLUMNS = ("class", "class_name", "split", "images", "n", "positives")
MEASURES = ("accuracy", "balanced_accuracy", "auc")


def area_under_curve(score_N: Any, positive_N: Any) -> float:
    """Probability that a positive image has a higher score than a negative one, ties counted half (Mann and Whitney); NaN of one side."""
    score_N, positive_N = np.asarray(score_N, np.float64), np.asarray(positive_N, bool)
    positive, negative = score_N[positive_N], np.sort(score_N[~positive_N])
    if not len(positive) or not len(negative):
        return float("nan")
    below, up_to = (np.searchsorted(negative, positive, side) for side in ("left", "right"))  # scipy.stats takes 0.4 s to import
    return float((below + up_to).sum() / 2 / len(positive) / len(negative))


def measured(score_N: np.ndarray, positive_N: np.ndarray) -> dict[str, float]:
    """Accuracy and balanced accuracy of 'yes from 1/2 on', and the area under the curve; NaN without images, or of one side."""
    right_N = (score_N >= 0.5) == positive_N
    sides = [right_N[positive_N == side] for side in (True, False)]
    balanced = float(np.mean([side.mean() for side in sides])) if all(len(side) for side in sides) else float("nan")
    accuracy = float(right_N.mean()) if len(right_N) else float("nan")
    return dict(zip(MEASURES, (accuracy, balanced, area_under_curve(score_N, positive_N)), strict=True))


def self_check(
    switch_NK: np.ndarray, expert_NK: np.ndarray, labels_N: np.ndarray, split_N: np.ndarray, class_names: list[str], threshold: float
) -> list[dict[str, Any]]:
    """Rows for every expert and split, on the images like those that it learned from and on all.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        expert_NK: (N, K), column c what expert c says of its class.
        labels_N: (N,) true classes.
        split_N: (N,) text.
        class_names: K.
        threshold: 'asked' are the images with S_c of at least this.

    Returns:
        `COLUMNS` (images: asked or all), `MEASURES` of the expert, the same of the switch with `switch_` before them; fixed and broken: the
        expert answers rightly where the switch does not, and the reverse; mcnemar_p of these.
    """
    rows = []
    for split in dict.fromkeys(split_N.tolist()):
        mine_N = split_N == split
        for c, name in enumerate(class_names):
            for images, chosen_N in (("asked", mine_N & (switch_NK[:, c].astype(np.float64) >= threshold)), ("all", mine_N)):
                scores = [np.asarray(table_NK[chosen_N, c], np.float64) for table_NK in (expert_NK, switch_NK)]
                positive_N = labels_N[chosen_N] == c
                right, before = ((score_N >= 0.5) == positive_N for score_N in scores)
                fixed, broken = int((right & ~before).sum()), int((before & ~right).sum())
                values = (c, name, split, images, len(positive_N), int(positive_N.sum()))
                of_switch = {f"switch_{key}": value for key, value in measured(scores[1], positive_N).items()}
                rows.append(dict(zip(COLUMNS, values, strict=True)) | measured(scores[0], positive_N) | of_switch)
                rows[-1] |= {"fixed": fixed, "broken": broken, "mcnemar_p": float(mcnemar_p(fixed, broken))}
    return rows
