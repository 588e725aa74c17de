"""Experts and gate put together: three ways to compute, what each published variant does, and one step of every one of them."""

import math

import pytest
import torch
from torch import nn

from metann.compute.normalise import Normalisation
from metann.config.mixture_presets import PRESETS
from metann.config.mixture_setting import SettingSection, expand
from metann.mixture.build import Shape, build_mixture
from metann.mixture.dispatch import StackedExperts
from metann.mixture.distribution import log_distribution
from metann.mixture.network import Mixture
from metann.mixture.parts import parts_of, take
from metann.mixture.phases import MixtureTrainer
from metann.mixture.step import backward, main_loss
from metann.training.images import LabelledImages

SHAPE = Shape(4, 1, 8)
NETWORK = {"architecture": "small_cnn", "settings": {"width": 3, "depth": 2}}
COMMON = {"experts": {**NETWORK, "number": 3}, "gate": NETWORK, "training": {"epochs": 2, "batch_size": 8, "device": "cpu"}}


def setting(text: object = "expectation", **more: object) -> SettingSection:
    written = {"preset": text, "name": "it"} if isinstance(text, str) and "+" not in text else text
    return SettingSection.model_validate(expand(written | more if more else written, COMMON))


def mixture(text: object = "expectation", seed: int = 0, **more: object) -> Mixture:
    return build_mixture(setting(text, **more).last, SHAPE, (seed,))


