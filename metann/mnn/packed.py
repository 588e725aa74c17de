"""A meta neural network in one safetensors file: what its header keeps, and the parts that come back."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from metann.errors import MetannError
from metann.mnn.run_folder import Parts
from metann.mnn.setting import Rule
from metann.networks._split import trunk_of
from metann.weights.files import load_state, read_header
from metann.weights.headers import NETWORK
from metann.weights.unfilled import at_most, build_unfilled

KIND = "meta neural network"
_KEPT = (*NETWORK, "origin")


def packed_header(header: Mapping[str, Any], rule: Rule, parts: Parts) -> dict[str, Any]:
    """What a packed file says of itself.

    Args:
        header: of the switch's weights, with the `origin` of all.
        rule: between the parts.
        parts: which experts were trained, and what they stand on.
    """
    kept = {key: header[key] for key in _KEPT if key in header}
    kept |= {"kind": KIND, "rule": asdict(rule), "trained": [expert is not None for expert in parts.experts]}
    return kept | ({"expert_tail": parts.tail, "second_trunk": parts.trunk is not None} if parts.tail else {})


def read_packed(path: Path, switch_function: str | None) -> tuple[Parts, Rule, dict[str, Any], dict[str, Tensor]]:
    """Networks that have no weights yet, the rule between them, the header, and the weights of all.

    Args:
        path: of the file.
        switch_function: instead of the one that was packed.

    Raises:
        MetannError: not such a file, or a broken one.
    """
    header = read_header(path, ())
    if header.get("kind") != KIND:
        raise MetannError(f"{path} is not a packed meta neural network; make one with: metann pack RUN --output model.safetensors")
    rule = {key: tuple(value) if isinstance(value, list) else value for key, value in header["rule"].items()}
    if switch_function is not None:
        rule["switch_function"] = switch_function
    tail, state = header.get("expert_tail", 0), load_state(path)
    alone = header | {"tail": tail} if tail else header
    # A tail is cut from a whole network.
    with at_most(state, path, 2 + len(header["trained"])):
        trunk = trunk_of(build_unfilled(header), header["architecture"], tail) if header.get("second_trunk") else None
        experts: list[nn.Module | None] = [build_unfilled(alone) if trained else None for trained in header["trained"]]
        switch = build_unfilled(header)
    return Parts(switch, experts, tail, trunk), Rule(**rule), header, state
