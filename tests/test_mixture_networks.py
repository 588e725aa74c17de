"""Experts and gates of the published mixtures, and the features of any network."""

import pytest
import torch
from torch import nn

from metann import registry
from metann.config.mixture_setting import SettingSection, expand
from metann.cost.macs import count_parameters
from metann.errors import MetannError
from metann.mixture.build import Shape, active_macs, build_mixture, costs, matched
from metann.mixture.taps import Tapped, last_linear
from metann.networks._build import build

# architecture: (outputs, channels, pixels, parameters as specs/mixture.md has them, computed from its table of layers)
PUBLISHED = {
    "mnist_expert": (10, 1, 28, 1_382),
    "mnist_gate": (10, 1, 28, 26_228),
    "mnist_expert_2021": (10, 1, 28, 1_030),
    "mnist_gate_2021": (5, 1, 28, 30_351),
    "fashion_expert": (10, 1, 28, 13_300),
    "fashion_gate": (5, 1, 28, 709_405),
    "fashion_digits_gate": (6, 1, 28, 22_912),
    "conv_4": (10, 3, 32, 10_490),
    "conv_4_gate": (10, 3, 32, 1_502_826),
    "conv_2": (10, 3, 32, 2_173_514),
    "cifar100_expert_256": (100, 3, 32, 911_012),
    "cifar100_gate_256": (20, 3, 32, 3_917_332),
    "cifar100_expert_128": (100, 3, 32, 234_756),
    "cifar100_gate_128": (20, 3, 32, 3_783_572),
    "cifar100_expert_64": (100, 3, 32, 72_260),
    "cifar100_gate_64": (20, 3, 32, 2_634_836),
}
SMALL = sorted(name for name in registry.architectures() if not name.startswith(("imagenet_", "densenet", "googlenet", "inception")))


def setting(text: object, **common: object) -> SettingSection:
    return SettingSection.model_validate(expand(text, common))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts(name: str) -> None:
    outputs, channels, size, wanted = PUBLISHED[name]
    with torch.device("meta"):
        assert count_parameters(build(name, outputs, channels, size)) == wanted


def test_every_architecture_of_the_published_mixtures_is_counted() -> None:
    mine = {name for name, family in registry.architectures().items() if family.startswith("mixture_")}
    assert mine == set(PUBLISHED)


def test_attention_costs_two_square_matrices() -> None:
    """2 h^2 parameters more than the gate's trunk: h = 32 for Fashion-MNIST."""
    shape, plain, attentive = Shape(10, 1, 28), setting("expectation"), setting("attentive")
    last_layer = 32 * 5 + 5
    assert costs(attentive, shape).parameters - costs(plain, shape).parameters == 2 * 32**2 - last_layer
    gate = build_mixture(attentive, shape).gate
    assert costs(attentive, shape).gate == costs(plain, shape).gate - 32 * 5 + 32 * 32 * (1 + 5) + 5 * 32
    assert count_parameters(gate) == 709_405 - last_layer + 2 * 32**2


def test_active_cost_of_each_routing() -> None:
    shape = Shape(10, 1, 28)
    found = costs(setting("expectation"), shape)
    for text, running in {"expectation": 5, "top_2": 2, "top_1": 1, "stochastic": 1, "attentive_top_2": 5, "loss_gate": 1}.items():
        of = costs(setting(text), shape)
        assert active_macs(setting(text), shape) == of.gate + running * found.experts_E[0], text


@pytest.mark.parametrize("count", ["parameters", "active_macs"])
@pytest.mark.parametrize(("architecture", "settings"), [("conv_4", {}), ("small_cnn", {"depth": 2})])
def test_a_dense_network_of_the_same_count(count: str, architecture: str, settings: dict) -> None:
    shape = Shape(10, 3, 32)
    of = setting("top_2", experts={"architecture": architecture, "settings": settings}, gate={"architecture": "conv_4_gate"})
    control = setting({"preset": "single", "name": "dense", "experts": {"architecture": architecture, "settings": settings}})
    control = control.model_copy(update={"match": type(control).model_fields["match"].annotation.__args__[0](count=count, of=of)})
    found = matched(control, shape)
    wanted = costs(of, shape).parameters if count == "parameters" else active_macs(of, shape)
    got = costs(found, shape).parameters if count == "parameters" else costs(found, shape).experts_E[0]
    assert got == pytest.approx(wanted, rel=0.03)
    assert found.match is None


@pytest.mark.parametrize("name", SMALL)
def test_features_are_what_the_last_linear_layer_takes(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, 7, 3, 32).eval()
    tapped = Tapped(network)
    images_NCHW = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        logits_NK, features_Nh = tapped(images_NCHW)
        head = last_linear(network)[1]
        assert features_Nh.shape == (2, tapped.features) == (2, head.in_features)
        ratio = logits_NK / head(features_Nh)  # resnet9 scales its logits by a constant
        assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-4)
        assert torch.equal(logits_NK, network(images_NCHW)), "a network that is looked at answers as before"


def test_features_before_and_after_the_last_relu() -> None:
    torch.manual_seed(0)
    network, images_NCHW = build("mnist_gate", 5, 1, 28), torch.rand(3, 1, 28, 28)
    after_Nh, before_Nh = Tapped(network)(images_NCHW)[1], Tapped(network, "pre_act")(images_NCHW)[1]
    assert torch.equal(before_Nh.relu(), after_Nh)
    assert (before_Nh < 0).any()
    with pytest.raises(MetannError, match="use post_act"):
        Tapped(build("small_cnn", 5, 1, 8, depth=2), "pre_act")(torch.rand(2, 1, 8, 8))


def test_a_headless_network_has_features_alone() -> None:
    torch.manual_seed(0)
    network = build("mnist_gate", 5, 1, 28)
    wanted = Tapped(network)(images := torch.rand(3, 1, 28, 28))[1]
    headless = Tapped(network, headless=True)
    logits, features = headless(images)
    assert logits is None
    assert torch.equal(features, wanted)
    assert not [name for name, _ in headless.named_parameters() if name.startswith("network.classifier")]


def test_a_network_without_linear_layer_has_no_features() -> None:
    with pytest.raises(MetannError, match="no linear layer"):
        Tapped(nn.Sequential(nn.Conv2d(1, 2, 3)))


def test_too_small_images() -> None:
    with pytest.raises(MetannError, match="larger images"):
        build("conv_4", 10, 3, 8)
    with pytest.raises(MetannError, match="width 0"):
        build("conv_4", 10, 3, 32, width=0.0)
