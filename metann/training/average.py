"""The average of a module's weights over the steps of a training."""

import copy
from itertools import chain
from typing import Any

import torch
from torch import nn


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
