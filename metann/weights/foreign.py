"""Checkpoints made elsewhere -> named tensors: the usual wrappers are opened, and what cannot be read is named as what it is.

Tensors only: code in a pickle is never run, and torch's advice to run it is never passed on.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metann.errors import MetannError, one_of
from metann.weights.files import load_state
from metann.weights.numbers import check_finite
from metann.weights.unpickled import unpickled

# What keeps a state_dict, the surest first; an average of the weights is what a run with one means to be used.
KEYS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "model_ema_state_dict", "averaged_model")
KEYS += (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "backbone",
    "net_state_dict",
)
_COUNTERS = ("n_averaged",)  # of torch's AveragedModel
_WRAPPED = ("module.", "_orig_mod.")  # of data parallelism and of torch.compile; anywhere in a name


def load_checkpoint(path: Path, wanted: Iterable[str] = ()) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors of a local file: .safetensors, or a state_dict pickled by torch (.pt, .pth); code in it is never run.

    Args:
        path: the file.
        wanted: names that the network has; prefixes are dropped and wrappers opened until these are found. None: whatever is there.

    Returns:
        The state, and what was assumed, in sentences.

    Raises:
        MetannError: no such file, unreadable, holding no named tensors, or numbers that are not finite.
    """
    path, wanted = Path(path), set(wanted)
    if path.suffix.lower() == ".safetensors":
        content: Any = load_state(path)
    else:
        content = unpickled(path)
    state, key, left = _opened(content, path, wanted)
    named, said = _renamed(state, wanted, path)
    if key:
        others = f" ({', '.join(map(repr, left))} left out)" if left else ""
        said.insert(0, f"weights stand under {key!r} in the file{others}")
    check_finite({name: tensor for name, tensor in named.items() if not wanted or name in wanted}, path)
    return named, said


def _is_state(content: Any) -> bool:
    """Names and tensors, or arrays of numpy; a few other values beside them do not matter."""
    if not isinstance(content, Mapping) or not content or not all(isinstance(key, str) for key in content):
        return False
    return 2 * sum(isinstance(value, Tensor | np.ndarray) for value in content.values()) > len(content)


def _opened(content: Any, path: Path, wanted: set[str]) -> tuple[dict[str, Tensor], str, list[str]]:
    """The state_dict in a checkpoint, under which key, and the keys of other states."""
    if not isinstance(content, Mapping):
        raise MetannError(f"{path} holds {_described(content)} and is not a state_dict (names and tensors); save module.state_dict() alone")
    found: dict[str, Mapping[str, Any]] = {"": content} if _is_state(content) else {}
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            if _is_state(value):
                found[key] = value
            for inner, deeper in value.items():
                if isinstance(inner, str) and _is_state(deeper):
                    found[f"{key}.{inner}"] = deeper
    if not found:
        what = _described(content)
        raise MetannError(f"{path} holds {what} and is not a state_dict (names and tensors); save module.state_dict() alone")
    key = _best(found, wanted)
    numbers = {name: value for name, value in found[key].items() if isinstance(value, Tensor | np.ndarray)}
    return (
        {name: value if isinstance(value, Tensor) else torch.from_numpy(np.array(value)) for name, value in numbers.items()},
        key,
        [other for other in found if other and other != key],
    )


def _best(found: Mapping[str, Mapping[str, Any]], wanted: set[str]) -> str:
    """Of several states the one that fits most names; among equals the one whose key comes first in `KEYS`."""

    def worth(key: str) -> tuple[int, int]:
        plain = _plain(found[key])
        fitting = max((sum(prefix + name in plain for name in wanted) for prefix in _prefixes(plain, wanted)), default=0)
        place = next((rank for rank, known in enumerate(KEYS) if known in key.split(".")), len(KEYS)) if key else len(KEYS)
        return -fitting, place

    return min(found, key=worth)


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        kinds = sorted({type(value).__name__ for value in content.values()})
        return f"a dictionary of {one_of(map(str, content))} ({one_of(kinds)})" if content else "an empty dictionary"
    return f"a {type(content).__name__}"


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """Names without the wrappers of data parallelism and compilation, which stand in front or, of parts, in between."""
    plain = {}
    for key, value in state.items():
        parts = key.split(".")
        inner = [part for part in parts[:-1] if f"{part}." not in _WRAPPED]
        plain[".".join([*inner, parts[-1]])] = value
    return plain


def _prefixes(plain: Mapping[str, Any], wanted: set[str]) -> list[str]:
    """What may stand in front of the network's names: whatever does so before one of them."""
    if not wanted:
        return []
    probe = max(wanted, key=lambda name: (name.count("."), name))
    return [""] if probe in plain else sorted(key.removesuffix(probe) for key in plain if key.endswith(f".{probe}"))


def _renamed(state: Mapping[str, Tensor], wanted: set[str], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The network's state by the network's names, and what was left out, in sentences.

    Raises:
        MetannError: several networks in one file.
    """
    plain = {key: value for key, value in _plain(state).items() if key not in _COUNTERS}
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    fitting = [prefix for prefix in _prefixes(plain, needed) if all(prefix + name in plain for name in needed)]
    if len(fitting) > 1:
        names = ", ".join(repr(prefix.rstrip(".")) for prefix in fitting)
        raise MetannError(f"{path} holds {len(fitting)} networks that fit ({names}); save the state_dict of one alone")
    if not fitting:  # `fill` says what is missing
        return plain, []
    prefix = fitting[0]
    inside = {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}
    stems = {name.split(".", 1)[0] for name in wanted}
    outside = [key for key in plain if not key.startswith(prefix)]
    outside += [key for key in inside if key.split(".", 1)[0] not in stems]  # a loss's own weights, another head
    said = [f"names begin with {prefix!r} in the file"] if prefix else []
    said += [f"{one_of(outside)} of the file left out: no part of the network"] if outside else []
    return {key: value for key, value in inside.items() if key not in outside}, said


def normalisation(
    given: tuple[Sequence[float], Sequence[float]], found: Mapping[str, Any], data: Mapping[str, Any], path: str
) -> tuple[dict[str, Any], list[str]]:
    """Mean and standard deviation that weights from elsewhere want to see, and what was assumed, in sentences.

    Args:
        given: mean and std of the configuration, () where it says nothing.
        found: what is known of the weights; `mean` and `std` where their file says so.
        data: `channels` of the data.
        path: of the weights.

    Raises:
        MetannError: not one number for each channel, or weights that say one of the two.
    """
    mean, std = given
    if mean:
        if len(mean) != data["channels"]:
            raise MetannError(f"mean and std have {len(mean)} numbers, the images have {data['channels']} channels; give one for each")
        return {"mean": list(mean), "std": list(std)}, []
    if ("mean" in found) != ("std" in found):
        said, missing = ("mean", "std") if "mean" in found else ("std", "mean")
        raise MetannError(f"the header of {path} says {said} and no {missing}; give mean and std of the network in the configuration")
    if "mean" in found:
        return {"mean": list(found["mean"]), "std": list(found["std"])}, []
    return {}, [
        f"{path} saw pixel values normalised by the mean and std of these training images; mean and std of the network say otherwise, such "
        "as mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]"
    ]
