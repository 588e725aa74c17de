"""Regularisers of a gate: each a pure function of what the gate said of a batch. Tensors in, a scalar out, to be weighed and added.

Shapes: B images of a batch, E experts. Gate rows are probabilities.
"""

import torch
from torch import Tensor


def importance(gate_BE: Tensor) -> Tensor:
    """Squared coefficient of variation of the experts' importances I_e = sum_b p_e(b): var(I) / mean(I)^2, unbiased variance.

    Shazeer et al. 2017, equation 7. 0 for one expert, or where all do the same amount of work.
    """
    if gate_BE.shape[1] == 1:
        return gate_BE.sum() * 0
    importance_E = gate_BE.sum(dim=0)
    return importance_E.var() / importance_E.mean().square()


def load(clean_BE: Tensor, noisy_BE: Tensor, deviation_BE: Tensor, k: int) -> Tensor:
    """Squared coefficient of variation of the expected number of images of each expert under noisy top-k routing.

    P(expert i among the k first | noise drawn anew for i) = Phi((clean_i - t_i) / deviation_i), t_i the k-th largest noisy score of
    the others; Shazeer et al. 2017, equations 8 to 11. 0 for k >= E.

    Args:
        clean_BE: scores without noise.
        noisy_BE: the scores that were routed by.
        deviation_BE: standard deviation of the noise.
        k: how many experts answer.
    """
    experts = clean_BE.shape[1]
    if k >= experts:
        return clean_BE.sum() * 0
    largest_Bk1 = noisy_BE.topk(k + 1, dim=1).values
    inside_B1, outside_B1 = largest_Bk1[:, k : k + 1], largest_Bk1[:, k - 1 : k]
    threshold_BE = torch.where(noisy_BE > inside_B1, inside_B1, outside_B1)
    return importance(torch.special.ndtr((clean_BE - threshold_BE) / deviation_BE))


def switch(gate_BE: Tensor, routed_BE: Tensor) -> Tensor:
    """E * sum_e f_e P_e: f_e the share of images routed to expert e, P_e its mean gate probability (Fedus et al. 2021, equation 4).

    1 where both are even and one expert answers an image, k where k do.

    Args:
        gate_BE: before routing.
        routed_BE: 1 (or true) where the expert answers.
    """
    return gate_BE.shape[1] * (routed_BE.to(gate_BE.dtype).mean(dim=0) * gate_BE.mean(dim=0)).sum()


def z(logits_BE: Tensor) -> Tensor:
    """Mean squared logsumexp of the scores, which keeps them small (Zoph et al. 2022, equation 5)."""
    return logits_BE.logsumexp(dim=1).square().mean()


def entropy(gate_BE: Tensor) -> Tensor:
    """Mean over images of -sum_e p_e ln p_e, in nats: how undecided the gate is; 0 ln 0 = 0."""
    # clamped, because the slope of p ln p at 0 is infinite
    return -(gate_BE * gate_BE.clamp_min(torch.finfo(gate_BE.dtype).tiny).log()).sum(dim=1).mean()


def sample_similarity(gate_BE: Tensor, distances_BB: Tensor) -> Tensor:
    """Mean over all ordered pairs of images a, b of D_ab <p_a, p_b>: images that are far apart shall not share experts.

    The mean, so that a weight means the same at every batch size; the published code has the sum over E (weight x B^2 / E of this).
    Its second term, over pairs of different experts, is a constant less a multiple of this one, because rows of a gate sum to 1.

    Args:
        distances_BB: 0 on the diagonal; a constant.
    """
    return ((distances_BB @ gate_BE) * gate_BE).sum() / len(gate_BE) ** 2
