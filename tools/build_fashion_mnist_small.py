#!/usr/bin/env python3
"""Build metann/datasets/fashion_mnist_small.npz from the idx files of Fashion-MNIST.

    python tools/build_fashion_mnist_small.py [FOLDER]

FOLDER holds the four idx files, gzipped or not; by default where Debian's package dataset-fashion-mnist puts them.
Same bytes every time with zlib's deflate (a Python built with zlib-ng packs the same arrays into other bytes).
"""

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from metann.datasets._idx import DEBIAN_FASHION_MNIST, read_idx_pair
from metann.datasets.fashion_mnist_small import FILE, N_TEST, N_TRAIN, N_VAL, SHA256
from metann.files.atomic import atomic


def archive(arrays: dict[str, np.ndarray]) -> bytes:
    """An .npz of the arrays without the time of day in it (`np.savez_compressed` stamps its members)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    return buffer.getvalue()


def build(folder: Path) -> bytes:
    """The first 12,000 training images and all test images, in the official order."""
    train_images, train_labels = read_idx_pair(folder, "train")
    test_images, test_labels = read_idx_pair(folder, "test")
    n = N_TRAIN + N_VAL
    images_NHW = np.concatenate([train_images[:n], test_images[:N_TEST]])
    return archive({"images_NHW": images_NHW, "labels_N": np.concatenate([train_labels[:n], test_labels[:N_TEST]])})


def digest(content: bytes) -> str:
    """What the loader checks."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DEBIAN_FASHION_MNIST)
    content = build(parser.parse_args().folder)
    with atomic(FILE) as temporary:
        temporary.write_bytes(content)
    found = digest(content)
    print(f"{FILE.name}: {len(content)} bytes, sha256 {found}", "as expected" if found == SHA256 else f"but the loader expects {SHA256}")
