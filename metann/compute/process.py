"""A process that computes: its threads, memory, determinism and device."""

import contextlib
import ctypes
from typing import Any

import torch

from metann.compute.gpus import take_gpu
from metann.errors import MetannError

MOST_THREADS = 4096


def start_torch(device: str, threads: int) -> torch.device:
    """Set threads, memory and determinism of this process and choose its device ('auto', 'cpu' or 'cuda'), one GPU to a process.

    Raises:
        MetannError: CUDA is asked for and not there.
    """
    if not 1 <= threads <= MOST_THREADS:
        raise MetannError(f"{threads} threads; give 1 to {MOST_THREADS}, at most as many as the machine has cores")
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
