"""Whose fault a wrong answer is, the gate's or the expert's, where every expert was given its classes beforehand.

Shapes: N images, E experts, K classes. Without such class sets only `within_reach` can be said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Attribution:
    """Counts of images.

    Attributes:
        expert_errors: wrong answers whose true and predicted class belong to one expert: the published 'expert error'.
        gate_errors: all other wrong answers: the published 'gate error'.
        misrouted: images, right or wrong, that an expert without the true class answers.
        misrouted_wrong: of these, the wrong ones; here the gate is to blame by what it did, whatever class came out.
        owner_right: wrong answers where an expert that has the true class would have been right alone.
    """

    expert_errors: int
    gate_errors: int
    misrouted: int
    misrouted_wrong: int
    owner_right: int


def membership(class_sets: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """(E, K) bool, whether a class belongs to an expert; sets may overlap."""
    belongs_EK = np.zeros((len(class_sets), classes), bool)
    for e, mine in enumerate(class_sets):
        belongs_EK[e, list(mine)] = True
    return belongs_EK


def attribute(
    class_sets: Sequence[Sequence[int]], labels_N: np.ndarray, prediction_N: np.ndarray, expert_N: np.ndarray, answer_NE: np.ndarray
) -> Attribution:
    """Divide the wrong answers of a mixture.

    Args:
        class_sets: E lists of classes, one for each expert.
        labels_N: true classes.
        prediction_N: what the mixture says.
        expert_N: the expert of every image.
        answer_NE: what each expert alone says.
    """
    classes = 1 + max(int(labels_N.max(initial=0)), int(prediction_N.max(initial=0)), *(max(mine, default=0) for mine in class_sets))
    belongs_EK = membership(class_sets, classes)
    wrong_N = prediction_N != labels_N
    together_N = (belongs_EK[:, labels_N] & belongs_EK[:, prediction_N]).any(axis=0)
    misrouted_N = ~belongs_EK[expert_N, labels_N]
    owner_right_N = (belongs_EK[:, labels_N].T & (answer_NE == labels_N[:, None])).any(axis=1)
    return Attribution(
        expert_errors=int((wrong_N & together_N).sum()),
        gate_errors=int((wrong_N & ~together_N).sum()),
        misrouted=int(misrouted_N.sum()),
        misrouted_wrong=int((misrouted_N & wrong_N).sum()),
        owner_right=int((wrong_N & owner_right_N).sum()),
    )


def within_reach(labels_N: np.ndarray, prediction_N: np.ndarray, answer_NE: np.ndarray) -> tuple[int, int]:
    """(images that some expert alone gets right, wrong answers among them): what a perfect gate over the same experts could reach."""
    some_N = (answer_NE == labels_N[:, None]).any(axis=1)
    return int(some_N.sum()), int((some_N & (prediction_N != labels_N)).sum())
