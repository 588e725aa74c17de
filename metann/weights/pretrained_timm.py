"""timm's pretrained weights, and what images have to look like for them."""

import contextlib
import re
import socket
from collections.abc import Mapping
from typing import Any

from torch import nn

from metann.errors import MetannError
from metann.networks._timm import interface
from metann.registry import TIMM
from metann.weights.files import fill
from metann.weights.unfilled import build_unfilled


def pretrained(name: str, header: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The network with timm's weights, fetched once into the cache of the Hugging Face hub (HF_HOME).

    The data's classes have to be those that the weights know, in their order: ImageNet's categories or synsets (n01440764 ...).

    Args:
        name: `timm/resnet18`, or with the name of its weights `timm/resnet18.a1_in1k`.
        header: num_classes, channels, image_size, settings and class_names of the data it will see.

    Returns:
        The module in eval mode; and {mean, std, class_names, weights, crop, assumed}, to be laid over the header.

    Raises:
        MetannError: no weights of that name, other classes, grey images, no connection, or weights that do not fit.
    """
    timm = interface()
    config = timm.models.get_pretrained_cfg(name.removeprefix(TIMM), allow_unregistered=False)
    if config is None or not config.has_weights:
        known = list(timm.list_pretrained(f"{name.removeprefix(TIMM).split('.')[0]}*"))
        raise MetannError(f"timm has no weights of {name}; known: {', '.join(known[:10]) or 'none'}; or give a local file as `weights`")
    names = _names(timm, name, config, header)
    if header["channels"] != len(config.mean):
        raise MetannError(
            f"pretrained weights of {name} take {len(config.mean)} channels, the data has {header['channels']}; train, or use colour"
        )
    try:
        state = timm.create_model(name.removeprefix(TIMM), pretrained=True, **_whole(header)).state_dict()
    except (OSError, RuntimeError, ValueError, ImportError, LookupError) as error:  # the hub has errors of many kinds
        raise MetannError(
            f"cannot fetch the weights of {name}: {_line(error)}; connect, or put them into the hub's cache (HF_HOME), "
            "or give a local file as `weights`"
        ) from None
    module = fill(build_unfilled({**header, "architecture": name}), state, f"timm's {name}", name)
    crop = {"crop_pct": config.crop_pct, "interpolation": config.interpolation, "image_size": config.input_size[-1]}
    found = {
        "mean": list(config.mean),
        "std": list(config.std),
        "class_names": names,
        "weights": f"timm {config.architecture}.{config.tag}",
    }
    return module, found | {"crop": crop, "assumed": _differences(name, crop, header)}


def _whole(header: Mapping[str, Any]) -> dict[str, Any]:
    return {"num_classes": header["num_classes"], "in_chans": header["channels"], **header.get("settings", {})}


def _names(timm: Any, name: str, config: Any, header: Mapping[str, Any]) -> list[str]:
    """The data's class names, if they are what the weights know."""
    names = list(header.get("class_names") or ())
    subset = timm.data.infer_imagenet_subset(config.to_dict())
    known = timm.data.ImageNetInfo(subset) if subset else None
    if header["num_classes"] != config.num_classes:
        raise MetannError(
            f"pretrained weights of {name} know {config.num_classes} classes, the data has {len(names)}: {', '.join(names[:3])}, ...; "
            "train it on these classes, or give weights of them as a local file"
        )
    if known is not None and names not in (known.label_names(), [d.split(",")[0] for d in known.label_descriptions()]):
        raise MetannError(
            f"pretrained weights of {name} know ImageNet's classes in their order (folders {known.label_names()[0]}, ...); "
            f"the data has {', '.join(names[:3])}, ...; name its folders so"
        )
    return names


def _differences(name: str, crop: Mapping[str, Any], header: Mapping[str, Any]) -> list[str]:
    """What the weights saw otherwise than the data shows it, in sentences."""
    said = []
    if header["image_size"] != crop["image_size"]:
        said.append(f"{name} was evaluated on {crop['image_size']} pixels; here it sees {header['image_size']}")
    if crop["crop_pct"] < 1:
        said.append(f"{name} was evaluated on the central {crop['crop_pct']:.1%} of the square; here it sees all of it")
    return said


def _line(error: BaseException) -> str:
    """The cause of an error of the hub in one line."""
    with contextlib.suppress(OSError):
        socket.getaddrinfo("huggingface.co", 443)
        return re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:200]
    return "no connection to huggingface.co"
