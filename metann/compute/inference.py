"""Where networks run, and the one inference loop.

N images, C channels, H x W pixels, K classes.
"""

import torch
from torch import Tensor, nn

from metann.compute.normalise import Normalisation, normalise
from metann.compute.process import autocast, exact_arithmetic

INFERENCE_BATCH = 500
CPU_BATCH = 100  # the activations of more images leave a core's cache: half the speed for a small network


def infer(module: nn.Module, images_NCHW: Tensor, normalisation: Normalisation, *, exact: bool = True) -> Tensor:
    """(N, K) float32 logits on the CPU, in eval mode and in the order of the images (uint8, any device).

    Args:
        exact: compute in float32 everywhere. False allows bf16 on CUDA, whose logits have steps of 1/16 around 10: enough to
            compare epochs, too coarse for probabilities that thresholds are held against.
    """
    return infer_ready(ready(module), images_NCHW, normalisation, exact=exact)


def ready(module: nn.Module) -> nn.Module:
    """The network in eval mode and in the memory format of the images, without which it has half the speed."""
    return module.eval().to(memory_format=torch.channels_last)


def infer_ready(module: nn.Module, images_NCHW: Tensor, normalisation: Normalisation, *, exact: bool = True) -> Tensor:
    """`infer` of a network that is `ready` already: to look at all its parts takes a small one a sixth of its time for an image."""
    device = next(module.parameters()).device
    with torch.inference_mode(), exact_arithmetic(device) if exact else autocast(device):
        pieces = [
            module(normalise(batch.to(device, non_blocking=True), normalisation.mean, normalisation.std)).float()
            for batch in in_pieces(images_NCHW, device)
        ]
    return torch.cat(pieces).cpu()


def in_pieces(images_NCHW: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """A batch as the batches that a network on `device` answers fastest."""
    return images_NCHW.split(CPU_BATCH if device.type == "cpu" else INFERENCE_BATCH)
