"""Residual networks of three narrow stages, made for 32 x 32 pixels (He et al. 2016, section 4.2, with projection shortcuts)."""

from torch import Tensor, nn

from metann.networks._blocks import initialise, pooled
from metann.networks._residual import BasicBlock, stage

NAMES = ("resnet20", "resnet32", "resnet44", "resnet56")
BLOCKS = 4  # how many `blocks` gives


class ResNetCifar(nn.Module):
    """`blocks` basic blocks in each of three stages of 16, 32 and 64 channels."""

    def __init__(self, num_classes: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = stage(BasicBlock, 16, 16, blocks, stride=1)
        self.layer2 = stage(BasicBlock, 16, 32, blocks, stride=2)
        self.layer3 = stage(BasicBlock, 32, 64, blocks, stride=2)
        self.fc = nn.Linear(64, num_classes)
        initialise(self)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x_NCHW = self.relu(self.bn1(self.conv1(images_NCHW)))
        return self.fc(pooled(self.layer3(self.layer2(self.layer1(x_NCHW)))))


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:  # noqa: ARG001  (any size fits)
    """resnetD has depth D = 6 n + 2, n blocks a stage."""
    return ResNetCifar(num_classes, channels, (int(name.removeprefix("resnet")) - 2) // 6)


def blocks(network: nn.Module) -> list[tuple[str, ...]]:  # noqa: ARG001
    """The stem and the stages."""
    return [("conv1", "bn1", "relu"), ("layer1",), ("layer2",), ("layer3",)]
