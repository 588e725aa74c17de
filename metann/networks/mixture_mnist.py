"""Experts and gates of the published mixtures for MNIST and Fashion-MNIST: one convolution, then linear layers.

The experts are tiny on purpose (one channel, a bottleneck of five units); a gate is up to fifty times as large.
"""

from torch import nn

from metann.networks._conv_stack import Stage, conv_stack

NAMES = (
    "mnist_expert",
    "mnist_gate",
    "mnist_expert_2021",
    "mnist_gate_2021",
    "fashion_expert",
    "fashion_gate",
    "fashion_digits_gate",
)
_ONE = (Stage(1, padding=0),)
_PARTS = {
    "mnist_expert": (_ONE, (5, 32)),  # 1,382 parameters with 10 classes at 28 x 28
    "mnist_gate": (_ONE, (128, 32)),  # 26,228 for 10 experts
    "mnist_expert_2021": (_ONE, (5, 10)),
    "mnist_gate_2021": (_ONE, (128, 64)),
    "fashion_expert": (_ONE, (64, 32)),  # 13,300
    "fashion_gate": ((Stage(8, padding=0, norm=True),), (512, 32)),  # 709,405 for 5 experts
    "fashion_digits_gate": ((Stage(1, kernel=5, padding=0),), (128, 32)),
}


def build(name: str, num_classes: int, channels: int, image_size: int, *, width: float = 1.0) -> nn.Module:
    """One of `NAMES`; `width` multiplies channels and hidden units.

    Raises:
        MetannError: a width that is not above 0, or images that are too small.
    """
    return conv_stack(name, num_classes, channels, image_size, *_PARTS[name], width)
