"""Features of a trained network, in which images are near or far. B images of a batch, F features."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metann.compute.normalise import normalise
from metann.errors import MetannError
from metann.mixture.taps import Tapped


def embedding(network: nn.Module, header: Mapping[str, Any], device: torch.device, shape: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """A function from uint8 images to the features of a trained network of any architecture: (B, F), in eval mode.

    Args:
        network, header: as `load_weights` gives them.
        shape: channels and pixels of the images.

    Raises:
        MetannError: a network for other images.
    """
    if (header["channels"], header["image_size"]) != shape:
        needed = f"{header['channels']} x {header['image_size']} pixels"
        raise MetannError(
            f"the network of similarity.space is for {needed}, the images have {shape[0]} x {shape[1]}; use one of this dataset"
        )
    tapped = Tapped(network).to(device).eval()

    @torch.no_grad()
    def embed(images_BCHW: Tensor) -> Tensor:
        return tapped(normalise(images_BCHW, tuple(header["mean"]), tuple(header["std"])))[1]

    return embed
