"""ResNet-9: counts by hand, and the smallest images."""

import pytest
import torch

from metann.cost.macs import count_macs, count_parameters
from metann.errors import MetannError
from metann.networks._build import build


def test_counts() -> None:
    network = build("resnet9")
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128**2 + 128 * 256 + 256 * 512 + 2 * 512**2)
    norms = 2 * (64 + 3 * 128 + 256 + 3 * 512)
    assert count_parameters(network) == convolutions + norms + 512 * 10 + 10 == 6_573_130
    at = {32: 3 * 64 + 64 * 128, 16: 2 * 128**2 + 128 * 256, 8: 256 * 512, 4: 2 * 512**2}
    assert count_macs(network, 3, 32) == sum(9 * products * size**2 for size, products in at.items()) + 5120


def test_sizes() -> None:
    assert build("resnet9", 4, 1, 8, width=2).eval()(torch.zeros(1, 1, 8, 8)).shape == (1, 4)
    with pytest.raises(MetannError, match="at least 8 pixels"):
        build("resnet9", image_size=7)
    with pytest.raises(MetannError, match="width 0"):
        build("resnet9", width=0)
