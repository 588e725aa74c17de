"""Numbers that weights cannot be: not finite, beyond what a network keeps, or none at all."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from metann.errors import MetannError


def kind_of(tensor: Tensor) -> str:
    """float32, int8 and the like."""
    return str(tensor.dtype).removeprefix("torch.")


def beyond(given: Tensor, wanted: Tensor) -> bool:
    """Whether finite numbers would be infinite in a smaller kind of float."""
    return given.dtype != wanted.dtype and wanted.is_floating_point() and bool((given.abs() > torch.finfo(wanted.dtype).max).any())


def check_finite(state: Mapping[str, Tensor], path: Path | str) -> None:
    """Refuse weights of a training that diverged.

    Raises:
        MetannError: naming the first tensor with a number that is not finite.
    """
    for key, tensor in state.items():
        if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = "no numbers (meta)" if tensor.is_meta else "a sparse, quantised or complex tensor"
            raise MetannError(f"{path}: {key} holds {kind}; save plain numbers: a dense state_dict of floats")
        if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor.detach()).all()):
            number = int((~torch.isfinite(tensor)).sum())
            raise MetannError(
                f"{path}: {key} holds {number} of {tensor.numel()} numbers that are NaN or infinite; "
                "the training diverged: take an earlier checkpoint, or train again with a lower learning rate"
            )
