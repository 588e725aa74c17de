"""Images of tasks: which there are of each class, and batches of many tasks at once.

Shapes: T tasks, N images of each, C channels, H x W pixels, K classes. In every batch the first half of a task's images is negative and
the second half positive: tasks are balanced, whatever the classes' numbers of images.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metann.compute.normalise import Normalisation, normalise


@dataclass(frozen=True, eq=False)
class ClassImages:
    """Images sorted by class, on a device.

    Attributes:
        images_NCHW: uint8.
        start_K, count_K: int64; the images of class k are rows start_K[k] .. start_K[k] + count_K[k] - 1.
        normalisation: of the pixels.
    """

    images_NCHW: Tensor
    start_K: Tensor
    count_K: Tensor
    normalisation: Normalisation

    @classmethod
    def of(
        cls,
        images_NCHW: np.ndarray,
        labels_N: np.ndarray,
        rows: np.ndarray,
        classes: int,
        normalisation: Normalisation,
        device: torch.device,
    ) -> "ClassImages":
        """The given rows of arrays (the images may be memory-mapped), in their order within each class."""
        rows = rows[np.argsort(labels_N[rows], kind="stable")]
        count_K = np.bincount(labels_N[rows], minlength=classes)
        start_K = np.cumsum(count_K) - count_K
        images = torch.from_numpy(np.ascontiguousarray(images_NCHW[rows])).to(device)
        return cls(images, torch.from_numpy(start_K).to(device), torch.from_numpy(count_K).to(device), normalisation)

    def batch(self, rows_TN: Tensor) -> Tensor:
        """(T, N, C, H, W) normalised pixels of rows."""
        images_NCHW = self.images_NCHW.index_select(0, rows_TN.flatten())
        pixels_NCHW = normalise(images_NCHW, self.normalisation.mean, self.normalisation.std)
        return pixels_NCHW.contiguous().unflatten(0, rows_TN.shape)

    def draw(self, negative_T: Tensor, positive_T: Tensor, each: int, generator: torch.Generator) -> Tensor:
        """(T, 2 x each) rows, drawn with replacement: first of the negative, then of the positive class."""
        share_TN = torch.rand(len(negative_T), 2 * each, generator=generator, device=generator.device).to(self.start_K.device)
        class_TN = torch.cat([negative_T[:, None].expand(-1, each), positive_T[:, None].expand(-1, each)], dim=1)
        return self.start_K[class_TN] + (share_TN * self.count_K[class_TN]).long()

    def first(self, negative_T: Tensor, positive_T: Tensor, each: int) -> Tensor:
        """(T, 2 x each) rows: the first images of both classes, as many of each."""
        place_N = torch.arange(each, device=self.start_K.device)
        return torch.cat([self.start_K[negative_T][:, None] + place_N, self.start_K[positive_T][:, None] + place_N], dim=1)

    def rows(self, k: int) -> Tensor:
        """All rows of one class."""
        return torch.arange(int(self.start_K[k]), int(self.start_K[k] + self.count_K[k]), device=self.start_K.device)

    def least(self, *classes_T: Tensor) -> int:
        """How many images the class with the fewest of them has."""
        return int(self.count_K[torch.cat(classes_T)].min())


def targets(images: int, device: torch.device) -> Tensor:
    """(images,) 0 for the first half, 1 for the second: the labels of a batch."""
    return (torch.arange(images, device=device) >= images // 2).float()


def seen_before(images_NCHW: np.ndarray, rows: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """(rows,) bool: do an image's exact bytes occur among the earlier rows? CIFAR-100 has ten such test images."""

    def digest(row: int) -> bytes:
        return hashlib.blake2b(np.ascontiguousarray(images_NCHW[row]).data, digest_size=16).digest()

    known = {digest(row) for row in earlier}
    return np.fromiter((digest(row) in known for row in rows), bool, len(rows))
