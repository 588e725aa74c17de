"""The weights of a mixture's parts, apart from how experts are run: from one phase to the next, from one run to another, and in files.

A state names them `experts.{e}.{name}`, `gate.{name}` and `temperature`.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from metann.errors import MetannError
from metann.mixture.dispatch import State
from metann.mixture.gate import Gate
from metann.mixture.network import Mixture
from metann.mixture.taps import last_linear


class Parts(NamedTuple):
    """Copies of the weights: of each expert's network, and of the gate with its matrices."""

    experts: list[State]
    gate: State


def parts_of(mixture: Mixture) -> Parts:
    """Copies of a mixture's parts."""
    experts = [{name: value.clone() for name, value in state.items()} for state in mixture.experts.states()]
    return Parts(experts, {name: value.clone() for name, value in mixture.gate.state_dict().items()})


@torch.no_grad()
def take(mixture: Mixture, parts: Parts, *, experts: bool, gate: Literal["all", "trunk"] | None) -> None:
    """Give a mixture weights of another.

    Args:
        experts: take them; they must fit.
        gate: take what has the same name and shape, or of that only its network without the last layer. What has no place (such as the
            matrices of attention in a plain gate) is said in the log.

    Raises:
        MetannError: experts of another number or shape.
    """
    if experts:
        mine = mixture.experts.states()
        if len(mine) != len(parts.experts):
            raise MetannError(f"{len(parts.experts)} experts cannot become {len(mine)}; give the setting as many")
        for own, other in zip(mine, parts.experts, strict=True):
            if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in other.items()}:
                raise MetannError("the experts to start from are built otherwise; give both settings the same experts")
        mixture.experts.load(parts.experts)
    if gate is not None:
        _take_gate(mixture.gate, parts.gate, gate)


def _take_gate(gate: Gate, state: State, what: str) -> None:
    head = ""
    if gate.network is not None and not gate.network.headless:
        head = f"network.network.{last_linear(gate.network.network)[0]}."
    own, left = gate.state_dict(), []
    for name, value in state.items():
        trunk = name.startswith("network.") and not (head and name.startswith(head))
        if name in own and own[name].shape == value.shape and (what == "all" or trunk):
            own[name].copy_(value)
        else:
            left.append(name)
    taken = len(state) - len(left)
    unused = f"; not used: {', '.join(left)}" if left else ""
    print(f"gate: {taken} of {len(own)} tensors taken over{unused}", flush=True)


def state_of(mixture: Mixture) -> State:
    """One state of all, for a file."""
    state = {f"experts.{e}.{name}": value for e, expert in enumerate(mixture.experts.states()) for name, value in expert.items()}
    return state | {f"gate.{name}": value for name, value in mixture.gate.state_dict().items()} | {"temperature": mixture.temperature}


def split_state(state: Mapping[str, Tensor], experts: int) -> Parts:
    """The parts of such a state."""

    def below(prefix: str) -> State:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    return Parts([below(f"experts.{e}.") for e in range(experts)], below("gate."))
