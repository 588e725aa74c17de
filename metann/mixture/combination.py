"""Combination: one answer from several. A public function here is a combination; the configuration names it.

Shapes: N images, E experts, K classes. Each takes the log-weights after routing (minus infinity for who does not answer) and the
experts' logits and gives log-probabilities; weights that do not sum to one give probabilities that do not.
"""

import torch
from torch import Tensor


def prob_mean(log_gate_NE: Tensor, logits_NEK: Tensor) -> Tensor:
    """(N, K) log sum_e p_e softmax(z_e)."""
    return (log_gate_NE[:, :, None] + logits_NEK.log_softmax(dim=2)).logsumexp(dim=1)


def logit_mean(log_gate_NE: Tensor, logits_NEK: Tensor) -> Tensor:
    """(N, K) log softmax(sum_e p_e z_e)."""
    return torch.einsum("ne,nek->nk", log_gate_NE.exp(), logits_NEK).log_softmax(dim=1)


def selected(log_gate_NE: Tensor, logits_NEK: Tensor) -> Tensor:
    """(N, K) log softmax(z_e) of the expert of the largest weight; the gate learns nothing from it."""
    return _of_first(log_gate_NE, logits_NEK)[1]


def selected_scaled(log_gate_NE: Tensor, logits_NEK: Tensor) -> Tensor:
    """(N, K) log p_e softmax(z_e) of the expert of the largest weight, so that the gate learns through its weight."""
    weight_N1, log_y_NK = _of_first(log_gate_NE, logits_NEK)
    return weight_N1 + log_y_NK


def _of_first(log_gate_NE: Tensor, logits_NEK: Tensor) -> tuple[Tensor, Tensor]:
    """((N, 1) largest log-weight, (N, K) log-probabilities of its expert)."""
    expert_N1 = log_gate_NE.argmax(dim=1, keepdim=True)
    logits_NK = logits_NEK.gather(1, expert_N1[:, :, None].expand(-1, 1, logits_NEK.shape[2])).squeeze(1)
    return log_gate_NE.gather(1, expert_N1), logits_NK.log_softmax(dim=1)
