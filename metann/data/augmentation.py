"""Augmentation and normalisation of whole batches on the device they are on. N images, C channels, H x W pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor


def normalise(images_NCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 pixels -> float32 (pixel / 255 - mean) / std, channels_last."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=images_NCHW.device)[:, None, None]
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images_NCHW.device)[:, None, None]
    return torch.addcmul(shift, images_NCHW.contiguous(memory_format=torch.channels_last).float(), scale)


def random_crop(images_NCHW: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own random offset of at most `padding` pixels, the border filled by reflection."""
    n, _, height, width = images_NCHW.shape
    device = images_NCHW.device
    offset_N2 = torch.randint(-padding, padding + 1, (n, 2), generator=generator, device=device)
    rows_NH = _reflect(torch.arange(height, device=device) + offset_N2[:, :1], height)
    columns_NW = _reflect(torch.arange(width, device=device) + offset_N2[:, 1:], width)
    index_N = torch.arange(n, device=device)[:, None, None]
    return images_NCHW.permute(0, 2, 3, 1)[index_N, rows_NH[:, :, None], columns_NW[:, None, :]].permute(0, 3, 1, 2)


def _reflect(index: Tensor, size: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= size, 2 * (size - 1) - index, index).clamp(0, size - 1)


def random_flip(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    flip_N = torch.rand(len(images_NCHW), generator=generator, device=images_NCHW.device) < 0.5
    return torch.where(flip_N[:, None, None, None], images_NCHW.flip(3), images_NCHW)
