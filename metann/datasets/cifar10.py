"""CIFAR-10: 50,000 training and 10,000 test images, 32 x 32 colour, 10 classes (Krizhevsky 2009)."""

from typing import TYPE_CHECKING

from metann.data.raw import RawDataset
from metann.datasets._torchvision import check_cifar, fingerprint_cifar, load_cifar, verify_cifar

if TYPE_CHECKING:
    from metann.config.data import DataSection
    from metann.files.digests import FileDigests

CLASSES = 10


def check(settings: "DataSection") -> None:
    """Refuse a missing folder before any job starts."""
    check_cifar("CIFAR10", settings)


def fingerprint(settings: "DataSection", digests: "FileDigests") -> str:
    """Of the files' content; '' before they are fetched."""
    return fingerprint_cifar("CIFAR10", settings, digests)


def verify(settings: "DataSection", digests: "FileDigests") -> None:  # noqa: ARG001 - as of all data sets
    """Refuse changed files that cannot be read."""
    verify_cifar("CIFAR10", settings)


def load(settings: "DataSection") -> RawDataset:
    """The official split; validation images are a stratified share of the training images.

    Raises:
        MetannError: the official files are not below `data.root` and cannot be downloaded.
    """
    return load_cifar("CIFAR10", settings)
