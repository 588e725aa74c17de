"""A second opinion: one other network, asked about the images that the switch is unsure of, both answers multiplied. No experts.

It is what experts have to beat, to have gained by being experts. Shapes: N images, K classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metann.mnn import checks
from metann.mnn.vectors import combine_vectors

BOUNDS = np.round(np.linspace(0, 1, 21), 2)


@dataclass(frozen=True)
class Opinion:
    """What asking the other network does.

    Attributes:
        bound: it is asked where the switch's top probability is below this.
        right_N: (N,) bool, whether each image is classified rightly.
        asked_N: (N,) bool.
    """

    bound: float
    right_N: np.ndarray
    asked_N: np.ndarray


def opinion_at(bound: float, switch_NK: Any, other_NK: Any, labels_N: Any) -> Opinion:
    """Ask below one bound: argmax S, or argmax S P where max S < bound.

    Args:
        bound: in [0, 1]; 0 asks about no image.
        switch_NK: (N, K) probabilities of the switch.
        other_NK: (N, K) probabilities of the other network.
        labels_N: (N,) true classes.

    Raises:
        MetannError: tables or labels that do not belong together.
    """
    switch_NK = checks.probability_table("switch_NK", switch_NK)
    other_NK = checks.probability_table("other_NK", other_NK, switch_NK.shape)
    labels_N = checks.class_labels(labels_N, switch_NK.shape)
    asked_N = switch_NK.max(axis=1) < bound
    image_M = np.flatnonzero(asked_N)
    p_NK = combine_vectors(switch_NK, image_M, other_NK[image_M], rule="product")
    p_NK[~asked_N] = switch_NK[~asked_N]  # a softmax of logarithms may round two unequal probabilities to one
    return Opinion(float(bound), p_NK.argmax(axis=1) == labels_N, asked_N)


def chosen_bound(switch_NK: Any, other_NK: Any, labels_N: Any) -> float:
    """Of `BOUNDS` the one with the most images right, of equals the lowest, which asks the least; arguments as in `opinion_at`."""
    right_B = [int(opinion_at(bound, switch_NK, other_NK, labels_N).right_N.sum()) for bound in BOUNDS]
    return float(BOUNDS[int(np.argmax(right_B))])
