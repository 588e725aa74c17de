"""Routing: which experts answer. A public function here is a routing; the configuration names it, with its k.

Shapes: N images, E experts. Each takes the gate's log-distribution and gives a mask; `distribution.routed` makes of both the
weights with which the experts answer. Ties go to the first expert.
"""

import torch
from torch import Tensor


def soft(log_p_NE: Tensor) -> Tensor:
    """(N, E) all experts."""
    return torch.ones_like(log_p_NE, dtype=torch.bool)


def top_k(log_p_NE: Tensor, k: int) -> Tensor:
    """(N, E) the k experts of the largest weights."""
    order_NE = log_p_NE.sort(dim=1, descending=True, stable=True).indices  # topk promises no order of equals
    return torch.zeros_like(log_p_NE, dtype=torch.bool).scatter_(1, order_NE[:, : int(k)], True)


def argmax(log_p_NE: Tensor) -> Tensor:
    """(N, E) the expert of the largest weight."""
    return top_k(log_p_NE, 1)


def sample(log_p_NE: Tensor, *, uniform_N: Tensor) -> Tensor:
    """(N, E) one expert, drawn by its weight: the first whose cumulative weight exceeds a uniform draw."""
    cumulative_NE = log_p_NE.detach().double().exp().cumsum(dim=1)
    drawn_N = (cumulative_NE <= uniform_N[:, None] * cumulative_NE[:, -1:]).sum(dim=1).clamp_max(log_p_NE.shape[1] - 1)
    return torch.zeros_like(log_p_NE, dtype=torch.bool).scatter_(1, drawn_N[:, None], True)


def em(log_p_NE: Tensor, *, log_likelihood_NE: Tensor) -> Tensor:
    """(N, E) the expert of the largest p_e y_e[label]: the E-step of hard expectation maximisation, on the batch at hand."""
    return argmax(log_p_NE.detach() + log_likelihood_NE.detach())
