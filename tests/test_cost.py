"""Multiply-accumulates against hand counts and torch's own counter, and that counting leaves no trace."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from metann.cost.macs import count_macs, count_parameters


class Functional(nn.Module):
    """A generated network's way: weights that are no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 2, 3, 3))
        self.weight = nn.Parameter(torch.randn(5, 8))

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        x_NC = functional.conv2d(images_NCHW, self.kernel, stride=2, padding=1).mean(dim=(2, 3))
        return functional.linear(x_NC, self.weight)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        return self.layer(images_NCHW.flatten(2).mT)


def small() -> nn.Sequential:
    stem = [nn.Conv2d(3, 16, 3, padding=1, groups=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16)]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(16, 10))


def test_hand_count() -> None:
    # full convolution, depthwise convolution (no padding), linear; biases and batch norm are free
    assert count_macs(small(), 3, 32) == 32 * 32 * 9 * 3 * 16 + 30 * 30 * 9 * 16 + 160
    assert count_macs(small(), 3, 8) == 8 * 8 * 9 * 3 * 16 + 6 * 6 * 9 * 16 + 160


def test_functional_convolutions_count() -> None:
    assert count_macs(Functional(), 2, 8) == 4 * 4 * 9 * 2 * 8 + 40


@pytest.mark.parametrize(("module", "channels"), [(small(), 3), (Functional(), 2), (Attention(), 16)])
def test_agrees_with_torchs_counter(module: nn.Module, channels: int) -> None:
    module.train()
    counted = count_macs(module, channels, 8)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, channels, 8, 8))
    assert counted == counter.get_total_flops() // 2 > 0


def test_device_without_storage() -> None:
    assert count_macs(small().to("meta"), 3, 32) == count_macs(small(), 3, 32)


def test_other_number_types_and_layouts() -> None:
    assert count_macs(small().to(torch.bfloat16).to(memory_format=torch.channels_last), 3, 32) == count_macs(small(), 3, 32)


def test_leaves_no_trace() -> None:
    module = small().train()
    module[1].eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    random = torch.get_rng_state()
    count_macs(module, 3, 32)
    assert [part.training for part in module] == [part is not module[1] for part in module]
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())


def test_flags_come_back_after_an_error() -> None:
    module = small().train()
    with pytest.raises(RuntimeError):
        count_macs(module, 5, 32)
    assert module.training


def test_compiler_is_not_imported() -> None:
    # torch's compiler costs every process a second
    code = "import sys; from torch import nn; from metann.cost.macs import count_macs; count_macs(nn.Conv2d(1, 1, 3), 1, 8)"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch._dynamo' not in sys.modules"], check=True)


def test_parameters() -> None:
    module = small()
    assert count_parameters(module) == 27 * 16 + 16 + 32 + 9 * 16 + 16 + 170
    module[0].requires_grad_(False)
    assert count_parameters(module, trainable_only=True) == count_parameters(module) - 27 * 16 - 16
    module[3].weight = module[3].weight
    tied = nn.ModuleList([module, module])
    assert count_parameters(tied) == count_parameters(module)
