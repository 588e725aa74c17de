"""Where a mixture is read from and written to: one safetensors file, in a run or packed, from which another training may start.

The header has the setting as the last phase had it, so that the file alone says how to put the parts together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from metann.config.mixture_setting import SettingSection
from metann.config.section import read_section
from metann.errors import MetannError
from metann.mixture.build import Shape, build_mixture
from metann.mixture.network import Mixture
from metann.mixture.parts import split_state, state_of, take
from metann.weights.files import check_header, load_state, read_header, save_weights
from metann.weights.unfilled import at_most

KIND = "mixture"


def save_mixture(path: Path, mixture: Mixture, header: Mapping[str, Any]) -> None:
    """Write a mixture, whole or not at all; the same weights and header make the same bytes.

    Args:
        header: num_classes, channels, image_size, class_names, mean, std and whatever else JSON can hold.
    """
    experts = mixture.setting.experts
    own = {"kind": KIND, "options": mixture.setting.model_dump(mode="json"), "architecture": experts.architecture}
    own |= {"settings": experts.settings_of(0), "experts": experts.number}
    save_weights(path, state_of(mixture), dict(header) | own)


def load_mixture(path: Path, expect: Mapping[str, Any] | None = None) -> tuple[Mixture, dict[str, Any]]:
    """Build the mixture that a file describes and fill it; on the CPU, in eval mode, its experts as modules of their own.

    Args:
        expect: header values that the file must have.

    Raises:
        MetannError: no such file, truncated, not a mixture's, other than expected, or not fitting its own header.
    """
    header = read_header(path)
    if header.get("kind") != KIND:
        raise MetannError(f"{path} holds no mixture but one of kind {header.get('kind', 'network')!r}; give weights of train-mixture")
    check_header(path, header, expect or {})
    setting = read_section(SettingSection, header["options"], str(path))
    shape = Shape(header["num_classes"], header["channels"], header["image_size"])
    state = load_state(path)
    with torch.random.fork_rng(devices=[]), at_most(state, path, 4):
        mixture = build_mixture(setting.model_copy(update={"compute": "dense" if setting.gate.needs_experts else "sparse"}), shape)
    parts = split_state(state, setting.experts.number)
    surplus = [name for name in state if not name.startswith(("experts.", "gate.")) and name != "temperature"]
    own, given = mixture.gate.state_dict(), parts.gate
    if surplus or {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in given.items()}:
        raise MetannError(f"{path} does not fit its own header; make it again")
    take(mixture, parts, experts=True, gate=None)
    mixture.gate.load_state_dict(given)
    mixture.temperature.copy_(state["temperature"])
    return mixture.requires_grad_(False).eval(), header
