"""Keys under which the memory finds an image again: images of equal keys are taken for one image.

Shapes: N images, H rows, W columns, C channels (1 grey or 3 colours). Every public function here is a kind of key: it
takes `images_NHWC` (uint8, before normalisation) and gives `keys_N` of whole numbers. The configuration takes its names
from here. Both kinds follow Kinnas et al. (2024), doi 10.1016/j.future.2024.107606.
"""

import numpy as np

from metann.cascade import thumbnails

_STEP = 1e-12  # on 10,000 CIFAR-10 images: a turned image moves its key by at most 4e-15, two images are 5e-11 apart or more


def dhash(images_NHWC: np.ndarray) -> np.ndarray:
    """(N,) uint64 difference hash: is each pixel of an 8 x 9 grey thumbnail brighter than its left neighbour?

    Bit 8 r + c, least significant first, compares columns c + 1 and c of row r. Bears slight noise, not rotation.
    """
    small_NHW = thumbnails.resize(thumbnails.grey(images_NHWC), rows=8, columns=9)
    bits_NB = (small_NHW[:, :, 1:] > small_NHW[:, :, :-1]).reshape(len(small_NHW), 64)
    bytes_N8 = np.ascontiguousarray(np.packbits(bits_NB, axis=1, bitorder="little"))
    return bytes_N8.view("<u8")[:, 0].astype(np.uint64)


def invariants(images_NHWC: np.ndarray) -> np.ndarray:
    """(N,) int64 sum of four moment invariants in steps of 1e-12: one key for an image, its quarter turns and mirrors.

    Images larger than 32 x 32 are made so small first. Not for noise: a single grey level changes the key.
    """
    grey_NHW = thumbnails.grey(images_NHWC)
    if max(grey_NHW.shape[1:]) > 32:
        grey_NHW = thumbnails.resize(grey_NHW, 32, 32)
    return np.rint(thumbnails.moment_invariants(grey_NHW)[:, [0, 1, 3, 4]].sum(axis=1) / _STEP).astype(np.int64)
