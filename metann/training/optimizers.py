"""Steps of gradient descent, and the rate of each.

An optimizer has `step(rate)`, which moves the parameters that have gradients and drops the gradients, and a state to go on from.
torch.optim imports torch's compiler when an optimizer is made: 1.7 s in each of many short training jobs. Sgd needs
none of it; Adam and RMSprop, for trainings of minutes, are torch's own.
"""

import inspect
import math
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from metann.errors import MetannError, one_of, unknown

SCHEDULES = ("one_cycle", "trapezoid", "cosine", "constant")


class Optimizer(Protocol):
    """What a trainer needs of an optimizer."""

    def step(self, rate: float) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def optimizer(name: str, parameters: Iterable[nn.Parameter], **settings: float) -> Optimizer:
    """An optimizer by its name, with settings of `OPTIMIZERS[name]`; their defaults are torch's.

    Raises:
        MetannError: unknown name or setting.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS, "metann/training/optimizers.py")
    known = [argument for argument in inspect.signature(OPTIMIZERS[name]).parameters if argument != "parameters"]
    if strange := [setting for setting in settings if setting not in known]:
        raise MetannError(f"optimizer {name} has no setting {strange[0]!r}; known: {one_of(known)}")
    return OPTIMIZERS[name](list(parameters), **settings)


def _adam(
    parameters: list[nn.Parameter], beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0
) -> Optimizer:
    """Adam (Kingma & Ba 2015), with the L2 penalty added to the gradient."""
    return _OfTorch(torch.optim.Adam(parameters, betas=(beta_1, beta_2), eps=epsilon, weight_decay=weight_decay))


def _rmsprop(
    parameters: list[nn.Parameter], decay: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0, weight_decay: float = 0.0
) -> Optimizer:
    """RMSprop (Hinton 2012) as torch has it: `epsilon` outside the root, the mean of squares begins at 0."""
    return _OfTorch(torch.optim.RMSprop(parameters, alpha=decay, eps=epsilon, momentum=momentum, weight_decay=weight_decay))


class _OfTorch:
    """One of torch.optim through the methods of `Sgd`."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner

    def step(self, rate: float) -> None:
        for group in self.inner.param_groups:
            group["lr"] = rate
        self.inner.step()
        self.inner.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # A checkpoint is read onto the training's device; torch counts its steps on the CPU and would wait for a GPU at each.
        of_each = {
            number: {name: value.cpu() if name == "step" else value for name, value in values.items()}
            for number, values in state["state"].items()
        }
        self.inner.load_state_dict(state | {"state": of_each})


class Sgd:
    """SGD with L2 penalty and Nesterov momentum; the same steps, bit for bit, as torch.optim.SGD."""

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float = 0.0, weight_decay: float = 0.0) -> None:
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


class RmspropTensorflow:
    """RMSprop as TensorFlow 1's RMSPropOptimizer: `epsilon` inside the root, and the mean of squares begins at 1, not at 0.

    m <- decay m + (1 - decay) g^2;  v <- momentum v + rate g / sqrt(m + epsilon);  w <- w - v. The first steps are much shorter
    than torch's: near `rate` times the gradient.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float = 0.9, epsilon: float = 1e-10, momentum: float = 0.0) -> None:
        """Take parameters on their device; the defaults are TensorFlow's."""
        self.parameters, self.decay, self.epsilon, self.momentum = list(parameters), decay, epsilon, momentum
        self.squares = [torch.ones_like(parameter) for parameter in self.parameters]
        self.velocity = [torch.zeros_like(parameter) for parameter in self.parameters] if momentum else []

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the parameters that have gradients, and drop the gradients."""
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            self.squares[i].mul_(self.decay).addcmul_(parameter.grad, parameter.grad, value=1 - self.decay)
            move = rate * parameter.grad / (self.squares[i] + self.epsilon).sqrt()
            if self.momentum:
                move = self.velocity[i].mul_(self.momentum).add_(move)
            parameter -= move
            parameter.grad = None

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What the next steps depend on."""
        return {"squares": self.squares, "velocity": self.velocity}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from there."""
        for mine, theirs in ((self.squares, state["squares"]), (self.velocity, state["velocity"])):
            for tensor, value in zip(mine, theirs, strict=True):
                tensor.copy_(value)


OPTIMIZERS = {"sgd": Sgd, "adam": _adam, "rmsprop": _rmsprop, "rmsprop_tensorflow": RmspropTensorflow}


def rate_factor(schedule: str, step: int, steps: int) -> float:
    """Learning rate as a share of its peak, at `step` in 0 .. steps - 1.

    one_cycle: cosine from 1/25 to 1 in the first 30 %, cosine down to 1/250,000 (Smith & Topin 2018, exactly torch's
    OneCycleLR; momentum stays). trapezoid: linear up in the first 20 %, flat, linear to 0 in the last 40 %. cosine: from 1 to 0.
    constant: 1.

    Raises:
        MetannError: another schedule.
    """
    if schedule == "one_cycle":
        low, end, peak = 1 / 25, 1 / 250_000, 0.3 * steps - 1
        if step <= peak:
            return 1 + (low - 1) * (1 + math.cos(math.pi * step / peak)) / 2
        return end + (1 - end) * (1 + math.cos(math.pi * (step - peak) / (steps - 1 - peak))) / 2
    progress = step / max(steps - 1, 1)
    if schedule == "trapezoid":
        return min(1.0, (progress + 0.01) / 0.2, max(0.0, 1 - progress) / 0.4)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "constant":
        return 1.0
    raise unknown("schedule", schedule, SCHEDULES)
