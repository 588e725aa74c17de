"""Optimizers of many problems at once, against torch's and against TensorFlow's formulas."""

import pytest
import torch
from torch import Tensor

from metann.hypernetwork.optimizers import OPTIMIZERS, Adam, RmsProp


def quadratic(x: Tensor) -> Tensor:
    return ((x - 3) ** 2 * torch.arange(1.0, 1 + x.shape[-1])).sum()


def test_adam_takes_torchs_steps() -> None:
    mine, theirs = (torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_(True) for _ in range(2))
    ours, reference = Adam([mine]), torch.optim.Adam([theirs], lr=0.03)
    for _ in range(50):
        quadratic(mine).backward()
        ours.step(0.03)
        quadratic(theirs).backward()
        reference.step()
        reference.zero_grad()
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


def test_rmsprop_takes_tensorflows_steps() -> None:
    """Trap: decay 0.9, epsilon inside the root, and an accumulator that begins at 1; torch's differs in all three."""
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    optimizer, square, expected = RmsProp([x]), [1.0, 1.0], [1.0, -2.0]
    for _ in range(5):
        quadratic(x).backward()
        gradient = x.grad.tolist()
        optimizer.step(0.1)
        for i in range(2):
            square[i] = 0.9 * square[i] + 0.1 * gradient[i] ** 2
            expected[i] -= 0.1 * gradient[i] / (square[i] + 1e-10) ** 0.5
    assert x.tolist() == pytest.approx(expected, rel=1e-5)
    theirs = torch.tensor([1.0, -2.0], requires_grad=True)
    reference = torch.optim.RMSprop([theirs], lr=0.1, alpha=0.9)
    quadratic(theirs).backward()
    reference.step()
    assert abs(theirs[0].item() - 1.0) > 2 * 0.1  # three times the rate in its first step


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_problem_has_its_own_rate(name: str) -> None:
    start = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0))
    rates = (0.001, 0.01, 0.0)
    together = start.clone().requires_grad_(True)
    optimizer = OPTIMIZERS[name]([together])
    alone = [start[i : i + 1].clone().requires_grad_(True) for i in range(3)]
    each = [OPTIMIZERS[name]([x]) for x in alone]
    for _ in range(7):
        quadratic(together).backward()
        optimizer.step(torch.tensor(rates))
        for x, own, rate in zip(alone, each, rates, strict=True):
            quadratic(x).backward()
            own.step(rate)
    torch.testing.assert_close(together, torch.cat(alone))
    assert torch.equal(together[2], start[2])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_going_on_from_a_saved_state(name: str) -> None:
    def run(steps: int, start: Tensor, state: dict | None) -> tuple[Tensor, dict]:
        x = start.clone().requires_grad_(True)
        optimizer = OPTIMIZERS[name]([x])
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            quadratic(x).backward()
            optimizer.step(0.01)
        return x.detach(), optimizer.state_dict()

    start = torch.randn(2, 3)
    whole, _ = run(6, start, None)
    half, state = run(3, start, None)
    assert torch.equal(run(3, half, state)[0], whole)
