"""Plain stacks of 3 x 3 convolutions with batch norm (Simonyan and Zisserman 2015), cut to small images.

vggNN_bn has a classifier 512 wide (chenyaofo's), vggNN_bn_4096 one 4096 wide behind an average pool (PyTorch_CIFAR10's); its setting
`pool` is the side of that pool: 1 in the weights of 2021, 7 in those of 2020, whose first linear map is 49 times as large.
"""

from itertools import pairwise

from torch import Tensor, nn

from metann.errors import MetannError
from metann.networks._blocks import initialise

NAMES = (
    "vgg11_bn",
    "vgg13_bn",
    "vgg16_bn",
    "vgg19_bn",
    "vgg11_bn_4096",
    "vgg13_bn_4096",
    "vgg16_bn_4096",
    "vgg19_bn_4096",
)
BLOCKS = 5  # how many `blocks` gives
CONVOLUTIONS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # a stage
WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five stages, each ended by a 2 x 2 max-pool, and three linear layers."""

    def __init__(self, num_classes: int, channels: int, image_size: int, convolutions: tuple[int, ...], hidden: int, pool: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for width, count in zip(WIDTHS, convolutions, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                before = width
            # Five halvings of fewer than 32 pixels would leave none; rounding up leaves one, without another parameter.
            layers.append(nn.MaxPool2d(2, ceil_mode=image_size < 32))
        self.features = nn.Sequential(*layers)
        # At 32 pixels a pool of side 1 changes nothing; larger images are averaged by it.
        self.avgpool = nn.AdaptiveAvgPool2d(pool)
        self.classifier = nn.Sequential(
            nn.Linear(before * pool**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )
        initialise(self, linear_std=0.01)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(images_NCHW)).flatten(1))


def build(name: str, num_classes: int, channels: int, image_size: int, *, pool: int = 1) -> nn.Module:
    """A `VGG`; `pool` is the side of the average pool before the classifier (1, or 7 for PyTorch_CIFAR10's weights of 2020).

    Raises:
        MetannError: a pool of side 0 or less, or one other than 1 with the narrow classifier.
    """
    wide = name.endswith("_4096")
    if pool < 1 or (pool != 1 and not wide):
        raise MetannError(f"{name}: pool {pool}; known: 1, and 7 with the names that end in _4096")
    return VGG(num_classes, channels, image_size, CONVOLUTIONS[name.split("_")[0]], 4096 if wide else 512, int(pool))


def blocks(network: nn.Module) -> list[tuple[str, ...]]:
    """The stages, each to its pool."""
    ends = [index + 1 for index, layer in enumerate(network.features) if isinstance(layer, nn.MaxPool2d)]
    return [tuple(f"features.{index}" for index in range(first, end)) for first, end in pairwise([0, *ends])]
