"""A network that somebody else's code builds: made, and asked once, so that what is wrong is one line before a training."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from metann.errors import MetannError, exhausted


def checked(name: str, make: Callable[[], Any], num_classes: int, channels: int, image_size: int) -> nn.Module:
    """What `make` gives, if it is a network for these images and classes; torch's random state moves by its weights alone.

    Args:
        name: the architecture, for the error.
        make: builds the network.

    Raises:
        MetannError: it fails, gives no network, or one whose answer to two black images is not 2 x K logits.
    """
    try:
        module = make()
    except MetannError:
        raise
    except Exception as error:
        raise _failed(name, "building it", error) from None
    if not isinstance(module, nn.Module):
        raise MetannError(f"architecture {name} gives a {type(module).__name__}, not a torch.nn.Module; return the network")
    was_training = {part: part.training for part in module.modules()}
    parameter = next(module.parameters(), None)
    if parameter is None:
        raise MetannError(f"architecture {name} gives a network without parameters, which cannot be trained; give it a layer")
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits_NK = module(torch.zeros(2, channels, image_size, image_size, device=parameter.device, dtype=parameter.dtype))
    except Exception as error:
        raise _failed(name, f"an image of {channels} x {image_size} x {image_size}", error) from None
    finally:
        for part, flag in was_training.items():
            part.training = flag
    found = list(logits_NK.shape) if isinstance(logits_NK, torch.Tensor) else type(logits_NK).__name__
    if found != [2, num_classes]:
        raise MetannError(f"architecture {name} answers two images with {found}, not with [2, {num_classes}]: a logit for each class")
    return module


def _failed(name: str, doing: str, error: Exception) -> MetannError:
    lines = str(error).splitlines() or ["without a word"]
    return MetannError(f"architecture {name}: {doing} fails: {exhausted(error) or f'{type(error).__name__}: {lines[0][:300]}'}")
