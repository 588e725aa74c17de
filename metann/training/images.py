"""Images and their classes on one device, and how an order of them is cut into batches. N images, C channels, H x W pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes.

    Attributes:
        images_NCHW: uint8.
        labels_N: int64.
    """

    images_NCHW: Tensor
    labels_N: Tensor

    @classmethod
    def of(cls, images_NCHW: np.ndarray, labels_N: np.ndarray, rows: np.ndarray) -> "LabelledImages":
        """The given rows of arrays (the images may be memory-mapped; only the rows are read)."""
        return cls(torch.from_numpy(np.ascontiguousarray(images_NCHW[rows])), torch.from_numpy(labels_N[rows].astype(np.int64)))

    def to(self, device: torch.device) -> "LabelledImages":
        """The same on a device."""
        return LabelledImages(self.images_NCHW.to(device), self.labels_N.to(device))

    def __len__(self) -> int:
        return len(self.labels_N)


def batches(order_N: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Cut an order into batches; a last batch of one image joins the one before (batch norm needs two)."""
    pieces = list(order_N.split(batch_size))
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [torch.cat(pieces[-2:])]
    return iter(pieces)
