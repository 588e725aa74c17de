"""Losses. A public function here is a loss; the configuration names it, with its numbers. All in nats, the mean over the batch.

Shapes: N images, E experts.
"""

from typing import NamedTuple

from torch import Tensor


class Said(NamedTuple):
    """What a mixture says of the true class of each image, as logarithms of probabilities.

    Attributes:
        mixture_N: of all experts together.
        gate_NE: weights of the experts after routing, minus infinity for who does not answer.
        experts_NE: of each expert alone.
    """

    mixture_N: Tensor
    gate_NE: Tensor
    experts_NE: Tensor


def nll_mix(said: Said) -> Tensor:
    """-ln o[label], of the combined answer o."""
    return -said.mixture_N.mean()


def jacobs(said: Said, alpha: float) -> Tensor:
    """-ln sum_e p_e y_e[label]^alpha (Jacobs et al. 1991, whose squared error is alpha = 1/2 of a negative log-likelihood here)."""
    return -(said.gate_NE + alpha * said.experts_NE).logsumexp(dim=1).mean()


def nll_selected(said: Said) -> Tensor:
    """-ln y_e[label] of the one expert of the largest weight; the gate learns nothing from it."""
    return -said.experts_NE.gather(1, said.gate_NE.argmax(dim=1, keepdim=True)).mean()
