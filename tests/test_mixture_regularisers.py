"""Regularisers of gates against loops, published forms and finite differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from metann import registry
from metann.mixture import regularisers
from metann.mixture.regularisers import entropy, importance, load, sample_similarity, switch, z
from metann.mixture.step import distances


def gate_of(images: int = 12, experts: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(images, experts, generator=generator, dtype=torch.float64)).softmax(dim=1)


def apart(images: int = 12, seed: int = 1) -> torch.Tensor:
    return distances(torch.randn(images, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), "max").double()


def test_importance_is_the_squared_coefficient_of_variation() -> None:
    gate_BE = gate_of()
    columns = gate_BE.sum(dim=0).numpy()
    assert float(importance(gate_BE)) == pytest.approx(np.var(columns, ddof=1) / np.mean(columns) ** 2)
    assert float(importance(torch.full((6, 3), 1 / 3))) == pytest.approx(0, abs=1e-12)
    collapsed = torch.eye(4)[torch.zeros(8, dtype=torch.long)]
    assert float(importance(collapsed)) == pytest.approx(4), "all to one of E: E"


def test_one_expert_costs_nothing_and_pulls_nowhere() -> None:
    """(d): importance 0, L_s constant with zero gradient through the gate's softmax."""
    scores = torch.randn(6, 1, dtype=torch.float64, requires_grad=True)
    gate_BE, apart_BB = scores.softmax(dim=1), apart(6)
    assert float(importance(gate_BE).detach()) == 0
    similarity = sample_similarity(gate_BE, apart_BB)
    assert float(similarity.detach()) == pytest.approx(float(apart_BB.mean()))
    (importance(gate_BE) + similarity + entropy(gate_BE)).backward()
    assert torch.equal(scores.grad, torch.zeros_like(scores))


@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 10**6))
def test_similarity_is_the_double_loop(images: int, experts: int, seed: int) -> None:
    """(c)."""
    gate_BE, apart_BB = gate_of(images, experts, seed), apart(images, seed)
    pairs = [float(apart_BB[a, b]) * float(gate_BE[a] @ gate_BE[b]) for a in range(images) for b in range(images)]
    assert float(sample_similarity(gate_BE, apart_BB)) == pytest.approx(sum(pairs) / images**2, abs=1e-12)


@given(st.integers(2, 8), st.integers(2, 5), st.integers(0, 10**6))
def test_the_published_second_term_is_the_first_again(images: int, experts: int, seed: int) -> None:
    """(c): sum over different experts of D_ab p_i(a) p_j(b) = sum D - <D, PP^T>, so its weight changes nothing but the first one's."""
    gate_BE, apart_BB = gate_of(images, experts, seed), apart(images, seed)
    loop = sum(
        float(apart_BB[a, b] * gate_BE[a, i] * gate_BE[b, j])
        for a in range(images)
        for b in range(images)
        for i in range(experts)
        for j in range(experts)
        if i != j
    )
    closed = float(apart_BB.sum()) - images**2 * float(sample_similarity(gate_BE, apart_BB))
    assert loop == pytest.approx(closed, abs=1e-10)


def test_similarity_means_the_same_at_every_batch_size() -> None:
    gate_BE, apart_BB = gate_of(10), apart(10)
    twice = sample_similarity(gate_BE.repeat(2, 1), apart_BB.repeat(2, 2))
    assert float(twice) == pytest.approx(float(sample_similarity(gate_BE, apart_BB)))


def test_switch_by_hand() -> None:
    gate_BE = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    routed_BE = torch.tensor([[True, False], [True, False], [False, True]])
    assert float(switch(gate_BE, routed_BE)) == pytest.approx(2 * (2 / 3 * 0.5 + 1 / 3 * 0.5))
    even = torch.full((4, 4), 0.25)
    assert float(switch(even, torch.eye(4))) == pytest.approx(1)


def test_z_and_entropy_by_hand() -> None:
    scores_BE = torch.tensor([[0.0, math.log(3)], [1.0, 1.0]])
    assert float(z(scores_BE)) == pytest.approx((math.log(4) ** 2 + (1 + math.log(2)) ** 2) / 2)
    assert float(entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))) == pytest.approx(math.log(2) / 2)


def test_entropy_of_a_certain_gate_has_a_finite_gradient() -> None:
    gate_BE = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    entropy(gate_BE).backward()
    assert gate_BE.grad.isfinite().all()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_load_is_the_probability_of_being_among_the_first(k: int) -> None:
    generator = np.random.default_rng(0)
    clean, deviation = generator.normal(size=(5, 4)), generator.uniform(0.3, 1.5, (5, 4))
    noisy = clean + deviation * generator.normal(size=(5, 4))
    p = np.zeros((5, 4))
    for b in range(5):
        for e in range(4):
            others = np.sort(np.delete(noisy[b], e))[::-1]
            p[b, e] = norm.cdf((clean[b, e] - others[k - 1]) / deviation[b, e])
    columns = p.sum(axis=0)
    wanted = columns.var(ddof=1) / columns.mean() ** 2
    assert float(load(*(torch.tensor(part) for part in (clean, noisy, deviation)), k)) == pytest.approx(wanted)
    assert float(load(*(torch.tensor(part) for part in (clean, noisy, deviation)), 4)) == 0


@pytest.mark.parametrize("name", sorted(registry.functions("mixture/regularisers.py")))
def test_gradients(name: str) -> None:
    """Against finite differences, of every regulariser that there is."""
    function = getattr(regularisers, name)
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    noise = 0.7 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    calls = {
        "importance": lambda s: function(s.softmax(1)),
        "load": lambda s: function(s, s + noise, torch.full_like(s, 0.7), 1),
        "switch": lambda s: function(s.softmax(1), torch.eye(3)[[0, 1, 1, 2, 0]]),
        "z": function,
        "entropy": lambda s: function(s.softmax(1)),
        "sample_similarity": lambda s: function(s.softmax(1), apart(5)),
    }
    value = calls[name](scores)
    assert value.shape == ()
    assert torch.autograd.gradcheck(calls[name], (scores,))
    (gradient,) = torch.autograd.grad(value, scores)
    assert gradient.abs().max() > 1e-3, "it pulls somewhere"


def test_distances() -> None:
    rows = torch.randn(4, 2, 3)
    wanted = torch.tensor([[float((a - b).norm()) for b in rows.flatten(1)] for a in rows.flatten(1)])
    torch.testing.assert_close(distances(rows, "none"), wanted)
    torch.testing.assert_close(distances(rows, "max"), wanted / wanted.max())
    assert torch.equal(distances(torch.ones(3, 2), "max"), torch.zeros(3, 3)), "equal images: no 0/0"
