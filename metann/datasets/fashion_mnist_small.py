"""The default: 12,000 training and all 10,000 test images of Fashion-MNIST, 28 x 28 grey, in the package itself.

`tools/build_fashion_mnist_small.py` builds the file; FASHION_MNIST_NOTICE.txt is its licence.
"""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metann.data.raw import RawDataset
from metann.data.split import stratified_mask
from metann.datasets._idx import FASHION_MNIST_CLASSES
from metann.errors import MetannError

if TYPE_CHECKING:
    from metann.config.data import DataSection

CLASSES = 10
FILE = Path(__file__).with_suffix(".npz")
SHA256 = "f450a6ef09b9431c9bd8ec6f9ca5380e75437a62eeeb0410d72760917360de9a"
N_TRAIN, N_VAL, N_TEST = 10_000, 2_000, 10_000


def load(settings: "DataSection") -> RawDataset:
    """10,000 train, 2,000 val (stratified, by `split_seed`; `val_fraction` has no say here) and 10,000 test images.

    Raises:
        MetannError: the embedded file is missing or damaged.
    """
    try:
        content = FILE.read_bytes()
    except OSError as error:
        raise MetannError(f"cannot read {FILE}: {error.strerror}; install metann again") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise MetannError(f"{FILE} has sha256 {found[:16]}..., not {SHA256[:16]}...; the file is damaged, install metann again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images_NHW, labels_N = arrays["images_NHW"], arrays["labels_N"].astype(np.int16)
    split = np.full(len(labels_N), "train", dtype="<U5")
    split[: N_TRAIN + N_VAL][stratified_mask(labels_N[: N_TRAIN + N_VAL], N_VAL, settings.split_seed, "val")] = "val"
    split[N_TRAIN + N_VAL :] = "test"
    return RawDataset(images_NHW[:, None], labels_N, split, FASHION_MNIST_CLASSES)
