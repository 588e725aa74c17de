"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28 grey (LeCun and others 1998)."""

from typing import TYPE_CHECKING

from metann.data.raw import RawDataset
from metann.datasets._torchvision import check_mnist, fingerprint_mnist, load_mnist, verify_mnist

if TYPE_CHECKING:
    from metann.config.data import DataSection
    from metann.files.digests import FileDigests

CLASSES = 10


def check(settings: "DataSection") -> None:
    """Refuse missing files before any job starts."""
    check_mnist("MNIST", settings)


def fingerprint(settings: "DataSection", digests: "FileDigests") -> str:
    """Of the files' content; '' before they are fetched."""
    return fingerprint_mnist("MNIST", settings, digests)


def verify(settings: "DataSection", digests: "FileDigests") -> None:  # noqa: ARG001 - as of all data sets
    """Refuse changed files that cannot be read."""
    verify_mnist("MNIST", settings)


def load(settings: "DataSection") -> RawDataset:
    """The official split, from idx files in `data.root` or in `MNIST/raw` below it.

    Raises:
        MetannError: the files are not there and cannot be downloaded.
    """
    return load_mnist("MNIST", settings, tuple("0123456789"))
