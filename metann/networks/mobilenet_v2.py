"""MobileNetV2 (Sandler et al. 2018) with two strides fewer, for small images: stem and first block of the 24-channel stage.

mobilenet_v2 is the switch of the meta neural network's report and the same network as mobilenetv2_x1_0; both names exist because
weights were published under both. Parameter names and shapes are those of torchvision's mobilenet_v2(width_mult=...).
"""

from torch import Tensor, nn

from metann.networks._blocks import conv_norm, initialise, pooled

NAMES = ("mobilenet_v2", "mobilenetv2_x0_5", "mobilenetv2_x0_75", "mobilenetv2_x1_0", "mobilenetv2_x1_4")
BLOCKS = 19  # how many `blocks` gives
STAGES = (  # expansion, channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _channels(wanted: float) -> int:
    """The multiple of 8 nearest to `wanted`, at least 8 and never below 90 % of it."""
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _unit(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(*conv_norm(before, after, kernel, stride, groups), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Widen by 1 x 1, filter each channel by 3 x 3, narrow by 1 x 1 without activation; a shortcut where the shape stays."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = before * expansion
        widen = [_unit(before, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(*widen, _unit(hidden, hidden, 3, stride, groups=hidden), *conv_norm(hidden, after, 1))
        self.keeps_shape = stride == 1 and before == after

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW + self.conv(x_NCHW) if self.keeps_shape else self.conv(x_NCHW)


class MobileNetV2(nn.Module):
    """`width` multiplies all channels; the last convolution is never narrower than 1280."""

    def __init__(self, num_classes: int, channels: int, width: float) -> None:
        super().__init__()
        before, last = _channels(32 * width), _channels(1280 * max(1.0, width))
        blocks: list[nn.Module] = [_unit(channels, before, 3)]
        for expansion, wanted, count, stride in STAGES:
            after = _channels(wanted * width)
            for block in range(count):
                blocks.append(InvertedResidual(before, after, 1 if block else stride, expansion))
                before = after
        self.features = nn.Sequential(*blocks, _unit(before, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))
        initialise(self, linear_std=0.01)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.classifier(pooled(self.features(images_NCHW)))


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:  # noqa: ARG001  (any size fits)
    """The name ends in the width: x0_75 is 0.75."""
    width = 1.0 if name == "mobilenet_v2" else float(name.split("_x")[1].replace("_", "."))
    return MobileNetV2(num_classes, channels, width)


def blocks(network: nn.Module) -> list[tuple[str, ...]]:
    """The stem, the residual blocks and the last convolution."""
    return [(f"features.{index}",) for index in range(len(network.features))]
