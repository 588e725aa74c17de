"""RepVGG (Ding et al. 2021) for small images: trained with three branches a block, run as one 3 x 3 convolution a block.

The first two strides are 1. `fuse` makes the inference form of a trained network; the setting `fused` builds that form, so that
fused weights can be saved and loaded like any other.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from metann.networks._blocks import conv_norm, pooled

NAMES = ("repvgg_a0", "repvgg_a1", "repvgg_a2")
BLOCKS = 5  # how many `blocks` gives
BLOCKS = (2, 4, 14, 1)
STRIDES = (1, 2, 2, 2)
WIDTHS = {  # of the stem and of the four stages
    "repvgg_a0": (48, 48, 96, 192, 1280),
    "repvgg_a1": (64, 64, 128, 256, 1280),
    "repvgg_a2": (64, 96, 192, 384, 1408),
}


def _branch(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    conv, norm = conv_norm(before, after, kernel, stride)
    branch = nn.Sequential()
    branch.add_module("conv", conv)
    branch.add_module("bn", norm)
    return branch


class RepVGGBlock(nn.Module):
    """Sum of a 3 x 3, a 1 x 1 and (where the shape stays) an identity branch, each with its batch norm; or their one convolution."""

    def __init__(self, before: int, after: int, stride: int, fused: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.rbr_reparam = nn.Conv2d(before, after, 3, stride, padding=1) if fused else None
        if not fused:
            self.rbr_identity = nn.BatchNorm2d(before) if before == after and stride == 1 else None
            self.rbr_dense = _branch(before, after, 3, stride)
            self.rbr_1x1 = _branch(before, after, 1, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.rbr_reparam is not None:
            return self.relu(self.rbr_reparam(x_NCHW))
        out_NCHW = self.rbr_dense(x_NCHW) + self.rbr_1x1(x_NCHW)
        return self.relu(out_NCHW if self.rbr_identity is None else out_NCHW + self.rbr_identity(x_NCHW))

    def kernels(self) -> Iterator[tuple[Tensor, nn.BatchNorm2d]]:
        """The 3 x 3 kernel of each branch, and its batch norm."""
        yield self.rbr_dense.conv.weight, self.rbr_dense.bn
        yield functional.pad(self.rbr_1x1.conv.weight, (1, 1, 1, 1)), self.rbr_1x1.bn
        if self.rbr_identity is not None:
            dense = self.rbr_dense.conv.weight
            yield nn.init.dirac_(torch.empty_like(dense, requires_grad=False)), self.rbr_identity

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution: each kernel scaled by gamma / std of its norm, plus beta - mean gamma / std; summed."""
        weight, bias = torch.zeros(()), torch.zeros(())
        for kernel, norm in self.kernels():
            scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            weight = weight + kernel.double() * scale[:, None, None, None]
            bias = bias + norm.bias.double() - norm.running_mean.double() * scale
        dtype = self.rbr_dense.conv.weight.dtype
        return weight.to(dtype), bias.to(dtype)


class RepVGG(nn.Module):
    """Stem block and four stages, mean and one linear layer."""

    def __init__(self, num_classes: int, channels: int, widths: tuple[int, ...], fused: bool) -> None:
        super().__init__()
        self.shape = (num_classes, channels, widths)
        self.stage0 = RepVGGBlock(channels, widths[0], 1, fused)
        stages = []
        for before, after, count, stride in zip(widths[:-1], widths[1:], BLOCKS, STRIDES, strict=True):
            rest = (RepVGGBlock(after, after, 1, fused) for _ in range(count - 1))
            stages.append(nn.Sequential(RepVGGBlock(before, after, stride, fused), *rest))
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.linear = nn.Linear(widths[-1], num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x_NCHW = self.stage2(self.stage1(self.stage0(images_NCHW)))
        return self.linear(pooled(self.stage4(self.stage3(x_NCHW))))

    def fuse(self) -> "RepVGG":
        """A new network in inference form, in eval mode, that answers as this one does in eval mode; this one stays as it is."""
        fused = RepVGG(*self.shape, fused=True).to(self.linear.weight)
        blocks = {name: block for name, block in self.named_modules() if isinstance(block, RepVGGBlock)}
        with torch.no_grad():
            for name, block in blocks.items():
                target = fused.get_submodule(name).rbr_reparam
                source = block.folded() if block.rbr_reparam is None else (block.rbr_reparam.weight, block.rbr_reparam.bias)
                target.weight.copy_(source[0])
                target.bias.copy_(source[1])
            fused.linear.load_state_dict(self.linear.state_dict())
        return fused.eval()


def build(name: str, num_classes: int, channels: int, image_size: int, *, fused: bool = False) -> nn.Module:  # noqa: ARG001  (any size)
    """A `RepVGG`; `fused` builds the inference form, which is not for training."""
    return RepVGG(num_classes, channels, WIDTHS[name], bool(fused))


def blocks(network: nn.Module) -> list[tuple[str, ...]]:  # noqa: ARG001
    """The stem and the stages."""
    return [(f"stage{index}",) for index in range(5)]
