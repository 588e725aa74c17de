"""Gates: what scores each expert for an image. A public function here is a gate; the configuration names it.

Shapes: N images, E experts, K classes, h features. A gate takes what there is to look at and gives scores, whose softmax is the
gate's distribution (see metann/mixture/distribution.py).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metann.mixture.distribution import label_column

# Which gates have a network of their own, which need all experts to have run, which look at the true class. Read without importing.
WITH_NETWORK = ("mlp", "attention", "loss_regression")
AFTER_EXPERTS = ("attention", "oracle_loss", "oracle_entropy")
WITH_LABELS = ("oracle_loss", "class_sets")


class Seen(NamedTuple):
    """What a gate may look at; None where there is nothing.

    Attributes:
        network_NE: scores of the gate's own network.
        query_Nh: features of the gate's network, times W_q.
        keys_NEh: features of every expert, times W_k.
        scale: of attention's scores, 1 / sqrt(h) as published.
        logits_NEK: every expert's logits.
        labels_N: true classes.
        owners_KE: bool, which experts a class belongs to.
        shape: (N, E).
        like: any tensor on the device.
    """

    network_NE: Tensor | None
    query_Nh: Tensor | None
    keys_NEh: Tensor | None
    scale: Tensor | float
    logits_NEK: Tensor | None
    labels_N: Tensor | None
    owners_KE: Tensor | None
    shape: tuple[int, int]
    like: Tensor


def mlp(seen: Seen) -> Tensor:
    """(N, E) outputs of an ordinary network of the zoo whose classes are the experts."""
    return seen.network_NE


def attention(seen: Seen) -> Tensor:
    """(N, E) a_e = (W_q u) . (W_k s_e) / sqrt(h): the gate's features u against every expert's features s_e."""
    return torch.einsum("nh,neh->ne", seen.query_Nh, seen.keys_NEh) * seen.scale


def loss_regression(seen: Seen) -> Tensor:
    """(N, E) outputs of a network that learns ln y_e[label] of every expert, instead of a distribution."""
    return seen.network_NE


def oracle_loss(seen: Seen) -> Tensor:
    """(N, E) log2 y_e[label]: the expert that says the truth most surely. Looks at the true class."""
    log_y_NEK = seen.logits_NEK.log_softmax(dim=2)
    return (label_column(log_y_NEK, seen.labels_N) / math.log(2)).detach()


def oracle_entropy(seen: Seen) -> Tensor:
    """(N, E) minus the entropy of each expert's answer in bits: the expert that is surest of anything."""
    log_y_NEK = seen.logits_NEK.log_softmax(dim=2)
    return ((log_y_NEK.exp() * log_y_NEK).sum(dim=2) / math.log(2)).detach()


def uniform(seen: Seen) -> Tensor:
    """(N, E) zeros: every expert alike."""
    return torch.zeros(seen.shape, device=seen.like.device)


def class_sets(seen: Seen) -> Tensor:
    """(N, E) 0 for the experts that the true class was given to, minus infinity for the others."""
    owned_NE = functional.embedding(seen.labels_N, seen.owners_KE.float())
    return torch.zeros_like(owned_NE).masked_fill(owned_NE == 0, -math.inf)
