"""A small plain CNN for small images: the network that every machine can train in seconds."""

from itertools import pairwise

from torch import Tensor, nn

from metann.errors import MetannError

NAMES = ("small_cnn",)
BLOCKS = "depth"  # how many `blocks` gives: a number, or the setting that says it


class SmallCNN(nn.Module):
    """`depth` stages of 3x3 convolution, max pool, batch norm and ReLU; channels double and pixels halve from stage to stage.

    Global average pooling and one linear layer end it, so any image size fits that leaves a pixel to the last stage.
    With width 16, depth 3 and one input channel: 24,058 parameters, 1.9 M multiply-accumulates at 28 x 28.
    """

    def __init__(self, num_classes: int, channels: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [channels, *(width * 2**stage for stage in range(depth))]
        layers: list[nn.Module] = []
        for stage, (before, after) in enumerate(pairwise(widths), start=1):
            layers.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
            if stage < depth:
                layers.append(nn.MaxPool2d(2))  # before the norm, as in airbench: norm and ReLU have a quarter of the work
            layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.classifier(self.features(images_NCHW).mean(dim=(2, 3)))


def build(name: str, num_classes: int, channels: int, image_size: int, *, width: int = 16, depth: int = 3) -> nn.Module:
    """A `SmallCNN`; `width` is the channels of the first stage, `depth` the number of stages.

    Raises:
        MetannError: width or depth below 1, or more halvings than the image has pixels for.
    """
    if width < 1 or depth < 1 or image_size >> (depth - 1) < 1:
        raise MetannError(
            f"{name}: width {width}, depth {depth} do not fit images of {image_size} pixels; width >= 1, 2**(depth-1) <= pixels"
        )
    return SmallCNN(num_classes, channels, int(width), int(depth))


def blocks(network: nn.Module) -> list[tuple[str, ...]]:
    """The stages, each to its ReLU."""
    ends = [index + 1 for index, layer in enumerate(network.features) if isinstance(layer, nn.ReLU)]
    return [tuple(f"features.{index}" for index in range(first, end)) for first, end in pairwise([0, *ends])]
