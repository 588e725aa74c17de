"""scikit-learn's 1,797 handwritten digits, 8 x 8 grey: for tests, seconds to train on. No official test images."""

from typing import TYPE_CHECKING

import numpy as np

from metann.data.raw import RawDataset
from metann.errors import MetannError

if TYPE_CHECKING:
    from metann.config.data import DataSection

CLASSES = 10


def load(settings: "DataSection") -> RawDataset:  # noqa: ARG001 - every dataset takes its settings
    """All images as training images; their 17 grey levels are spread over 0..255.

    Raises:
        MetannError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MetannError("dataset 'digits' comes with scikit-learn, which is not installed; pip install scikit-learn") from None
    bunch = load_digits()
    images_NCHW = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels_N = bunch.target.astype(np.int16)
    return RawDataset(images_NCHW, labels_N, np.full(len(labels_N), "train"), tuple("0123456789"))
