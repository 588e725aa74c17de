"""ImageNet's residual networks with a 3 x 3 stem of stride 1 for small images; the 3 x 3 max-pool after it stays (PyTorch_CIFAR10)."""

from torch import Tensor, nn

from metann.networks._blocks import initialise, pooled
from metann.networks._residual import BasicBlock, Bottleneck, stage

NAMES = ("resnet18", "resnet34", "resnet50")
BLOCKS = 5  # how many `blocks` gives
SHAPES = {"resnet18": (BasicBlock, (2, 2, 2, 2)), "resnet34": (BasicBlock, (3, 4, 6, 3)), "resnet50": (Bottleneck, (3, 4, 6, 3))}


class ResNet(nn.Module):
    """Four stages of 64, 128, 256 and 512 channels (times the block's expansion); parameter names are torchvision's."""

    def __init__(self, num_classes: int, channels: int, block: type[BasicBlock] | type[Bottleneck], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(block, 64, 64, blocks[0], stride=1)
        self.layer2 = stage(block, 64 * block.expansion, 128, blocks[1], stride=2)
        self.layer3 = stage(block, 128 * block.expansion, 256, blocks[2], stride=2)
        self.layer4 = stage(block, 256 * block.expansion, 512, blocks[3], stride=2)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialise(self)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x_NCHW = self.maxpool(self.relu(self.bn1(self.conv1(images_NCHW))))
        return self.fc(pooled(self.layer4(self.layer3(self.layer2(self.layer1(x_NCHW))))))


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:  # noqa: ARG001  (any size fits)
    """The network of that depth."""
    return ResNet(num_classes, channels, *SHAPES[name])


def blocks(network: nn.Module) -> list[tuple[str, ...]]:  # noqa: ARG001
    """The stem and the stages."""
    return [("conv1", "bn1", "relu", "maxpool"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)]
