"""What an expert is trained for, beside its switch: its own answer, the answer of both together, or what the switch lacks.

Shapes: N images, K classes. z are the expert's logits, S the switch's probabilities of the same (augmented) image, without gradient.

    published   binary cross entropy of softmax(z)_c against (label == c): the expert alone.
    combined    cross entropy of softmax(log S + log softmax z), what the product of both answers says, against the label. Such an expert
                answers with probabilities of all classes.
    residual    binary cross entropy of sigmoid(logit S_c + g_c) against (label == c), where g_c = logit E_c + log(K - 1) is what the
                published product adds to the score of class c for an expert that answers E = softmax(z); so E is used as it always is.

The last two are the first two losses on logits to which the switch's part was added, the *offset* below.
"""

import math

import torch
from torch import Tensor, nn

from metann.training.objectives import Classification, Objective, OneClass, one_class_log_odds

OBJECTIVES = ("published", "combined", "residual")


def answers_for_all(objective: str, class_index: int | None) -> bool:
    """Whether an expert answers with probabilities of all classes, and not with one of its own class.

    Args:
        class_index: None of the generic expert, who is for all classes.
    """
    return class_index is None or objective == "combined"


def loss_of(objective: str, class_index: int | None, label_smoothing: float) -> Objective:
    """The loss on logits and offset; the best epoch has the lowest validation loss, as the published expert's."""
    if answers_for_all(objective, class_index):
        return Classification(label_smoothing, select_by="loss")
    return OneClass(class_index, label_smoothing)


def offset_of(objective: str, class_index: int | None, switch_NK: Tensor) -> Tensor | None:
    """(N, K) float32 that is added to an expert's logits before its loss; None: nothing.

    Args:
        switch_NK: logits of the switch.
    """
    if objective == "published":
        return None
    switch_NK = switch_NK.float()
    if answers_for_all(objective, class_index) or class_index is None:
        return switch_NK.log_softmax(dim=1)
    offset_NK = torch.zeros_like(switch_NK)
    offset_NK[:, class_index] = one_class_log_odds(switch_NK, class_index) + math.log(switch_NK.shape[1] - 1)
    return offset_NK


def silence(module: nn.Module) -> None:
    """Have a network say nothing at first: zero its last linear map, so that beside its switch it begins as the switch alone."""
    last = [part for part in module.modules() if isinstance(part, nn.Linear)][-1:]
    for linear in last:
        nn.init.zeros_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


class Beside(nn.Module):
    """An expert beside its switch, for training: pixels in, logits with the offset out. The switch is frozen."""

    def __init__(self, expert: nn.Module, switch: nn.Module, objective: str, class_index: int | None) -> None:
        """Put both together; the switch's parameters are not to be trained."""
        super().__init__()
        self.expert, self.switch = expert, switch.requires_grad_(False)
        self.objective, self.class_index = objective, class_index

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """(N, K) logits for the loss."""
        with torch.no_grad():
            offset_NK = offset_of(self.objective, self.class_index, self.switch(pixels_NCHW))
        logits_NK = self.expert(pixels_NCHW).float()
        return logits_NK if offset_NK is None else logits_NK + offset_NK
