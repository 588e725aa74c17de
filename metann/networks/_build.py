"""Networks by name: `build` finds the family file that knows a name and asks it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metann import registry
from metann.errors import MetannError, one_of

if TYPE_CHECKING:
    from torch import nn


def build(name: str, num_classes: int = 10, channels: int = 3, image_size: int = 32, **settings: Any) -> "nn.Module":
    """A network with freshly drawn weights (torch's global generator); images N x channels x size x size in, logits N x K out.

    Args:
        name: an architecture of metann/networks (`metann.registry.architectures()`), `path/to/nets.py:build` or `timm/NAME`.
        num_classes: K.
        channels: of the images, 1 or 3.
        image_size: pixels of the square images.
        settings: keyword-only arguments of the family's `build`, such as width.

    Raises:
        MetannError: unknown name or setting, or a size that the architecture cannot take.
    """
    module, known = registry.architecture_module(name), registry.architecture_settings(name)
    for setting in settings:
        if setting not in known and registry.ANYTHING not in known:
            raise MetannError(f"unknown setting {setting!r} of {name}; known: {one_of(known) or 'none'}")
    if num_classes < 2 or channels < 1 or image_size < 1:
        raise MetannError(f"{name}: {num_classes} classes, {channels} channels, {image_size} pixels; at least 2, 1 and 1 are needed")
    return import_module(f"metann.networks.{module}").build(name, num_classes, channels, image_size, **settings)
