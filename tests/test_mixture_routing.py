"""Routing, combination, losses, temperatures: the arithmetic between a gate's scores and a loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metann.errors import MetannError
from metann.mixture import combination, gates, routing
from metann.mixture.distribution import label_column, log_distribution, noisy, routed
from metann.mixture.losses import Said, jacobs, nll_mix, nll_selected
from metann.mixture.temperature import temperature_at


def scores(images: int = 6, experts: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(images, experts, generator=torch.Generator().manual_seed(seed))


def logits(images: int = 6, experts: int = 4, classes: int = 5, seed: int = 1) -> torch.Tensor:
    return 2 * torch.randn(images, experts, classes, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 8), st.integers(0, 10**6))
def test_top_k_of_all_is_soft(experts: int, seed: int) -> None:
    """(b)."""
    log_p = log_distribution(scores(5, experts, seed))
    a = routed(log_p, routing.top_k(log_p, experts), True)
    b = routed(log_p, routing.soft(log_p), True)
    torch.testing.assert_close(a.exp(), b.exp(), atol=1e-6, rtol=0)


@given(st.integers(2, 8), st.data(), st.integers(0, 10**6))
def test_top_k_by_hand(experts: int, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, experts))
    given_NE = scores(4, experts, seed).round(decimals=1)  # with equals
    log_p = log_distribution(given_NE)
    weights = routed(log_p, routing.top_k(log_p, k), True).exp().numpy()
    raw = routed(log_p, routing.top_k(log_p, k), False).exp().numpy()
    for row, own, kept in zip(given_NE.numpy(), weights, raw, strict=True):
        chosen = sorted(range(experts), key=lambda e: -row[e])[:k]  # stable: the first of equals
        assert set(np.flatnonzero(own)) == set(chosen)
        exp = np.exp(row - row.max())
        assert own[chosen] == pytest.approx(exp[chosen] / exp[chosen].sum(), abs=1e-6)
        assert kept[chosen] == pytest.approx(exp[chosen] / exp.sum(), abs=1e-6), "not renormalised: what it was"


def test_sample_draws_by_weight() -> None:
    log_p = torch.tensor([[0.2, 0.5, 0.3]]).log().expand(20_000, -1)
    drawn = routing.sample(log_p, uniform_N=torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    assert (drawn.sum(dim=1) == 1).all()
    assert drawn.float().mean(dim=0).tolist() == pytest.approx([0.2, 0.5, 0.3], abs=0.02)
    edges = routing.sample(torch.tensor([[0.0, 1.0, 0.0]] * 2).log(), uniform_N=torch.tensor([0.0, 1 - 1e-9], dtype=torch.float64))
    assert edges.nonzero()[:, 1].tolist() == [1, 1], "an expert without weight is never drawn"


def test_em_asks_the_expert_that_is_most_probably_right() -> None:
    log_p, log_y = log_distribution(scores()), -logits()[:, :, 0].abs()
    chosen = routing.em(log_p, log_likelihood_NE=log_y).float().argmax(dim=1)
    assert torch.equal(chosen, (log_p.exp() * log_y.exp()).argmax(dim=1))


def test_escort_is_the_share_of_squares() -> None:
    given_NE = torch.tensor([[1.0, -2.0, 2.0], [0.0, 0.0, 0.0]])
    p = log_distribution(given_NE, activation="escort").exp()
    assert p[0].tolist() == pytest.approx([1 / 9, 4 / 9, 4 / 9])
    assert p[1].tolist() == pytest.approx([1 / 3] * 3, rel=1e-5)


def test_temperature_divides_the_scores() -> None:
    given_NE = scores()
    torch.testing.assert_close(log_distribution(given_NE, 4.0), (given_NE / 4).log_softmax(dim=1))


def test_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    plain = torch.zeros(20_000, 3)
    added = noisy(plain, "gaussian", torch.tensor([0.5, 1.0, 2.0]), generator)
    assert added.std(dim=0).tolist() == pytest.approx([0.5, 1, 2], rel=0.03)
    p = torch.tensor([0.2, 0.5, 0.3])
    first = noisy(p.log().expand(20_000, -1), "gumbel", 1.0, generator).argmax(dim=1)
    assert (torch.bincount(first) / 20_000).tolist() == pytest.approx(p.tolist(), abs=0.02), "Gumbel-max draws from the softmax"


def test_combinations_by_hand() -> None:
    log_p, z = log_distribution(scores()), logits()
    p, y = log_p.exp(), z.softmax(dim=2)
    expert = p.argmax(dim=1)
    of_expert = y[torch.arange(6), expert]
    wanted = {
        "prob_mean": (p[:, :, None] * y).sum(dim=1),
        "logit_mean": (p[:, :, None] * z).sum(dim=1).softmax(dim=1),
        "selected": of_expert,
        "selected_scaled": p.max(dim=1, keepdim=True).values * of_expert,
    }
    for name, value in wanted.items():
        torch.testing.assert_close(getattr(combination, name)(log_p, z).exp(), value)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize("name", ["prob_mean", "logit_mean", "selected", "selected_scaled"])
def test_gradients_are_finite_with_experts_left_out(name: str, k: int, renormalise: bool) -> None:
    given_NE, z = scores().requires_grad_(), logits().requires_grad_()
    log_p = log_distribution(given_NE)
    log_gate = routed(log_p, routing.top_k(log_p, k), renormalise)
    getattr(combination, name)(log_gate, z)[:, 0].sum().backward()
    assert z.grad.isfinite().all()
    assert given_NE.grad is None or given_NE.grad.isfinite().all()
    learns = given_NE.grad is not None and bool((given_NE.grad.abs() > 1e-9).any())
    assert learns == (name != "selected" and not (renormalise and k == 1) and not (name == "selected_scaled" and renormalise and k == 1))


def test_losses_by_hand() -> None:
    log_p, z, labels = log_distribution(scores()), logits(), torch.tensor([0, 1, 2, 3, 4, 0])
    log_y = label_column(z.log_softmax(dim=2), labels)
    mixture_N = combination.prob_mean(log_p, z).gather(1, labels[:, None]).squeeze(1)
    said = Said(mixture_N, log_p, log_y)
    p, y = log_p.exp(), log_y.exp()
    assert float(nll_mix(said)) == pytest.approx(float(-(p * y).sum(dim=1).log().mean()), rel=1e-5)
    cross_entropy = -log_y
    wanted = -(p * (-0.5 * cross_entropy).exp()).sum(dim=1).log().mean()
    assert float(jacobs(said, 0.5)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(jacobs(said, 0.5)) == pytest.approx(float(-(p * y.sqrt()).sum(dim=1).log().mean()), rel=1e-5)
    assert float(nll_selected(said)) == pytest.approx(float(cross_entropy[torch.arange(6), p.argmax(dim=1)].mean()), rel=1e-5)


def test_jacobs_of_one_expert_is_the_negative_log_likelihood() -> None:
    """(i)."""
    z, labels = logits(6, 1), torch.tensor([0, 1, 2, 3, 4, 0])
    log_y = label_column(z.log_softmax(dim=2), labels)
    said = Said(log_y[:, 0], torch.zeros(6, 1), log_y)
    assert float(jacobs(said, 1.0)) == pytest.approx(float(torch.nn.functional.cross_entropy(z[:, 0], labels)), rel=1e-6)


def test_gates_that_look_at_the_answers() -> None:
    z, labels = logits(), torch.tensor([0, 1, 2, 3, 4, 0])
    owners = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    seen = gates.Seen(None, None, None, 1.0, z, labels, owners, (6, 4), z)
    y = z.softmax(dim=2)
    torch.testing.assert_close(gates.oracle_loss(seen), label_column(y, labels).log2())
    torch.testing.assert_close(gates.oracle_entropy(seen), (y * y.log2()).sum(dim=2))
    assert torch.equal(gates.uniform(seen), torch.zeros(6, 4))
    p = log_distribution(gates.class_sets(seen)).exp()
    torch.testing.assert_close(p, owners[labels] / owners[labels].sum(dim=1, keepdim=True))


def test_attention_is_a_scaled_product() -> None:
    query, keys = torch.randn(3, 8), torch.randn(3, 4, 8)
    seen = gates.Seen(None, query, keys, 1 / math.sqrt(8), None, None, None, (3, 4), query)
    wanted = torch.stack([(keys[n] @ query[n]) / math.sqrt(8) for n in range(3)])
    torch.testing.assert_close(gates.attention(seen), wanted)


def test_temperatures_over_epochs() -> None:
    assert [temperature_at("2.5", e, 9) for e in (1, 9)] == [2.5, 2.5]
    assert [temperature_at("blocks(10, 1, 0.01, 0.001)", e, 8) for e in range(1, 9)] == [10, 10, 1, 1, 0.01, 0.01, 0.001, 0.001]
    wanted = [2, 2, 2 / 1.1, 2 / 1.1 / 1.2]
    assert [temperature_at("decay(2, 0.1, 2, 0.001)", e, 9) for e in range(1, 5)] == pytest.approx(wanted)
    assert temperature_at("decay(2, 10, 1, 0.5)", 9, 9) == 0.5
    with pytest.raises(MetannError, match="decay"):
        temperature_at("decays(2)", 1, 2)
