"""Experts and gates of the published mixtures for CIFAR-10 and CIFAR-100: two or four convolutions, then linear layers.

`conv_4` is the small expert of CIFAR-10, `conv_2` the large one (expert and gate alike); those of CIFAR-100 are named by the
units of their last hidden layer.
"""

from torch import nn

from metann.networks._conv_stack import Stage, conv_stack

NAMES = (
    "conv_4",
    "conv_4_gate",
    "conv_2",
    "cifar100_expert_256",
    "cifar100_gate_256",
    "cifar100_expert_128",
    "cifar100_gate_128",
    "cifar100_expert_64",
    "cifar100_gate_64",
)


def _four(first: int, second: int, third: int, fourth: int) -> tuple[Stage, ...]:
    """Four stages that halve the image; the second and the fourth have batch norm."""
    return (Stage(first), Stage(second, norm=True), Stage(third), Stage(fourth, norm=True))


_LARGE = _four(64, 128, 256, 512)
_PARTS = {
    "conv_4": (_four(4, 8, 16, 16), (64, 32)),  # 10,490 parameters with 10 classes at 32 x 32
    "conv_4_gate": (_four(64, 128, 256, 256), (512, 32)),  # 1,502,826 for 10 experts
    "conv_2": ((Stage(64, pool=False), Stage(128)), (64,)),  # 2,173,514
    "cifar100_expert_256": (_four(16, 32, 64, 128), (1024, 256)),  # 911,012 with 100 classes
    "cifar100_gate_256": (_LARGE, (1024, 256)),  # 3,917,332 for 20 experts
    "cifar100_expert_128": (_four(8, 16, 32, 64), (512, 128)),  # 234,756
    "cifar100_gate_128": (_LARGE, (1024, 128)),  # 3,783,572
    "cifar100_expert_64": (_four(8, 16, 32, 64), (128, 64)),  # 72,260
    "cifar100_gate_64": (_LARGE, (512, 64)),  # 2,634,836
}


def build(name: str, num_classes: int, channels: int, image_size: int, *, width: float = 1.0) -> nn.Module:
    """One of `NAMES`; `width` multiplies channels and hidden units.

    Raises:
        MetannError: a width that is not above 0, or images that are too small.
    """
    return conv_stack(name, num_classes, channels, image_size, *_PARTS[name], width)
