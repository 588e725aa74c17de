"""The network that a header describes, without the time that drawing weights takes which are replaced at once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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


def build_unfilled(header: Mapping[str, Any]) -> nn.Module:
    """The network that `header` describes, or its tail where it says so, before `fill` gives it weights."""
    with _Unfilled():
        whole = build(*(header[key] for key in REQUIRED), **header.get("settings", {}))
    return tail_of(whole, header["architecture"], header["tail"]) if header.get("tail") else whole
