"""One step of a mixture's training: what is minimised, and which part's gradient it moves.

Shapes: B images of a batch, E experts.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from metann.config.mixture_parts import NOISE
from metann.config.mixture_setting import SettingSection, routing_k
from metann.function_call import read_call
from metann.mixture import losses, regularisers
from metann.mixture.network import Mixture, Pass
from metann.registry import functions

Distances = Callable[[Tensor], Tensor]


def main_loss(setting: SettingSection, seen: Pass, labels_B: Tensor) -> Tensor:
    """The setting's loss; a gate that learns likelihoods has its own beside it: sum over experts of mean |g_e - ln y_e[label]|."""
    name, numbers = read_call(setting.loss, "loss", functions("mixture/losses.py"))
    said = seen.said(labels_B)
    loss = getattr(losses, name)(said, *numbers)
    if setting.gate.kind == "loss_regression":
        loss = loss + (seen.scores_NE - said.experts_NE.detach()).abs().mean(dim=0).sum()
    return loss


def penalties(setting: SettingSection, seen: Pass, distances_BB: Tensor | None) -> dict[str, Tensor]:
    """Each regulariser's value, not yet weighed. Importance and similarity look at the weights after routing, the others before it."""
    p_BE, weights_BE = seen.log_p_NE.exp(), seen.log_gate_NE.exp()

    def load() -> Tensor:
        deviation = seen.deviation_NE
        if deviation is None:
            deviation = torch.full_like(seen.scores_NE, read_call(setting.noise, "noise", NOISE)[1][0])
        return regularisers.load(seen.scores_NE, seen.noisy_NE, deviation, routing_k(setting.route.train, setting.experts.number))

    values: dict[str, Callable[[], Tensor]] = {
        "importance": lambda: regularisers.importance(weights_BE),
        "load": load,
        "switch": lambda: regularisers.switch(p_BE, seen.kept_NE),
        "z": lambda: regularisers.z(seen.scores_NE),
        "entropy": lambda: regularisers.entropy(p_BE),
        "sample_similarity": lambda: regularisers.sample_similarity(weights_BE, distances_BB),
    }
    return {name: values[name]() for name in setting.regularisers}


def distances(space_BF: Tensor, normalise: str) -> Tensor:
    """(B, B) Euclidean distances of flattened rows; over the largest of the batch where normalised."""
    flat_BF = space_BF.detach().float().flatten(1)
    found_BB = torch.cdist(flat_BF, flat_BF, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(0)
    return found_BB / found_BB.max().clamp_min(1e-12) if normalise == "max" else found_BB


def backward(
    mixture: Mixture,
    seen: Pass,
    pixels_BCHW: Tensor,
    labels_B: Tensor,
    distances_BB: Tensor | None,
    experts_temperature: float | None,
    trained: dict[str, Sequence[nn.Parameter]],
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Leave the gradients of one batch in the parameters.

    Args:
        mixture: whose pass `seen` is, at the gate's temperature.
        experts_temperature: where experts learn at another temperature of the gate than the gate does: then the gradient of the loss
            there moves the experts alone, that of the loss and the regularisers here the gate alone.
        trained: parameters of `experts` and of `gate` that learn.

    Returns:
        (the loss at the gate's temperature, without regularisers; the regularisers).
    """
    setting = mixture.setting
    loss, found = main_loss(setting, seen, labels_B), penalties(setting, seen, distances_BB)
    total = loss + sum(setting.regularisers[name] * value for name, value in found.items())
    if experts_temperature is None:
        if total.requires_grad:
            total.backward()
        return loss.detach(), found
    other = main_loss(setting, mixture.at(seen, experts_temperature, pixels_BCHW, labels_B, generator), labels_B)
    for objective, part, keep in ((other, "experts", True), (total, "gate", False)):
        parameters = list(trained[part])
        if not parameters:
            continue
        gradients = torch.autograd.grad(objective, parameters, retain_graph=keep, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
    return loss.detach(), found
