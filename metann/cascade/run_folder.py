"""Where a cascade is read from and written to: weight files, the one that a run chose, one packed file.

A packed file holds the networks' tensors as `0.{name}`, `1.{name}` ... in the order in which they are asked, and their headers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from metann import layout
from metann.cascade.inputs import read_cascade
from metann.config.cascade import CascadeRule, ChainSection
from metann.config.section import read_section
from metann.errors import MetannError, unknown
from metann.weights.files import fill, load_state, read_header, save_tensors
from metann.weights.headers import NETWORK
from metann.weights.single import WEIGHTS, SingleNetwork
from metann.weights.unfilled import at_most, build_unfilled

KIND = "cascade"
CHOSEN = f"{layout.CASCADE}/cascade.json"
_KEPT = (*NETWORK, "seed")


def in_order(weights: Sequence[Path], rule: CascadeRule) -> list[Path]:
    """Weight files in the order in which they are asked: that of a `ChainSection`, which names its networks, or their own.

    Raises:
        MetannError: none for a network that the rule names.
    """
    if not isinstance(rule, ChainSection):
        return list(weights)
    by_name = {str(read_header(path).get("network") or path.stem): path for path in weights}
    for name in rule.networks:
        if name not in by_name:
            raise MetannError(f"the cascade needs the weights of {name!r}; --networks has: {', '.join(by_name)}")
    return [by_name[name] for name in rule.networks]


def read_run(
    folder: Path, seed: int | None, given: Mapping[str, Any] | None = None
) -> tuple[list[SingleNetwork], CascadeRule, dict[str, Any]]:
    """Networks, rule and origin of the cascade that a run chose.

    Args:
        folder: of a run, such as results/cascade-demo.
        seed: whose networks and threshold; None is the first.
        given: networks and rule instead of the chosen ones, keys of `ChainSection`.

    Raises:
        MetannError: no cascade was chosen, an unknown seed, or networks that are missing or do not belong together.
    """
    chosen = {int(fields["seed"]): file for file, fields in layout.found(folder, CHOSEN)}
    if not chosen:
        raise MetannError(f"{folder} is not the folder of a finished cascade (no {CHOSEN.format(seed='*')}); give one, or a packed file")
    seed = min(chosen) if seed is None else seed
    if seed not in chosen:
        raise unknown("seed", seed, chosen, f"`seeds` of the configuration of {folder}")
    rule = read_cascade(chosen[seed]) if given is None else read_section(ChainSection, dict(given), "rule")
    members: list[SingleNetwork] = []
    for name in rule.networks:
        path = layout.place(folder, WEIGHTS, network=name, seed=seed)
        if path.with_name("probabilities.parquet").is_file() and not path.is_file():
            raise MetannError(f"network {name!r} of {folder} was imported as a table and has no weights; it cannot be asked of images")
        same = {"digest": members[0].header.get("digest")} if members else {}
        members.append(SingleNetwork.read(path, {"network": name, "seed": seed} | same))
    return members, rule, {"run": folder.resolve().name, "seed": seed}


def read_packed(path: Path, seed: int | None) -> tuple[list[SingleNetwork], CascadeRule, dict[str, Any]]:
    """Networks, rule and origin of a file of `write_packed`, whose seed is fixed.

    Raises:
        MetannError: missing, broken, something else, or a seed that is asked for.
    """
    header = read_header(path, ())
    if header.get("kind") != KIND:
        raise MetannError(f"{path} is not a packed cascade; make one with: metann pack RUN --family cascade --output model.safetensors")
    if seed is not None:
        raise MetannError(f"{path} is packed: its seed is fixed; give the folder of a run to choose it")
    own = header["networks"]
    state = load_state(path)
    with at_most(state, path):
        modules = nn.ModuleList([build_unfilled(described) for described in own])
    fill(modules, state, path, f"a cascade of {', '.join(described['network'] for described in own)}")
    members = [SingleNetwork.of(module, described) for module, described in zip(modules, own, strict=True)]
    return members, read_section(CascadeRule, header["rule"], str(path)), header.get("origin") or {}


def write_packed(path: Path, members: Sequence[SingleNetwork], rule: CascadeRule, origin: dict[str, Any] | None) -> None:
    """Write networks and rule into one safetensors file, whole or not at all; the same content makes the same bytes."""
    own = [{key: member.header[key] for key in _KEPT if key in member.header} | {"network": member.name} for member in members]
    header = {"kind": KIND, "rule": rule.model_dump(mode="json"), "networks": own} | ({"origin": origin} if origin else {})
    save_tensors(path, nn.ModuleList([member.module for member in members]).state_dict(), header)
