"""A short, wide residual network that learns CIFAR-10 in few epochs: ResNet-9 of D. Page, 'How to train your ResNet' (2018)."""

from torch import Tensor, nn

from metann.errors import MetannError
from metann.networks._blocks import at_least, conv_norm

NAMES = ("resnet9",)
BLOCKS = 4  # how many `blocks` gives
LOGIT_SCALE = 0.125  # as published: keeps the first logits small under a high learning rate


class Residual(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*conv_norm(width, width, 3), nn.ReLU(inplace=True), *conv_norm(width, width, 3), nn.ReLU(inplace=True))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW + self.layers(x_NCHW)


def _halved(before: int, after: int) -> list[nn.Module]:
    return [*conv_norm(before, after, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]


class ResNet9(nn.Module):
    """A stem and three stages that halve the image and double the channels; the first and the last with a residual block.

    With width 64 and three input channels: 6,573,130 parameters, 379 M multiply-accumulates at 32 x 32.
    """

    def __init__(self, num_classes: int, channels: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(*conv_norm(channels, width, 3), nn.ReLU(inplace=True)),
            nn.Sequential(*_halved(width, 2 * width), Residual(2 * width)),
            nn.Sequential(*_halved(2 * width, 4 * width)),
            nn.Sequential(*_halved(4 * width, 8 * width), Residual(8 * width)),
        )
        self.classifier = nn.Linear(8 * width, num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return LOGIT_SCALE * self.classifier(self.features(images_NCHW).amax(dim=(2, 3)))


def build(name: str, num_classes: int, channels: int, image_size: int, *, width: int = 64) -> nn.Module:
    """A `ResNet9`; `width` is the channels of the stem.

    Raises:
        MetannError: a width below 1, or images of fewer than 8 pixels.
    """
    at_least(name, image_size, 8)
    if width < 1:
        raise MetannError(f"{name}: width {width}; at least 1 is needed")
    return ResNet9(num_classes, channels, int(width))


def blocks(network: nn.Module) -> list[tuple[str, ...]]:  # noqa: ARG001
    """The stem and the stages."""
    return [(f"features.{index}",) for index in range(4)]
