"""timm's models as architectures: `timm/resnet18`, with what stands behind a dot (`timm/resnet18.a1_in1k`) naming pretrained weights."""

import contextlib
import logging
from importlib import import_module
from typing import Any

from torch import nn

from metann.networks._checked import checked
from metann.registry import TIMM


def interface() -> Any:
    """timm itself; what it would only print on the way is not printed."""
    with contextlib.redirect_stdout(None):
        return import_module("timm")


def build(name: str, num_classes: int, channels: int, image_size: int, **settings: Any) -> nn.Module:
    """timm's network with freshly drawn weights for our images and classes.

    Args:
        settings: passed on to `timm.create_model`, such as drop_path_rate.

    Raises:
        MetannError: a setting that the model does not take, or images that are too small for it.
    """
    timm = interface()
    model = name.removeprefix(TIMM)
    config = timm.models.get_pretrained_cfg(model)
    if config is not None and config.fixed_input_size:  # a transformer whose positions are learned for one size
        settings = {"img_size": image_size} | settings

    def make() -> nn.Module:
        logging.getLogger("timm").setLevel(logging.ERROR)
        return timm.create_model(model, pretrained=False, num_classes=num_classes, in_chans=channels, **settings)

    return checked(name, make, num_classes, channels, image_size)
