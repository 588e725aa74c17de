"""A mixture from its setting: freshly drawn weights, its counts, and the width of a dense network that costs the same.

E experts, K classes, C channels.
"""

from dataclasses import dataclass
from typing import Any

import torch

from metann.config.mixture_setting import SettingSection, routing_k
from metann.cost.macs import count_macs, count_parameters
from metann.errors import MetannError
from metann.mixture.dispatch import Experts, StackedExperts
from metann.mixture.gate import Gate
from metann.mixture.network import Mixture
from metann.mixture.taps import Tapped
from metann.networks._build import build
from metann.registry import architecture_settings
from metann.seeds import derive_seed

STEP = 1 / 64  # of a width that need not be whole
# On a CPU stacked weights save calls and cost copies: 1.8 times as fast as a loop for 10 experts of 5,000 multiply-accumulates, 0.7 times
# for 10 of 300,000 (benchmarks/bench_mixture.py).
SMALL_EXPERT = 100_000


@dataclass(frozen=True)
class Shape:
    """Of the images: K, C, and pixels of their square."""

    classes: int
    channels: int
    image_size: int


@dataclass(frozen=True)
class Costs:
    """What a mixture costs.

    Attributes:
        parameters: of all of it.
        gate: multiply-accumulates of the gate per image, attention's products included.
        experts_E: of each expert.
    """

    parameters: int
    gate: int
    experts_E: tuple[int, ...]


def expert_networks(setting: SettingSection, shape: Shape, seed_parts: tuple[object, ...]) -> list[Tapped]:
    """E networks, each with weights of its own seed."""
    networks = []
    for expert in range(setting.experts.number):
        torch.manual_seed(derive_seed(*seed_parts, "expert", expert))
        settings = setting.experts.settings_of(expert)
        network = build(setting.experts.architecture, shape.classes, shape.channels, shape.image_size, **settings)
        networks.append(Tapped(network, setting.experts.tap))
    return networks


def build_gate(setting: SettingSection, shape: Shape, features: int, seed_parts: tuple[object, ...]) -> Gate:
    """A gate for experts of so many features."""
    torch.manual_seed(derive_seed(*seed_parts, "gate"))
    n, sets = setting.experts.number, setting.experts.sets_of(shape.classes)
    learned = setting.noise == "learned"
    return Gate(setting.gate, n, shape.classes, shape.channels, shape.image_size, features, learned, sets)


def build_mixture(setting: SettingSection, shape: Shape, seed_parts: tuple[object, ...] = (), device: str = "cpu") -> Mixture:
    """A mixture of one phase (`setting.phase(i)`), its weights drawn from seeds of their own for each expert and the gate; on the CPU.

    The seeds do not know the setting: two settings of a sweep begin with the same experts.

    Args:
        device: where it will run, 'cpu' or 'cuda'; for compute `auto`.
    """
    networks = expert_networks(setting, shape, seed_parts)
    gate = build_gate(setting, shape, networks[0].features, seed_parts)
    stacked = setting.compute == "vmap" or (
        setting.compute == "auto"
        and setting.experts.alike
        and len(networks) > 1
        and (device != "cpu" or count_macs(networks[0], shape.channels, shape.image_size) < SMALL_EXPERT)
    )
    return Mixture(setting, StackedExperts(networks) if stacked else Experts(networks), gate)


def costs(setting: SettingSection, shape: Shape) -> Costs:
    """Counts of a mixture; nothing is computed."""
    with torch.device("meta"):
        networks = expert_networks(setting, shape, ())
        gate = build_gate(setting, shape, networks[0].features, ())
    experts_E = tuple(count_macs(network, shape.channels, shape.image_size) for network in networks)
    spent = 0
    if gate.network is not None:
        seen = shape.channels + (len(networks) * shape.classes if setting.gate.augmented else 0)
        spent += count_macs(gate.network, seen, shape.image_size)
    if gate.query is not None:
        spent += gate.query.weight.numel() + len(networks) * (gate.key.weight.numel() + gate.key.out_features)
    return Costs(sum(map(count_parameters, networks)) + count_parameters(gate), spent, experts_E)


def active_macs(setting: SettingSection, shape: Shape) -> float:
    """Multiply-accumulates that an image costs, its experts as dear as the mean of all."""
    found, n = costs(setting, shape), setting.experts.number
    running = n if setting.gate.needs_experts else routing_k(setting.route.eval, n)
    return found.gate + running * sum(found.experts_E) / n


def matched(setting: SettingSection, shape: Shape) -> SettingSection:
    """The setting with the width that its `match` asks for: the one whose count is nearest, by bisection.

    Raises:
        MetannError: even the narrowest network has more than twice what is asked for.
    """
    if setting.match is None:
        return setting
    of, name = setting.match.of, setting.match.count
    wanted = costs(of, shape).parameters if name == "parameters" else active_macs(of, shape)
    whole = architecture_settings(setting.experts.architecture).get("width") == "int"
    unit = 1 if whole else STEP

    def with_width(units: int) -> SettingSection:
        settings = setting.experts.settings | {"width": units * unit}
        return setting.model_copy(update={"experts": setting.experts.model_copy(update={"settings": settings}), "match": None})

    def count(units: int) -> float:
        found = costs(with_width(units), shape)
        return found.parameters if name == "parameters" else found.experts_E[0]

    low, high = 1, 2
    while count(high) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < wanted else (low, middle)
    best = min((low, high), key=lambda units: abs(count(units) - wanted))
    if count(best) > 2 * wanted:
        raise MetannError(
            f"{setting.name}: the narrowest {setting.experts.architecture} has {count(best):,} {name}, more than {wanted:,.0f}"
        )
    return with_width(best)


def describe(setting: SettingSection, shape: Shape) -> dict[str, Any]:
    """The counts of a mixture, for headers and tables."""
    found = costs(setting, shape)
    return {"parameters": found.parameters, "gate_macs": found.gate, "expert_macs": list(found.experts_E)}
