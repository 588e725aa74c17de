"""Steps of stochastic gradient descent, and the average of the weights over them.

torch.optim imports torch's compiler when an optimizer is made: 1.5 s in each of many short training jobs. These two need none of it.
"""

import copy
import math
from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


class Sgd:
    """SGD with L2 penalty and Nesterov momentum; the same steps, bit for bit, as torch.optim.SGD."""

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float, weight_decay: float) -> None:
        """Take parameters on their device.

        Args:
            momentum: 0 = none.
            weight_decay: of the L2 penalty, as torch's SGD has it: added to the gradient.
        """
        self.parameters, self.momentum, self.weight_decay = list(parameters), momentum, weight_decay
        self.velocity = [torch.zeros_like(parameter) for parameter in self.parameters] if momentum else []

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the parameters that have gradients, and drop the gradients."""
        moved = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        if not moved:
            return
        parameters = [self.parameters[i] for i in moved]
        directions: list[Tensor] | tuple[Tensor, ...] = [parameter.grad for parameter in parameters]
        if self.weight_decay:
            directions = torch._foreach_add(directions, parameters, alpha=self.weight_decay)
        if self.momentum:
            velocity = [self.velocity[i] for i in moved]
            torch._foreach_mul_(velocity, self.momentum)
            torch._foreach_add_(velocity, directions)
            directions = torch._foreach_add(directions, velocity, alpha=self.momentum)
        torch._foreach_add_(parameters, directions, alpha=-rate)
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What the next steps depend on."""
        return {"velocity": self.velocity}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from there."""
        for mine, theirs in zip(self.velocity, state["velocity"], strict=True):
            mine.copy_(theirs)


class Average:
    """Exponential moving average of a module's weights and statistics; begins with those after the first step.

    Attributes:
        module: with the averaged weights.
        steps: how many were averaged.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Copy a module.

        Args:
            decay: share of the average that stays at each step.
        """
        self.module, self.decay, self.steps = copy.deepcopy(module).requires_grad_(False), decay, 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the module's weights after a step into the average."""
        mine, theirs = (list(chain(part.parameters(), part.buffers())) for part in (self.module, module))
        averaged = [i for i, tensor in enumerate(mine) if tensor.is_floating_point() and self.steps]
        if averaged:
            torch._foreach_lerp_([mine[i] for i in averaged], [theirs[i] for i in averaged], 1 - self.decay)
        for i in set(range(len(mine))) - set(averaged):
            mine[i].copy_(theirs[i])
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """What the next updates depend on."""
        return {"module": self.module.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.module.load_state_dict(state["module"])
        self.steps = state["steps"]


def rate_factor(schedule: str, step: int, steps: int) -> float:
    """Learning rate as a share of its peak, at `step` in 0 .. steps - 1.

    one_cycle: cosine from 1/25 to 1 in the first 30 %, cosine down to 1/250,000 (Smith & Topin 2018, exactly torch's
    OneCycleLR; momentum stays). trapezoid: linear up in the first 20 %, flat, linear to 0 in the last 40 %. cosine: from 1 to 0.
    """
    if schedule == "one_cycle":
        low, end, peak = 1 / 25, 1 / 250_000, 0.3 * steps - 1
        if step <= peak:
            return 1 + (low - 1) * (1 + math.cos(math.pi * step / peak)) / 2
        return end + (1 - end) * (1 + math.cos(math.pi * (step - peak) / (steps - 1 - peak))) / 2
    progress = step / max(steps - 1, 1)
    if schedule == "trapezoid":
        return min(1.0, (progress + 0.01) / 0.2, max(0.0, 1 - progress) / 0.4)
    return (1 + math.cos(math.pi * progress)) / 2 if schedule == "cosine" else 1.0
