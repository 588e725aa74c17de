"""Weight files: safetensors whose header says which network they belong to, checked when they are read.

The header is JSON under the one metadata key `metann` (several keys would be stored in random order, and equal weights would make
different files). Files made elsewhere (plain safetensors, a pickled state_dict) are read as tensors only, never as code.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from metann.errors import MetannError, exhausted, failed_system
from metann.files.atomic import atomic
from metann.files.digests import source_digest
from metann.files.headers import Description, check_types, parse_header
from metann.files.ordinary import check_ordinary
from metann.registry import own_network
from metann.weights.headers import header_of
from metann.weights.numbers import beyond, check_finite, kind_of
from metann.weights.unfilled import REQUIRED, at_most, build_unfilled

WHOLE = {"class": None, "fold": None}
"""Expected of the header of a network that is neither an expert nor one of several folds, whatever its name."""
WRAPPERS = ("module.", "_orig_mod.")  # of data parallelism and of torch.compile


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = {}
    for key, tensor in state.items():
        while key.startswith(WRAPPERS):
            key = key.split(".", 1)[1]
        plain[key] = tensor
    return plain


def save_weights(path: Path, weights: nn.Module | Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write a network's state and its header, whole or not at all; the same weights and header make the same bytes.

    Args:
        weights: a module or its state_dict.
        header: architecture, settings, num_classes, channels, image_size, class_names, mean, std and whatever else JSON can hold.

    Raises:
        MetannError: the header lacks what is needed to build the network again, or the file cannot be written.
    """
    if missing := [key for key in REQUIRED if key not in header]:
        raise MetannError(f"cannot write {path}: the header lacks {', '.join(missing)}; needed to build the network again")
    names = header.get("class_names")
    if names is not None and len(names) != header["num_classes"]:
        raise MetannError(f"cannot write {path}: {len(names)} class names for {header['num_classes']} classes; give one for each")
    save_tensors(path, _plain(weights.state_dict() if isinstance(weights, nn.Module) else weights), header)


