"""What experts are trained for, against the formulas by hand."""

import math

import numpy as np
import pytest
import torch

from metann.mnn.combination import combine
from metann.mnn.objective import Beside, answers_for_all, loss_of, offset_of, silence
from metann.networks._build import build

N, K = 12, 4


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    z_NK, switch_NK = torch.randn(N, K, generator=generator) * 3, torch.randn(N, K, generator=generator) * 3
    return z_NK, switch_NK, torch.randint(0, K, (N,), generator=generator)


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def test_combined_is_the_loss_of_the_product(logits: tuple[torch.Tensor, ...]) -> None:
    z_NK, switch_NK, labels_N = logits
    for c in (2, None):
        losses_N = loss_of("combined", c, 0.0).losses(z_NK + offset_of("combined", c, switch_NK), labels_N)
        for z_K, s_K, y, loss in zip(z_NK.tolist(), switch_NK.tolist(), labels_N.tolist(), losses_N.tolist(), strict=True):
            product_K = [p * e for p, e in zip(softmax(s_K), softmax(z_K), strict=True)]
            assert loss == pytest.approx(-math.log(product_K[y] / sum(product_K)), rel=1e-4, abs=1e-5)


def test_residual_is_the_loss_of_the_log_odds_that_the_switch_lacks(logits: tuple[torch.Tensor, ...]) -> None:
    z_NK, switch_NK, labels_N = logits
    c = 1
    losses_N = loss_of("residual", c, 0.0).losses(z_NK + offset_of("residual", c, switch_NK), labels_N)
    for z_K, s_K, y, loss in zip(z_NK.tolist(), switch_NK.tolist(), labels_N.tolist(), losses_N.tolist(), strict=True):
        s, e = softmax(s_K)[c], softmax(z_K)[c]
        g = math.log(e / (1 - e)) + math.log(K - 1)
        yes = 1 / (1 + math.exp(-(math.log(s / (1 - s)) + g)))
        assert loss == pytest.approx(-math.log(yes if y == c else 1 - yes), rel=1e-4, abs=1e-5)


def test_the_published_product_adds_what_residual_learns(logits: tuple[torch.Tensor, ...]) -> None:
    z_NK, switch_NK, _ = logits
    switch_p, expert_p = (rows.double().softmax(dim=1).numpy() for rows in (switch_NK, z_NK))
    active_NK = np.zeros((N, K), bool)
    active_NK[:, 1] = True
    score_NK = np.log(combine(switch_p, expert_p, active_NK))
    g_N = np.log(expert_p[:, 1] / (1 - expert_p[:, 1])) + np.log(K - 1)
    before_N = np.log(switch_p[:, 1]) - np.log(switch_p[:, 0])
    assert score_NK[:, 1] - score_NK[:, 0] == pytest.approx(before_N + g_N)


def test_published_is_the_expert_alone(logits: tuple[torch.Tensor, ...]) -> None:
    z_NK, switch_NK, labels_N = logits
    assert offset_of("published", 1, switch_NK) is None
    e_N = z_NK.double().softmax(dim=1)[:, 1]
    wanted_N = -torch.where(labels_N == 1, e_N, 1 - e_N).log()
    assert torch.allclose(loss_of("published", 1, 0.0).losses(z_NK, labels_N).double(), wanted_N, atol=1e-5)


@pytest.mark.parametrize(
    ("objective", "c", "wanted"), [("published", 0, False), ("residual", 0, False), ("combined", 0, True), ("published", None, True)]
)
def test_who_answers_for_all_classes(objective: str, c: int | None, wanted: bool) -> None:
    assert answers_for_all(objective, c) == wanted
    assert loss_of(objective, c, 0.1).select_by == "loss"


@pytest.mark.parametrize("objective", ["combined", "residual"])
def test_a_silent_expert_changes_nothing(objective: str, logits: tuple[torch.Tensor, ...]) -> None:
    network = build("small_cnn", K, 1, 8, width=3, depth=2).eval()
    silence(network)
    with torch.no_grad():
        z_NK = network(torch.rand(N, 1, 8, 8))
    assert torch.equal(z_NK, torch.zeros(N, K))
    offset_NK = offset_of(objective, 1, logits[1])
    labels_N = logits[2]
    alone_N = loss_of(objective, 1, 0.0).losses(z_NK + offset_NK, labels_N)
    p_NK = logits[1].double().softmax(dim=1)
    right_N = p_NK[torch.arange(N), labels_N] if objective == "combined" else torch.where(labels_N == 1, p_NK[:, 1], 1 - p_NK[:, 1])
    assert torch.allclose(alone_N.double(), -right_N.log(), atol=1e-4)


def test_beside_trains_the_expert_alone() -> None:
    torch.manual_seed(0)
    expert, switch = (build("small_cnn", K, 1, 8, width=3, depth=2) for _ in range(2))
    both = Beside(expert, switch.eval(), "combined", 0)
    pixels = torch.rand(5, 1, 8, 8)
    both(pixels).sum().backward()
    assert all(parameter.grad is None for parameter in switch.parameters())
    assert any(parameter.grad is not None for parameter in expert.parameters())
    expert.eval()
    with torch.no_grad():
        assert torch.allclose(both(pixels), expert(pixels) + switch(pixels).log_softmax(dim=1), atol=1e-6)
