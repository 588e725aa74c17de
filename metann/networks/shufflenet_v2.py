"""ShuffleNetV2 (Ma et al. 2018) for small images: stem of stride 1 and no max-pool. Parameter names and shapes are torchvision's."""

import torch
from torch import Tensor, nn

from metann.networks._blocks import conv_norm, pooled

NAMES = ("shufflenetv2_x0_5", "shufflenetv2_x1_0", "shufflenetv2_x1_5", "shufflenetv2_x2_0")
BLOCKS = 5  # how many `blocks` gives
WIDTHS = {  # of the three stages, and of the last convolution
    "shufflenetv2_x0_5": (48, 96, 192, 1024),
    "shufflenetv2_x1_0": (116, 232, 464, 1024),
    "shufflenetv2_x1_5": (176, 352, 704, 1024),
    "shufflenetv2_x2_0": (244, 488, 976, 2048),
}
BLOCKS = (4, 8, 4)
STEM = 24


class Unit(nn.Module):
    """Two branches side by side, their channels interleaved. At stride 1 the first is the unchanged half of the input."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        half = after // 2
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(
                *conv_norm(before, before, 3, stride, groups=before), *conv_norm(before, half, 1), nn.ReLU(inplace=True)
            )
        self.branch2 = nn.Sequential(
            *conv_norm(before if stride > 1 else half, half, 1),
            nn.ReLU(inplace=True),
            *conv_norm(half, half, 3, stride, groups=half),
            *conv_norm(half, half, 1),
            nn.ReLU(inplace=True),
        )
        self.splits = stride == 1

    def forward(self, x_NCHW: Tensor) -> Tensor:
        first_NCHW, second_NCHW = x_NCHW.chunk(2, dim=1) if self.splits else (x_NCHW, x_NCHW)
        # Stacking before flattening alternates the branches' channels: a shuffle of two groups.
        return torch.stack([self.branch1(first_NCHW), self.branch2(second_NCHW)], dim=2).flatten(1, 2)


class ShuffleNetV2(nn.Module):
    """Stem, three stages that halve the size, a 1 x 1 convolution, mean and one linear layer."""

    def __init__(self, num_classes: int, channels: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*conv_norm(channels, STEM, 3), nn.ReLU(inplace=True))
        stages = []
        for before, after, count in zip((STEM, *widths[:2]), widths[:3], BLOCKS, strict=True):
            stages.append(nn.Sequential(Unit(before, after, 2), *(Unit(after, after, 1) for _ in range(count - 1))))
        self.stage2, self.stage3, self.stage4 = stages
        self.conv5 = nn.Sequential(*conv_norm(widths[2], widths[3], 1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(widths[3], num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.fc(pooled(self.conv5(self.stage4(self.stage3(self.stage2(self.conv1(images_NCHW)))))))


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:  # noqa: ARG001  (any size fits)
    """The network of that width, with torch's default initialisation."""
    return ShuffleNetV2(num_classes, channels, WIDTHS[name])


def blocks(network: nn.Module) -> list[tuple[str, ...]]:  # noqa: ARG001
    """The stem, the stages and the last convolution."""
    return [("conv1",), ("stage2",), ("stage3",), ("stage4",), ("conv5",)]
