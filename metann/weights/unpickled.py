"""Files that torch pickled, read as tensors and plain values: code in them is never run, and torch's advice to run it never passed on."""

import argparse
import collections
import contextlib
import pathlib
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metann.errors import MetannError
from metann.files.ordinary import check_ordinary

# Plain values that people keep beside weights; making them runs no code of a file.
_HARMLESS = [
    *(np.ndarray, np.dtype, np._core.multiarray.scalar, np._core.multiarray._reconstruct, np.bool_, argparse.Namespace),
    *(type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdFD"),
    *(pathlib.PosixPath, pathlib.PurePosixPath, collections.defaultdict, collections.OrderedDict),
    *(dict, set, list, tuple, int, float, str, bool),
]

_UNKNOWN = "more than tensors, or is damaged"
_BEGINNINGS = (
    (b"<!doctype", "a web page (a failed download?)"),
    (b"<html", "a web page (a failed download?)"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file (git lfs pull)"),
    (b"\x89hdf", "HDF5 (of Keras?)"),
    (b"{", "JSON"),
)


def unpickled(path: Path) -> Any:
    """What a file holds.

    Raises:
        MetannError: missing, damaged, or more than tensors and plain values.
    """
    check_ordinary(path)
    try:
        # newer pickle protocols are read all the same, or refused
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MetannError(f"no weights file {path}; check the path") from None
    except pickle.UnpicklingError:
        what, protocol = _kind(path), _protocol(path)
        also = ""
        if what == _UNKNOWN and protocol > 3:
            what, also = f"a pickle of protocol {protocol}, of which torch reads no tensors", ", without pickle_protocol"
        raise MetannError(f"{path} holds {what}; nothing in it was run: save its state_dict alone{also}") from None
    except MemoryError:
        raise
    except Exception as error:  # torch and zipfile raise many kinds on foreign bytes
        if "torchscript" in str(error).lower():
            raise MetannError(f"{path} is a TorchScript archive, which holds code; save the state_dict of the network alone") from None
        reason = str(error).split("\n", 1)[0]
        reason = "more than tensors" if "weights_only" in reason else reason
        reason = "a damaged or cut-off archive" if "PytorchStreamReader" in reason else reason
        if isinstance(error, EOFError):
            reason = "it is empty or cut off"
        raise MetannError(f"cannot read {path}: {reason}; a .safetensors file or a pickled state_dict is needed") from None


def _protocol(path: Path) -> int:
    """The protocol of a pickle, in an archive of torch or by itself; 0 where there is none to see."""
    beginning = b""
    if zipfile.is_zipfile(path):
        with contextlib.suppress(OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError), zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
            if name is not None:
                with archive.open(name) as file:
                    beginning = file.read(2)
    else:
        with path.open("rb") as file:
            beginning = file.read(2)
    return beginning[1] if len(beginning) == 2 and beginning[0] == 0x80 else 0


def _kind(path: Path) -> str:
    """What a pickle that was refused seems to hold; its bytes are looked at, not run."""
    with path.open("rb") as file:
        content = file.read(20_000_000)
    for beginning, what in _BEGINNINGS:
        if content.lstrip()[: len(beginning)].lower() == beginning:
            return what
    if b"torch.nn.modules" in content or b"ctorch.nn" in content:
        return "a whole module (its code too)"
    for name, what in (
        (b"argparse", "tensors and settings (an argparse.Namespace)"),
        (b"omegaconf", "tensors and settings (of OmegaConf)"),
        (b"numpy", "numpy values beside tensors, or instead of them"),
        (b"pytorch_lightning", "tensors and objects of Lightning"),
    ):
        if name in content:
            return f"more than tensors: {what}"
    return _UNKNOWN
