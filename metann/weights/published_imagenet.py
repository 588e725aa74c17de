"""torchvision's published weights, and how images are made ready for them."""

import pickle
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from metann.errors import MetannError, unknown
from metann.weights.files import fill
from metann.weights.unfilled import build_unfilled


class Transforms(NamedTuple):
    """How images are made ready for published weights: resize the shorter side, crop the centre, normalise values in [0, 1]."""

    resize: int
    crop: int
    interpolation: str  # bilinear or bicubic
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _entry(name: str, weights: str) -> Any:
    from torchvision.models import get_model_weights

    known = get_model_weights(name.removeprefix("imagenet_"))
    if weights not in known.__members__:
        raise unknown(f"weights of {name}", weights, known.__members__)
    return known[weights]


def published_transforms(name: str, weights: str = "IMAGENET1K_V1") -> Transforms:
    """Input size, interpolation and normalisation, from the weights' own transforms.

    Raises:
        MetannError: torchvision has no such weights of that network.
    """
    own = _entry(name, weights).transforms()
    return Transforms(own.resize_size[0], own.crop_size[0], own.interpolation.value, tuple(own.mean), tuple(own.std))


def pretrained(name: str, weights: str, header: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The network with torchvision's weights, fetched once and checked against the hash in their name.

    Class order is ImageNet's: the data's class names are its 1000 categories, or its folder names (n01440764 ...) in order.

    Raises:
        MetannError: other classes, another image size than the weights were evaluated at, no connection, unknown weights.
    """
    from torchvision.models import get_model

    entry = _entry(name, weights)
    transforms = published_transforms(name, weights)
    names = list(header.get("class_names") or entry.meta["categories"])
    folders = names == sorted(names) and all(re.fullmatch(r"n\d{8}", each) for each in names)
    if header["num_classes"] != len(entry.meta["categories"]) or not (folders or names == list(entry.meta["categories"])):
        raise MetannError(f"{weights} of {name} knows ImageNet's 1000 classes in their order; the data has {len(names)}: {names[0]}, ...")
    if header["image_size"] != transforms.crop:
        raise MetannError(
            f"{weights} of {name} takes images of {transforms.crop} pixels, the data has {header['image_size']}; prepare them so"
        )
    try:
        state = get_model(name.removeprefix("imagenet_"), weights=entry, progress=False).state_dict()
    except OSError as error:  # no connection, or no room in torch's cache
        reason = getattr(error, "reason", error)
        raise MetannError(f"cannot fetch {entry.url}: {reason}; connect, or put the file into torch's cache (TORCH_HOME)") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:  # another hash, or half a file
        raise MetannError(
            f"cannot use {entry.url}: {(str(error).splitlines() or ['it is damaged'])[0]}; delete it from torch's cache and fetch it again"
        ) from None
    state = {key: tensor for key, tensor in state.items() if not key.startswith("AuxLogits.")}  # torchvision keeps inception's
    module = fill(build_unfilled({**header, "architecture": name}), state, entry.url, name)
    return module, {"mean": list(transforms.mean), "std": list(transforms.std), "class_names": names, "weights": f"torchvision {weights}"}
