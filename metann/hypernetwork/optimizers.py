"""Steps of many small problems at once, each with a learning rate of its own.

The first dimension of every tensor may be the problems'. torch.optim has one rate for all, and imports torch's compiler: 1.7 s in
each of many short jobs. Adam takes the steps of torch.optim.Adam; RmsProp those of TensorFlow 1, as the published code has them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Optimizer:
    """Base: moments of the gradients, one list of tensors each."""

    moments: tuple[str, ...] = ()

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        """Take leaf tensors that require gradients."""
        self.parameters, self.steps = list(parameters), 0
        self.state = {name: [self.begin(parameter) for parameter in self.parameters] for name in self.moments}

    def begin(self, parameter: Tensor) -> Tensor:
        """A moment before the first step."""
        return torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Move all parameters by their gradients, and drop the gradients.

        Args:
            rate: one number, or (Q,) one for each problem.
        """
        self.steps += 1
        for i, parameter in enumerate(self.parameters):
            mine = rate.view(-1, *[1] * (parameter.dim() - 1)) if isinstance(rate, Tensor) else rate
            parameter.sub_(self.direction(i, parameter.grad) * mine)
            parameter.grad = None

    def direction(self, i: int, gradient: Tensor) -> Tensor:
        """Where parameter i moves at rate 1, backwards."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Steps and moments."""
        return {"steps": self.steps} | self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.steps = state["steps"]
        for name in self.moments:
            for mine, given in zip(self.state[name], state[name], strict=True):
                mine.copy_(given)


class Adam(Optimizer):
    """Kingma and Ba 2015 with torch's numbers: decays 0.9 and 0.999, epsilon 1e-8."""

    moments = ("mean", "square")

    def direction(self, i: int, gradient: Tensor) -> Tensor:
        mean, square = self.state["mean"][i], self.state["square"][i]
        mean.lerp_(gradient, 0.1)
        square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        denominator = (square.sqrt() / (1 - 0.999**self.steps) ** 0.5).add_(1e-8)
        return mean / (1 - 0.9**self.steps) / denominator


class RmsProp(Optimizer):
    """As TensorFlow 1 has it: decay 0.9, epsilon 1e-10 inside the root, squares begin at 1 (torch: 0.99, 1e-8 outside, 0)."""

    moments = ("square",)

    def begin(self, parameter: Tensor) -> Tensor:
        return torch.ones_like(parameter)

    def direction(self, i: int, gradient: Tensor) -> Tensor:
        square = self.state["square"][i]
        square.mul_(0.9).addcmul_(gradient, gradient, value=0.1)
        return gradient / (square + 1e-10).sqrt()


class Sgd(Optimizer):
    """The gradient itself."""

    def direction(self, i: int, gradient: Tensor) -> Tensor:  # noqa: ARG002
        return gradient


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "rmsprop": RmsProp, "sgd": Sgd}
