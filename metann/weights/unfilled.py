"""The network that a header describes, without the time that drawing weights takes which are replaced at once."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from metann.errors import MetannError
from metann.networks._build import build
from metann.networks._split import tail_of

REQUIRED = ("architecture", "num_classes", "channels", "image_size")

INIT = [getattr(nn.init, f"{how}_") for how in ("uniform", "normal", "trunc_normal", "kaiming_uniform", "kaiming_normal", "xavier_uniform")]
DRAWN = (Tensor.normal_, Tensor.uniform_, *INIT)


class _Unfilled(TorchFunctionMode):
    """Zeros instead of random initialisation: hardly any time spent on it, torch's random state untouched.

    Not whatever the memory held: torch draws a truncated normal again and again until all values are in range.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in DRAWN:
            with torch.no_grad():
                return (args[0] if args else kwargs["tensor"]).zero_()
        return func(*args, **kwargs)


_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace, torch.eye}
_BESIDE = 50_000_000  # what is not much larger, `fill` describes better


class _AtMost(TorchFunctionMode):
    """Counts the numbers of new tensors, and refuses more than a file can fill."""

    def __init__(self, numbers: int, path: Path | str) -> None:
        super().__init__()
        self.left, self.path = numbers, path

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _MAKERS and args:
            shape = args[0] if isinstance(args[0], tuple | list | torch.Size) else args
            self.left -= math.prod(int(size) for size in shape if isinstance(size, int | float))
            if self.left < 0:
                raise MetannError(f"the header of {self.path} describes a network of more numbers than the file holds; make the file again")
        return func(*args, **kwargs)


def at_most(state: Mapping[str, Tensor], path: Path | str, copies: int = 2) -> TorchFunctionMode:
    """A block that may make as many numbers as a file's tensors have, with some to spare: a header may claim any width.

    Args:
        copies: how often a network of all tensors may be made in it.

    Raises:
        MetannError: in the block, when it makes more.
    """
    return _AtMost(copies * sum(tensor.numel() for tensor in state.values()) + _BESIDE, path)


def build_unfilled(header: Mapping[str, Any]) -> nn.Module:
    """The network that `header` describes, or its tail where it says so, before `fill` gives it weights."""
    with _Unfilled():
        whole = build(*(header[key] for key in REQUIRED), **header.get("settings", {}))
    return tail_of(whole, header["architecture"], header["tail"]) if header.get("tail") else whole
