"""Datasets that torchvision knows how to fetch. torchvision is imported only where it is needed: it takes two seconds.

Shapes: N images, C channels, H = W pixels.
"""

import contextlib
import hashlib
import http.client
import socket
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metann.data.raw import RawDataset, folder_of
from metann.datasets._idx import has_idx, idx_files, read_idx_pair
from metann.errors import MetannError
from metann.files.digests import FileDigests, combined

if TYPE_CHECKING:
    from metann.config.data import DataSection

_FAILURES = (RuntimeError, OSError, EOFError, ValueError, KeyError, tarfile.TarError, http.client.HTTPException)
_SILENCE_S = 30  # a server that says nothing for so long is taken for gone
_CIFAR_FOLDERS = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Without waiting for ever on a dead connection."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _torchvision_class(kind: str) -> Any:
    try:
        from torchvision import datasets
    except ImportError as error:
        raise MetannError(f"{kind} is read through torchvision, which cannot be imported ({error}); pip install torchvision") from None
    return getattr(datasets, kind)


def _download(kind: str, root: Path, cure: str) -> None:
    dataset = _torchvision_class(kind)
    try:
        with _patience():
            for train in (True, False):
                dataset(str(root), train=train, download=True)
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MetannError(f"cannot download {kind} into {root}: {reason[:200]}; {cure}") from None


def _stacked(images: Sequence[np.ndarray], labels: Sequence[np.ndarray], class_names: Sequence[str]) -> RawDataset:
    split = np.repeat(["train", "test"], [len(part) for part in labels])
    labels_N = np.concatenate([np.asarray(part, np.int16) for part in labels])
    return RawDataset(np.ascontiguousarray(np.concatenate(images)), labels_N, split, tuple(class_names))


def check_cifar(kind: str, settings: "DataSection") -> None:
    """Refuse at once what `load_cifar` could not find.

    Raises:
        MetannError: the folder is missing and may not be downloaded.
    """
    folder = folder_of(settings) / _CIFAR_FOLDERS[kind]
    if not settings.download and not folder.is_dir():
        raise MetannError(
            f"no {kind} in {folder}; put the official Python files there, set data.root to the folder above them, or data.download: true"
        )


def load_cifar(kind: str, settings: "DataSection") -> RawDataset:
    """`CIFAR10` or `CIFAR100` from the official Python files (md5 checked), fetched if they are missing and may be.

    Raises:
        MetannError: missing, damaged, or not to be downloaded.
    """
    check_cifar(kind, settings)
    root = folder_of(settings)
    folder = root / _CIFAR_FOLDERS[kind]
    dataset = _torchvision_class(kind)
    cure = f"put the official Python files ({dataset.url}) into {folder}"
    for attempt in (0, 1):
        try:
            parts = [dataset(str(root), train=train, download=False) for train in (True, False)]
            break
        except _FAILURES:
            if attempt or not settings.download:
                raise MetannError(f"the files in {folder} are not those of {kind} (some are missing or damaged); {cure}") from None
            _download(kind, root, cure)
    return _stacked([part.data.transpose(0, 3, 1, 2) for part in parts], [part.targets for part in parts], parts[0].classes)


def fingerprint_cifar(kind: str, settings: "DataSection", digests: FileDigests) -> str:
    """16 hex digits over the official files; '' where they are not there yet."""
    folder = folder_of(settings) / _CIFAR_FOLDERS[kind]
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    return combined(part for path in files for part in (path.name, digests.of(path))) if files else ""


def verify_cifar(kind: str, settings: "DataSection") -> None:
    """Refuse files other than the official ones, before anything of an older preparation is removed.

    Raises:
        MetannError: damaged or incomplete.
    """
    root = folder_of(settings)
    dataset = _torchvision_class(kind)
    listed = [*dataset.train_list, *dataset.test_list]
    for name, md5 in listed:
        path = root / dataset.base_folder / name
        if not path.is_file() or hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            raise MetannError(f"{path} is not that of {kind} (missing or damaged); bring back the official files, or remove {path.parent}")


def _mnist_folder(kind: str, settings: "DataSection", elsewhere: Path | None) -> Path | None:
    """The first folder that holds idx files: torchvision's, `data.root` itself, the system's; None without any."""
    root = folder_of(settings)
    return next((folder for folder in (root / kind / "raw", root, elsewhere) if folder is not None and has_idx(folder)), None)


def check_mnist(kind: str, settings: "DataSection", elsewhere: Path | None = None) -> None:
    """Refuse at once what `load_mnist` could not find.

    Raises:
        MetannError: no idx files anywhere, and they may not be downloaded.
    """
    if not settings.download and _mnist_folder(kind, settings, elsewhere) is None:
        root = folder_of(settings)
        system = f" or {elsewhere}" if elsewhere else ""
        raise MetannError(
            f"no {kind} in {root / kind / 'raw'}, {root}{system}; put the four idx files (train-images-idx3-ubyte.gz, ...) "
            f"into one of them, or set data.download: true"
        )


def fingerprint_mnist(kind: str, settings: "DataSection", digests: FileDigests, elsewhere: Path | None = None) -> str:
    """16 hex digits over the four idx files; '' where they are not there yet."""
    folder = _mnist_folder(kind, settings, elsewhere)
    files = idx_files(folder) if folder is not None else []
    return combined(part for path in files for part in (path.name, digests.of(path))) if files else ""


def verify_mnist(kind: str, settings: "DataSection", elsewhere: Path | None = None) -> None:
    """Refuse broken files before anything of an older preparation is removed.

    Raises:
        MetannError: as `read_idx_pair`.
    """
    if (folder := _mnist_folder(kind, settings, elsewhere)) is not None:
        for split in ("train", "test"):
            read_idx_pair(folder, split)


def load_mnist(kind: str, settings: "DataSection", class_names: Sequence[str], elsewhere: Path | None = None) -> RawDataset:
    """`MNIST` or `FashionMNIST` from four idx files, fetched through torchvision if there are none and they may be.

    Args:
        kind: torchvision's name.
        settings: `root` and `download`.
        class_names: in label order.
        elsewhere: one more folder to look in.

    Raises:
        MetannError: missing, damaged, or not to be downloaded.
    """
    check_mnist(kind, settings, elsewhere)
    folder = _mnist_folder(kind, settings, elsewhere)
    if folder is None:
        root = folder_of(settings)
        folder = root / kind / "raw"
        _download(kind, root, f"put the four idx files (train-images-idx3-ubyte.gz, ...) into {folder}")
    (train_NHW, train_labels_N), (test_NHW, test_labels_N) = (read_idx_pair(folder, split) for split in ("train", "test"))
    return _stacked([train_NHW[:, None], test_NHW[:, None]], [train_labels_N, test_labels_N], class_names)