def batch(n: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.randint(0, 4, (n,), generator=generator)


def sets(n: int = 24, seed: int = 0) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    return LabelledImages(torch.randint(0, 256, (n, 1, 8, 8), generator=generator, dtype=torch.uint8), torch.arange(n) % 4)


def trainer(text: object = "expectation", **more: object) -> MixtureTrainer:
    return MixtureTrainer(setting(text, **more), SHAPE, sets(), sets(9, 1), Normalisation((0.5,), (0.25,)), 0)


def settled(module: nn.Module) -> nn.Module:
    """Batch statistics that are not those of a fresh network, so that eval mode means something."""
    generator = torch.Generator().manual_seed(7)
    for name, value in module.state_dict().items():
        if "running" in name:
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return module


@pytest.mark.parametrize("text", ["expectation", "top_2", "top_1", "pre_softmax", "stochastic", "attentive_top_2", "loss_gate", "hard_em"])
def test_dense_vmap_and_sparse_agree(text: str) -> None:
    """(k): the same weights, the same answers, in evaluation and in training without batch norm's batches."""
    pixels, labels = batch()
    ways = ["dense", "vmap"] if "attentive" in text else ["dense", "vmap", "sparse"]
    made = {way: mixture(text, compute=way) for way in ways}
    parts = parts_of(settled(made["dense"]))
    for way in ways:
        take(made[way], parts, experts=True, gate="all")
        for got, wanted in zip(parts_of(made[way]).experts, parts.experts, strict=True):
            assert all(torch.equal(got[name], wanted[name]) for name in wanted), "the parts themselves survive being stacked"
    answers = {way: made[way].eval()(pixels, labels) for way in ways}
    for way in ways[1:]:
        torch.testing.assert_close(answers[way].log_answer_NK, answers["dense"].log_answer_NK, atol=1e-5, rtol=0)
        torch.testing.assert_close(answers[way].log_gate_NE.exp(), answers["dense"].log_gate_NE.exp(), atol=1e-6, rtol=0)
        assert torch.equal(answers[way].kept_NE, answers["dense"].kept_NE)
    for way in ways:  # one image at a time, where sparse has a way of its own
        for image in range(3):
            alone = made[way](pixels[image : image + 1], labels[image : image + 1])
            torch.testing.assert_close(alone.log_answer_NK, answers["dense"].log_answer_NK[image : image + 1], atol=1e-5, rtol=0)


def test_dense_and_vmap_have_the_same_gradients_and_batch_statistics() -> None:
    pixels, labels = batch()
    made = {way: mixture("top_2", compute=way) for way in ("dense", "vmap")}
    for module in made.values():
        module.train()
        module(pixels, labels, generator=torch.Generator().manual_seed(0)).said(labels).mixture_N.mean().neg().backward()
    stacked, loop = made["vmap"].experts, made["dense"].experts
    for name, own in stacked._names.items():
        for expert, network in enumerate(loop.networks):
            other = dict(network.named_parameters()).get(name)
            if other is None:
                torch.testing.assert_close(getattr(stacked, own)[expert], network.state_dict()[name], atol=1e-5, rtol=1e-5)
            else:
                torch.testing.assert_close(getattr(stacked, own).grad[expert], other.grad, atol=1e-5, rtol=1e-4)


def test_auto_stacks_small_experts_and_all_on_a_gpu() -> None:
    large = setting("expectation", experts={"architecture": "conv_4", "settings": {}})
    for chosen, shape, device, stacked in [
        (setting(), SHAPE, "cpu", True),
        (large, Shape(10, 3, 32), "cpu", False),
        (large, Shape(10, 3, 32), "cuda", True),
        (setting("single"), SHAPE, "cuda", False),
        (setting("expectation", experts={"each": [{}, {"width": 4}, {}]}), SHAPE, "cuda", False),
    ]:
        assert isinstance(build_mixture(chosen, shape, (0,), device).experts, StackedExperts) == stacked


def test_sparse_runs_an_expert_on_only_its_images() -> None:
    made = settled(mixture("top_1", compute="sparse")).eval()
    seen: dict[int, int] = {}
    for number, network in enumerate(made.experts.networks):
        network.register_forward_pre_hook(lambda _, inputs, number=number: seen.update({number: len(inputs[0])}))
    pixels, _ = batch(30)
    answer = made(pixels)
    counts = answer.kept_NE.sum(dim=0).tolist()
    assert seen == {expert: count for expert, count in enumerate(counts) if count}
    assert sum(seen.values()) == 30


def test_an_expert_with_one_image_trains() -> None:
    """Batch norm at one pixel refuses a batch of one."""
    made = mixture("top_1", compute="sparse", experts={"architecture": "small_cnn", "settings": {"width": 3, "depth": 4}})
    made.train()
    pixels, _ = batch(3)
    made.experts.some(pixels, torch.eye(3, dtype=torch.bool)).sum().backward()
    assert all(network.training for network in made.experts.networks)


def test_double_softmax_has_a_floor() -> None:
    """(f): -ln(e / (e + 9)) = 1.461 for 10 classes, -ln(e / (e + 99)) = 3.622 for 100 classes; certain and right is not enough."""
    for classes, floor in ((10, 1.4612), (100, 3.6222)):
        made = build_mixture(setting("expectation_double_softmax").last, Shape(classes, 1, 8), (0,))
        logits = torch.full((2, 3, classes), -50.0)
        logits[:, :, 1] = 50.0
        log_p = log_distribution(torch.zeros(2, 3))
        seen = made(torch.zeros(2, 1, 8, 8))._replace(logits_NEK=logits, log_p_NE=log_p, kept_NE=torch.ones(2, 3, dtype=torch.bool))
        loss = -made._answered(seen).said(torch.ones(2, dtype=torch.long)).mixture_N
        assert loss.tolist() == pytest.approx([floor] * 2, abs=1e-4)
        assert math.log((math.e + classes - 1) / math.e) == pytest.approx(floor, abs=1e-4)


@pytest.mark.parametrize(
    ("init", "kind", "depends"), [("zero_all", "mlp", False), ("zero_last", "mlp", True), ("zero_all", "attention", True)]
)
def test_a_gate_of_zeros(init: str, kind: str, depends: bool) -> None:
    """(g): a deep plain gate of zeros learns its last bias alone; attention still sees the experts' features (before the ReLU)."""
    networks = {"architecture": "mnist_expert", "settings": {}}
    gate = {"architecture": "mnist_gate", "settings": {}, "kind": kind, "init": init, "tap": "pre_act"}
    made = build_mixture(setting("expectation", experts=networks, gate=gate).last, Shape(4, 1, 12), (0,))
    generator = torch.Generator().manual_seed(0)
    pixels, labels = torch.randn(16, 1, 12, 12, generator=generator), torch.randint(0, 4, (16,), generator=generator)
    before = made.eval()(pixels).log_p_NE.exp()
    torch.testing.assert_close(before, torch.full_like(before, 1 / 3))
    optimizer = torch.optim.SGD(made.parameters(), lr=0.5)
    for _ in range(5):
        made.train()(pixels, labels, generator=generator).said(labels).mixture_N.mean().neg().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = made.eval()(pixels).log_p_NE.exp().detach()
    assert bool((after.std(dim=0) > 1e-6).any()) == depends
    assert (after.mean(dim=0) - 1 / 3).abs().max() > 1e-4, "something was learned"


def gradients(text: object, **more: object) -> tuple[dict[str, torch.Tensor], Mixture]:
    made = mixture(text, **more).train()
    pixels, labels = batch()
    generator = torch.Generator().manual_seed(0)
    seen = made(pixels, labels, generator=generator)
    trained = {part: list(getattr(made, part).parameters()) for part in ("experts", "gate")}
    other = more.get("temperature", {}).get("experts")
    backward(made, seen, pixels, labels, None, float(other) if other else None, trained, generator)
    return {name: parameter.grad for name, parameter in made.named_parameters()}, made


@pytest.mark.parametrize("kind", ["mlp", "attention"])
def test_dual_temperature_at_one_is_the_joint_step(kind: str) -> None:
    """(l)."""
    joint, _ = gradients("expectation", gate={"kind": kind})
    dual, _ = gradients("expectation", gate={"kind": kind}, temperature={"gate": "1", "experts": "1.0"})
    for name, gradient in joint.items():
        torch.testing.assert_close(dual[name], gradient)


def test_dual_temperature_moves_each_part_by_its_own() -> None:
    cold, _ = gradients("expectation")
    made_hot = mixture("expectation").train()
    made_hot.temperature.fill_(4.0)
    pixels, labels = batch()
    main_loss(made_hot.setting, made_hot(pixels, labels, generator=torch.Generator().manual_seed(0)), labels).backward()
    dual, _ = gradients("expectation", temperature={"gate": "1", "experts": "4"})
    for name, parameter in made_hot.named_parameters():
        torch.testing.assert_close(dual[name], parameter.grad if name.startswith("experts") else cold[name])


def test_loss_gate_regresses_what_the_experts_would_say() -> None:
    made = mixture("loss_gate").train()
    pixels, labels = batch()
    seen = made(pixels, labels, generator=torch.Generator())
    said = seen.said(labels)
    wanted = -said.experts_NE[torch.arange(12), seen.scores_NE.argmax(dim=1)].mean()
    wanted = wanted + sum((seen.scores_NE[:, e] - said.experts_NE[:, e]).abs().mean() for e in range(3))
    torch.testing.assert_close(main_loss(made.setting, seen, labels), wanted)


def test_detached_features_keep_the_gates_gradient_out_of_the_experts() -> None:
    for detached in (False, True):
        made = mixture("attentive", gate={"detach_taps": detached}).train()
        pixels, _ = batch()
        (made(pixels).scores_NE ** 2).sum().backward()
        moved = [name for name, p in made.experts.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
        assert bool(moved) != detached


def test_evaluation_says_the_same_in_batches_of_any_size() -> None:
    """(m): also where an expert is drawn."""
    for text, more in (("top_2", {}), ("expectation", {"route": {"eval": "sample"}}), ("attentive", {})):
        made = settled(mixture(text, **more)).eval()
        pixels, _ = batch(20)
        whole = made(pixels)
        single = [made(pixels[i : i + 1]) for i in range(20)]
        torch.testing.assert_close(torch.cat([one.log_answer_NK for one in single]), whole.log_answer_NK, atol=1e-5, rtol=0)
        assert torch.equal(torch.cat([one.kept_NE for one in single]), whole.kept_NE)


def test_noise_is_of_training_only() -> None:
    for noise in ("gaussian(1)", "gumbel", "learned"):
        made = settled(mixture("expectation", noise=noise)).eval()
        pixels, labels = batch()
        assert torch.equal(made(pixels).noisy_NE, made(pixels).scores_NE)
        first = made(pixels, labels, generator=torch.Generator().manual_seed(0)).noisy_NE
        again = made(pixels, labels, generator=torch.Generator().manual_seed(0)).noisy_NE
        other = made(pixels, labels, generator=torch.Generator().manual_seed(1)).noisy_NE
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


@pytest.mark.parametrize("text", ["expectation", "attentive", "top_1", "single", "pre_softmax"])
def test_experts_may_be_few_or_one(text: str) -> None:
    made = mixture(text, experts={"number": 1})
    answer = made.eval()(batch()[0])
    torch.testing.assert_close(answer.log_gate_NE.softmax(dim=1), torch.ones(12, 1))


@pytest.mark.parametrize(
    "text", [*PRESETS, "top_2 + load(0.1)", "expectation + sample_similarity(0.5) + z(0.001) + entropy(0.01) + switch(0.1)"]
)
def test_every_published_variant_trains(text: str) -> None:
    """One epoch of every phase: losses are finite, what learns moves, what is frozen stays bit for bit, usage is a distribution."""
    more = {"noise": "learned"} if "load" in text else {}
    if "+" in text:
        written = expand(text, COMMON) | more
        made = MixtureTrainer(SettingSection.model_validate(written), SHAPE, sets(), sets(9, 1), Normalisation((0.5,), (0.25,)), 0)
    else:
        made = trainer(text)
    number = 0
    for phase in range(len(made.setting.phases)):
        for _ in range(made.setting.epochs(phase)):
            number += 1
            row = made.epoch(number) | made.validate()
            assert row["phase"] == phase + 1
            assert all(math.isfinite(value) for value in row.values()), row
            usage = [row[f"usage_{e}"] for e in range(made.setting.experts.number)]
            assert sum(usage) == pytest.approx(1, abs=1e-4)
            made.best_weights()
    assert number == made.ends[-1]


def test_frozen_parts_stay_bit_for_bit() -> None:
    """(j): weights and batch norm's buffers of experts that a phase does not train."""
    for compute in ("vmap", "dense"):
        made = trainer("distilled", compute=compute)
        made.epoch(1), made.best_weights(), made.epoch(2), made.best_weights()
        before = parts_of(made.mixture)
        for number in (3, 4):
            made.epoch(number), made.validate()
        after = parts_of(made.mixture)
        assert made.phase == 1
        for mine, theirs in zip(before.experts, after.experts, strict=True):
            assert any("running" in name for name in mine)
            assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        trunk = "network.network.features.0.weight"
        assert not torch.equal(before.gate[trunk], after.gate[trunk]), "the gate learns"
