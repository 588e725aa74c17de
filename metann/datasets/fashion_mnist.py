"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28 grey (Xiao and others 2017)."""

from typing import TYPE_CHECKING

from metann.data.raw import RawDataset
from metann.datasets._idx import DEBIAN_FASHION_MNIST, FASHION_MNIST_CLASSES
from metann.datasets._torchvision import check_mnist, fingerprint_mnist, load_mnist, verify_mnist

if TYPE_CHECKING:
    from metann.config.data import DataSection
    from metann.files.digests import FileDigests

CLASSES = 10


def check(settings: "DataSection") -> None:
    """Refuse missing files before any job starts."""
    check_mnist("FashionMNIST", settings, DEBIAN_FASHION_MNIST)


def fingerprint(settings: "DataSection", digests: "FileDigests") -> str:
    """Of the files' content; '' before they are fetched."""
    return fingerprint_mnist("FashionMNIST", settings, digests, DEBIAN_FASHION_MNIST)


def verify(settings: "DataSection", digests: "FileDigests") -> None:  # noqa: ARG001 - as of all data sets
    """Refuse changed files that cannot be read."""
    verify_mnist("FashionMNIST", settings, DEBIAN_FASHION_MNIST)


def load(settings: "DataSection") -> RawDataset:
    """The official split, from idx files in `data.root`, in `FashionMNIST/raw` below it, or of Debian's dataset-fashion-mnist.

    Raises:
        MetannError: the files are in none of these and cannot be downloaded.
    """
    return load_mnist("FashionMNIST", settings, FASHION_MNIST_CLASSES, DEBIAN_FASHION_MNIST)
