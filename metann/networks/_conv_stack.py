"""Convolutions, then linear layers: the networks of which the published mixtures are made."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from metann.errors import MetannError


class Stage(NamedTuple):
    """A convolution, ReLU and what may stand around it; a convolution with batch norm has no bias."""

    channels: int
    kernel: int = 3
    padding: int = 1
    norm: bool = False
    pool: bool = True


class ConvStack(nn.Module):
    """`stages`, then linear layers of `hidden` units with ReLU between them, then one linear layer of logits.

    No ReLU works in place: what stands before the last one can be read by others.
    """

    def __init__(self, name: str, classes: int, channels: int, image_size: int, stages: Sequence[Stage], hidden: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage in stages:
            layers.append(nn.Conv2d(channels, stage.channels, stage.kernel, padding=stage.padding, bias=not stage.norm))
            layers += [nn.BatchNorm2d(stage.channels)] if stage.norm else []
            layers += [nn.ReLU(), *([nn.MaxPool2d(2)] if stage.pool else [])]
            channels, image_size = stage.channels, (image_size + 2 * stage.padding - stage.kernel + 1) // (2 if stage.pool else 1)
            if image_size < 1:
                raise MetannError(f"{name}: the images leave no pixel after {len(layers)} layers; give larger images")
        units = [channels * image_size**2, *hidden]
        layers.append(nn.Flatten())
        for before, after in pairwise(units):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(units[-1], classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.classifier(self.features(images_NCHW))


def conv_stack(
    name: str, classes: int, channels: int, image_size: int, stages: Sequence[Stage], hidden: Sequence[int], width: float
) -> ConvStack:
    """A `ConvStack` with `width` times the channels and hidden units, at least one of each.

    Raises:
        MetannError: a width that is not above 0, or images that are too small.
    """
    if not width > 0:
        raise MetannError(f"{name}: width {width} is not above 0")
    wider = [stage._replace(channels=max(round(stage.channels * width), 1)) for stage in stages]
    return ConvStack(name, classes, channels, image_size, wider, [max(round(units * width), 1) for units in hidden])
