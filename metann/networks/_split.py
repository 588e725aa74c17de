"""A network in two: its trunk, the first blocks, and its tail, the other blocks and the head.

A family that names its blocks has a function `blocks(network)`: for each block, in order, the names of its modules in the order in which
they run. What stands before a tail runs one after another and nothing else happens in between, so a trunk is these modules in a row, and
a tail is the network itself with nothing in their place: the operations of the whole network, in their order, and the same numbers.
"""

import copy
from importlib import import_module
from itertools import chain

from torch import nn

from metann import registry
from metann.errors import MetannError, one_of


def blocks_of(network: nn.Module, architecture: str) -> list[tuple[str, ...]]:
    """Names of the modules of each block.

    Raises:
        MetannError: a family that names none.
    """
    family = registry.architectures().get(architecture)  # None of one from elsewhere
    if family not in registry.files_with("networks", "blocks"):
        known = [name for name, file in registry.architectures().items() if file in registry.files_with("networks", "blocks")]
        raise MetannError(f"{architecture} does not name its blocks, so it has no tail; known: {one_of(known)}")
    return [tuple(names) for names in import_module(f"metann.networks.{family}").blocks(network)]


def trunk_names(network: nn.Module, architecture: str, tail: int) -> list[str]:
    """Names of the modules of the first `tail` blocks, in the order in which they run.

    Raises:
        MetannError: a family that names no blocks, or fewer blocks.
    """
    blocks = blocks_of(network, architecture)
    if not 1 <= tail <= len(blocks):
        raise MetannError(f"tail {tail}: this {architecture} has {len(blocks)} blocks; give 1 to {len(blocks)}, or 0 for no tail")
    return list(chain.from_iterable(blocks[:tail]))


def trunk_of(network: nn.Module, architecture: str, tail: int) -> nn.Sequential:
    """The first `tail` blocks, which are the network's own: images in, features out."""
    return nn.Sequential(*(network.get_submodule(name) for name in trunk_names(network, architecture, tail)))


def tail_of(network: nn.Module, architecture: str, tail: int) -> nn.Module:
    """A copy of all behind the first `tail` blocks: features in, logits out. Names in its state are those of the whole network."""
    names = trunk_names(network, architecture, tail)
    # The trunk's tensors are not copied: they are dropped at once.
    kept = {id(tensor): tensor for name in names for tensor in network.get_submodule(name).state_dict(keep_vars=True).values()}
    found = copy.deepcopy(network, kept)
    for name in names:
        parent, _, own = name.rpartition(".")
        setattr(found.get_submodule(parent), own, nn.Identity())
    return found
