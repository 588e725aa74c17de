"""Where networks run, and the one inference loop.

N images, C channels, H x W pixels, K classes.
"""

import contextlib
import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metann.compute.gpus import take_gpu
from metann.errors import MetannError
from metann.training.augmentation import normalise

INFERENCE_BATCH = 500
CPU_BATCH = 100  # the activations of more images leave a core's cache: half the speed for a small network


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel of pixel values / 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def start_torch(device: str, threads: int) -> torch.device:
    """Set threads, memory and determinism of this process and choose its device ('auto', 'cpu' or 'cuda'), one GPU to a process.

    Raises:
        MetannError: CUDA is asked for and not there.
    """
    torch.set_num_threads(threads)
    _keep_freed_memory()
    if device != "cpu":
        take_gpu()  # torch looks for devices when it is first asked for one, not when it is imported
    if device == "cuda" and not torch.cuda.is_available():
        raise MetannError("device is 'cuda' but torch finds no CUDA device; use 'auto' or 'cpu'")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _keep_freed_memory() -> None:
    """Have glibc reuse large blocks instead of giving each back: the kernel's fresh pages cost a small network a fifth of its training."""
    with contextlib.suppress(OSError, TypeError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def autocast(device: torch.device) -> Any:
    """A context for fast arithmetic: bf16 on CUDA; nothing on a CPU, where its speed and rounding differ from machine to machine."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


def exact_arithmetic(device: torch.device) -> Any:
    """A context in which a forward pass is float32 on CUDA too, where convolutions would otherwise be rounded to 10 bits (TF32)."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def infer(module: nn.Module, images_NCHW: Tensor, normalisation: Normalisation, *, exact: bool = True) -> Tensor:
    """(N, K) float32 logits on the CPU, in eval mode and in the order of the images (uint8, any device).

    Args:
        exact: compute in float32 everywhere. False allows bf16 on CUDA, whose logits have steps of 1/16 around 10: enough to
            compare epochs, too coarse for probabilities that thresholds are held against.
    """
    device = next(module.parameters()).device
    module.eval().to(memory_format=torch.channels_last)  # as the images come: else half the speed
    with torch.inference_mode(), exact_arithmetic(device) if exact else autocast(device):
        pieces = [
            module(normalise(batch.to(device, non_blocking=True), normalisation.mean, normalisation.std)).float()
            for batch in in_pieces(images_NCHW, device)
        ]
    return torch.cat(pieces).cpu()


def in_pieces(images_NCHW: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """A batch as the batches that a network on `device` answers fastest."""
    return images_NCHW.split(CPU_BATCH if device.type == "cpu" else INFERENCE_BATCH)
