"""Residual blocks with torchvision's parameter names."""

from torch import Tensor, nn

from metann.networks._blocks import conv_norm


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    expansion = 1  # output channels = expansion * width

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(before, width, 3, stride)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv_norm(width, width, 3)
        self.downsample = shortcut(before, width, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out_NCHW = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x_NCHW)))))
        return self.relu(out_NCHW + (x_NCHW if self.downsample is None else self.downsample(x_NCHW)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (which takes the stride) and 1 x 1 convolutions beside a shortcut."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = width * self.expansion
        self.conv1, self.bn1 = conv_norm(before, width, 1)
        self.conv2, self.bn2 = conv_norm(width, width, 3, stride)
        self.conv3, self.bn3 = conv_norm(width, after, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(before, after, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out_NCHW = self.relu(self.bn1(self.conv1(x_NCHW)))
        out_NCHW = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out_NCHW)))))
        return self.relu(out_NCHW + (x_NCHW if self.downsample is None else self.downsample(x_NCHW)))


def shortcut(before: int, after: int, stride: int) -> nn.Module | None:
    """Nothing where the block keeps its shape, else a 1 x 1 projection (option B)."""
    return None if stride == 1 and before == after else nn.Sequential(*conv_norm(before, after, 1, stride))


def stage(block: type[BasicBlock] | type[Bottleneck], before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """`blocks` blocks of one width; the first takes the stride."""
    first = block(before, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(blocks - 1)))
