"""What a network costs before it runs: multiply-accumulates per image and parameters.

Every operation that torch's formulas know is counted where it happens (matrix products, convolutions, attention), so convolutions
called as functions count as modules do. Normalisation, activations and pooling are not multiply-accumulates and count nothing.
"""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class _Counter(TorchDispatchMode):
    """Adds up torch.utils.flop_counter's formulas.

    FlopCounterMode itself imports torch's compiler at the first operation, 1.1 s in every process; this mode asks not to.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry

        super().__init__()
        self.formulas, self.flops = flop_registry, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        formula = self.formulas.get(func._overloadpacket)
        if formula is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        return out


def count_macs(module: nn.Module, channels: int, image_size: int) -> int:
    """Multiply-accumulates of one image of `channels` x `image_size` x `image_size` pixels in eval mode: FLOPs / 2.

    One forward pass of one black image on the module's own device (on `meta` nothing is computed). The module's train and eval flags,
    weights, statistics and torch's random state stay as they were.
    """
    module = getattr(module, "_orig_mod", module)  # torch.compile's wrapper would compile for this shape
    parameter = next(module.parameters(), torch.empty(0))
    image_NCHW = torch.zeros(1, channels, image_size, image_size, dtype=parameter.dtype, device=parameter.device)
    was_training = {part: part.training for part in module.modules()}
    was_fast = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)  # a transformer layer's fused operation for inference has no formula: it would count 0
    try:
        with torch.no_grad(), _Counter() as counter:
            module(image_NCHW)
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
        for part, flag in was_training.items():
            part.training = flag
    return counter.flops // 2


def count_parameters(module: nn.Module, trainable_only: bool = False) -> int:
    """Elements of all parameters, shared ones once; running statistics are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad or not trainable_only)
