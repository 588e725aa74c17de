"""What a network is trained for. N images, K classes; logits_NK are a network's raw outputs."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Objective(Protocol):
    """Loss and rightness of each image; `select_by` is 'accuracy' or 'loss' (of validation)."""

    select_by: str

    def losses(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor: ...

    def right(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor: ...

    def unsmoothed(self) -> "Objective": ...


def judged(objective: Objective, logits_NK: Tensor, labels_N: Tensor) -> dict[str, float]:
    """What an epoch says of validation images: mean loss without smoothing, and accuracy; nan where there are none."""
    if not len(labels_N):
        return {"val_loss": math.nan, "val_accuracy": math.nan}
    return {
        "val_loss": objective.unsmoothed().losses(logits_NK, labels_N).mean().item(),
        "val_accuracy": objective.right(logits_NK, labels_N).float().mean().item(),
    }


@dataclass(frozen=True)
class Classification:
    """Cross entropy over all classes; the best epoch has the highest validation accuracy."""

    label_smoothing: float = 0.0
    select_by: str = "accuracy"

    def losses(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        """(N,) cross entropy of each image, in nats."""
        return functional.cross_entropy(logits_NK.float(), labels_N, reduction="none", label_smoothing=self.label_smoothing)

    def right(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        """(N,) bool: is the most probable class the true one?"""
        return logits_NK.argmax(dim=1) == labels_N

    def unsmoothed(self) -> "Classification":
        """The same with hard targets, by which epochs are compared."""
        return replace(self, label_smoothing=0.0)


@dataclass(frozen=True)
class OneClass:
    """Binary cross entropy of E = softmax(logits)[c] against (label == c); specs: the published expert.

    The best epoch has the lowest validation loss: E enters the product by its odds, not by its side of 1/2.
    """

    class_index: int
    label_smoothing: float = 0.0
    select_by: str = "loss"

    def losses(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        """(N,) binary cross entropy of each image, in nats; smoothing moves the targets towards 1/2."""
        target_N = (labels_N == self.class_index).float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(one_class_log_odds(logits_NK, self.class_index), target_N, reduction="none")

    def right(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        """(N,) bool: is the image on the right side of E = 1/2?"""
        return (one_class_log_odds(logits_NK, self.class_index) > 0) == (labels_N == self.class_index)

    def unsmoothed(self) -> "OneClass":
        """The same with hard targets, by which epochs are compared."""
        return replace(self, label_smoothing=0.0)


def one_class_log_odds(logits_NK: Tensor, class_index: int) -> Tensor:
    """(N,) float32 log-odds of softmax(logits)[c]: z_c - logsumexp of the other logits; exact where softmax rounds to 1."""
    logits_NK = logits_NK.float()
    others_NK = torch.cat([logits_NK[:, :class_index], logits_NK[:, class_index + 1 :]], dim=1)
    return logits_NK[:, class_index] - others_NK.logsumexp(dim=1)


def class_probabilities(logits_NK: Tensor) -> Tensor:
    """(N, K) float64 softmax. In float64 because an expert answers by its odds, and near 1 a float32 rounds the rest away."""
    return logits_NK.double().softmax(dim=1)
