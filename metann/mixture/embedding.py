"""Features of a trained network, in which images are near or far. B images of a batch, F features."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from metann.compute.normalise import normalise
from metann.errors import MetannError
from metann.mixture.taps import Tapped
from metann.weights.files import load_weights


def load_embedding(path: Path, device: torch.device, shape: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """A function from uint8 images to the features of a trained network of any architecture: (B, F), in eval mode.

    Args:
        path: its weights.
        shape: channels and pixels of the images.

    Raises:
        MetannError: weights that are missing or broken, or of a network for other images.
    """
    network, header = load_weights(path)
    if (header["channels"], header["image_size"]) != shape:
        needed = f"{header['channels']} x {header['image_size']} pixels"
        raise MetannError(f"{path} is of a network for {needed}, the images have {shape[0]} x {shape[1]}; use one of this dataset")
    tapped = Tapped(network).to(device).eval()

    @torch.no_grad()
    def embed(images_BCHW: Tensor) -> Tensor:
        return tapped(normalise(images_BCHW, tuple(header["mean"]), tuple(header["std"])))[1]

    return embed