def save_tensors(path: Path, state: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write named tensors with a header of whatever JSON can hold, whole or not at all; the same content makes the same bytes."""
    # Tensors of a file may not share memory or be strided (channels_last is).
    state = {key: tensor.detach().to("cpu", copy=True).contiguous() for key, tensor in state.items()}
    plain = {key: value for key, value in header.items() if key != "content"}
    text = json.dumps(plain | {"content": _content(plain, state)}, sort_keys=True, allow_nan=False)
    with atomic(Path(path)) as temporary:  # not save_file, whose files only their owner may read
        temporary.write_bytes(save(state, metadata={"metann": text}))


def _content(header: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """16 hex digits over a header and tensors on the CPU, in whatever order a file keeps them."""
    digest = hashlib.blake2b(json.dumps(dict(header), sort_keys=True).encode(), digest_size=8)
    for key in sorted(state):
        tensor = state[key].detach()
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _open(path: Path) -> Any:
    check_ordinary(path)
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise MetannError(f"no weights file {path}; run the stage that makes it, or check the path") from None
    except (SafetensorError, OSError, MemoryError) as error:
        if exhausted(error):
            raise failed_system(path, error) from None
        raise MetannError(f"cannot read {path} as safetensors ({error}): truncated, or of another format; make or fetch it again") from None


def _header(file: Any, path: Path, required: Sequence[str] = REQUIRED) -> dict[str, Any]:
    """The header as it stands in the file, its digest too."""
    header = parse_header((file.metadata() or {}).get("metann", ""), path)
    if not header:
        raise MetannError(f"{path} has no header of metann; give it as `weights` of a network, which names its architecture")
    if missing := [key for key in required if header.get(key) is None]:
        raise MetannError(f"the header of {path} lacks {', '.join(missing)}; make the file again")
    check_types(header_of(header.get("kind")), header, path, "make the file again")
    for architecture, digest in header.get("sources", {}).items():
        check_source(architecture, digest, path)
    return Description.of(header, path, "make the file again")


def check_source(architecture: str, digest: str, path: Path) -> None:
    """Refuse weights of a user's own network whose code is not what they were made with.

    Raises:
        MetannError: its file is gone, or another.
    """
    source, _ = own_network(architecture) or (Path(architecture), "")
    if not source.is_file():
        raise MetannError(f"{path} is of {architecture}, and there is no {source} in {Path.cwd()}; work in the folder that has it")
    if source_digest(source) != digest:
        raise MetannError(f"{path} was made with another {source}; bring that back, or make the weights again")


def _check_content(header: dict[str, Any], state: Mapping[str, Tensor], path: Path) -> None:
    """Take the digest out of a header and compare it; files from before there was one have none."""
    sealed = header.pop("content", None)
    if sealed is not None and sealed != _content(header, state):
        raise MetannError(f"{path} was changed after metann wrote it; make it again, or fetch it again")


def read_header(path: Path, required: Sequence[str] = REQUIRED) -> dict[str, Any]:
    """What a weights file says of itself.

    Args:
        path: a file of `save_weights` or `save_tensors`.
        required: keys that it must have.

    Raises:
        MetannError: the file is missing, truncated, not ours, or lacks a key.
    """
    with _open(path) as file:
        header = _header(file, path, required)
    header.pop("content", None)
    return header


def own_header(path: Path) -> dict[str, Any]:
    """What a safetensors file from anywhere says of itself; {} where another program made it.

    Raises:
        MetannError: missing, truncated, or a header of metann that is damaged.
    """
    with _open(path) as file:
        raw = (file.metadata() or {}).get("metann")
    header = {} if raw is None else parse_header(raw, path)
    if raw is not None and not header:
        raise MetannError(f"the header of {path} is damaged (no JSON), so its classes cannot be compared; make or fetch the file again")
    check_types(header_of(header.get("kind")), header, path, "make the file again")
    return header


def check_header(path: Path | str, header: Mapping[str, Any], expect: Mapping[str, Any]) -> None:
    """Refuse a file whose header differs from what is expected of it, key by key; lists and tuples are equal.

    Raises:
        MetannError: naming the file, the key and both values; for class names, the first that differs.
    """
    for key, wanted in expect.items():
        found = header.get(key)
        if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
            if list(wanted) == list(found):
                continue
            if len(wanted) == len(found):
                place = next(i for i, (a, b) in enumerate(zip(wanted, found, strict=True)) if a != b)
                key, wanted, found = f"{key}[{place}]", wanted[place], found[place]
            else:
                key, wanted, found = f"number of {key}", len(wanted), len(found)
        if wanted is None and found is not None:
            raise MetannError(f"{path} was made for {key} {found!r} alone; use the weights of the whole network")
        if found != wanted:
            raise MetannError(f"{path} was made for {key} {found!r}, but {wanted!r} is asked for; use weights made for it")


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path | str, architecture: str) -> nn.Module:
    """Copy a state into a module; every key must find its place with its shape. Returns the module in eval mode.

    Raises:
        MetannError: naming the first keys that are missing, left over, or of another shape.
    """
    wanted = module.state_dict()
    # Files from before torch 0.4.1 do not count batches; the count is used nowhere.
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    surplus = [key for key in state if key not in wanted]
    shapes = [key for key in state if key in wanted and state[key].shape != wanted[key].shape]
    others = [key for key in state if key in wanted and wanted[key].is_floating_point() and not state[key].is_floating_point()]
    faults = [f"{len(keys)} keys {what} ({keys[0]} ...)" for keys, what in ((missing, "are missing"), (surplus, "are left over")) if keys]
    faults += [f"{key} is {list(state[key].shape)}, not {list(wanted[key].shape)}" for key in shapes[:1]]
    faults += [f"{key} holds {kind_of(state[key])}, not floats" for key in others[:1]]
    if not faults:
        faults = [
            f"{key} holds numbers beyond {kind_of(wanted[key])}" for key in state if key in wanted and beyond(state[key], wanted[key])
        ][:1]
    if faults:
        raise MetannError(f"{path} does not fit {architecture}: {'; '.join(faults)}; check architecture, settings and number of classes")
    module.load_state_dict(state, strict=False)
    return module.eval()


def load_weights(path: Path, expect: Mapping[str, Any] | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network that a file's header describes and fill it; on the CPU, in eval mode.

    Args:
        path: a file of `save_weights`.
        expect: header values the file must have, such as {"class_names": [...], "architecture": "resnet20"}.

    Raises:
        MetannError: no such file, truncated, not ours, other than expected, or not fitting its own header.
    """
    with _open(path) as file:
        header = _header(file, path)
        check_header(path, header, expect or {})
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    _check_content(header, state, path)
    check_finite(state, path)
    with at_most(state, path):
        module = build_unfilled(header)
    return fill(module, state, path, header["architecture"]), header


def load_state(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, without the prefixes that wrappers give their names.

    Raises:
        MetannError: no such file, unreadable, or one of ours that was changed.
    """
    path = Path(path)
    with _open(path) as file:
        header = parse_header((file.metadata() or {}).get("metann", ""), path)
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    _check_content(header, state, path)
    return _plain(state)
