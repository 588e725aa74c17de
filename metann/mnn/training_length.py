"""How long a switch and its experts were trained together, so that a control can have as much."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Trained(NamedTuple):
    """The training of one expert.

    Attributes:
        images: of its set.
        epochs: over them.
        share: of the switch's multiply-accumulates that it costs.
    """

    images: int
    epochs: int
    share: float


def training_length(whole: Sequence[int], experts: Sequence[Trained], n: int) -> dict[str, int]:
    """Images seen, each weighted by the share of multiply-accumulates.

    Args:
        whole: epochs of the switch, and of a second body, over all training images.
        experts: each expert's training.
        n: training images.

    Returns:
        epochs: of the switch over n images that are as much, rounded up; at least 1.
        expert_images: seen by all experts together, whatever they cost.
    """
    shares = sum(expert.images * expert.epochs * expert.share for expert in experts)
    extra = math.ceil(round(shares / max(n, 1), 9))  # 0.6 * 5 / 3 is not quite 1
    return {"epochs": max(sum(whole) + extra, 1), "expert_images": sum(expert.images * expert.epochs for expert in experts)}
