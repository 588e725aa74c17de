"""From a gate's scores to the weights with which experts answer; in float32 wherever the networks run.

Shapes: N images, E experts, K classes.
"""

import math

import torch
from torch import Tensor


def log_distribution(scores_NE: Tensor, temperature: float = 1.0, activation: str = "softmax") -> Tensor:
    """(N, E) log of the gate's distribution: softmax(scores / temperature), or escort: the scores squared, over their sum."""
    scores_NE = scores_NE.float()
    if activation == "escort":
        squares_NE = scores_NE.square() + 1e-20  # all zero: even
        return squares_NE.log() - squares_NE.sum(dim=1, keepdim=True).log()
    return (scores_NE / temperature).log_softmax(dim=1)


def routed(log_p_NE: Tensor, kept_NE: Tensor, renormalise: bool) -> Tensor:
    """(N, E) log-weights of the experts that answer, minus infinity for the others; their weights sum to 1 where renormalised."""
    masked_NE = log_p_NE.masked_fill(~kept_NE, -math.inf)
    return masked_NE.log_softmax(dim=1) if renormalise else masked_NE


def noisy(scores_NE: Tensor, kind: str, deviation: Tensor | float, generator: torch.Generator) -> Tensor:
    """(N, E) scores with noise of its own for each: `gaussian` of a standard deviation, or `gumbel`, whose argmax draws from softmax."""
    shape, device = scores_NE.shape, scores_NE.device
    if kind == "gumbel":
        uniform_NE = torch.rand(shape, generator=generator, device=device).clamp_min(1e-20)
        return scores_NE - (-uniform_NE.log()).log()
    return scores_NE + deviation * torch.randn(shape, generator=generator, device=device)


def label_column(values_NEK: Tensor, labels_N: Tensor) -> Tensor:
    """(N, E) the value of each image's own class."""
    return values_NEK.gather(2, labels_N[:, None, None].expand(-1, values_NEK.shape[1], 1)).squeeze(2)
