"""CIFAR-100: 50,000 training and 10,000 test images, 32 x 32 colour, 100 (fine) classes (Krizhevsky 2009)."""

from typing import TYPE_CHECKING

from metann.data.raw import RawDataset
from metann.datasets._torchvision import check_cifar, load_cifar

if TYPE_CHECKING:
    from metann.config.data import DataSection

CLASSES = 100


def check(settings: "DataSection") -> None:
    """Refuse a missing folder before any job starts."""
    check_cifar("CIFAR100", settings)


def load(settings: "DataSection") -> RawDataset:
    """The official split; validation images are a stratified share of the training images.

    Raises:
        MetannError: the official files are not below `data.root` and cannot be downloaded.
    """
    return load_cifar("CIFAR100", settings)
