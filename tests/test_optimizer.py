"""Gradient steps and averaged weights against torch's own."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from metann.networks._build import build
from metann.training.optimizers import Average, Sgd


def network() -> nn.Module:
    torch.manual_seed(0)
    return build("small_cnn", 4, 1, 8, width=3, depth=2)


def gradients(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images_NCHW, labels_N = torch.randn((6, 1, 8, 8), generator=generator), torch.randint(0, 4, (6,), generator=generator)
    nn.functional.cross_entropy(module(images_NCHW), labels_N).backward()


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 5e-4), (0.9, 0.0), (0.0, 1e-2), (0.0, 0.0)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_steps_are_torchs_bit_for_bit(momentum: float, weight_decay: float, layout: torch.memory_format) -> None:
    mine = network().to(memory_format=layout)
    theirs = copy.deepcopy(mine)
    sgd = Sgd(mine.parameters(), momentum, weight_decay)
    oracle = torch.optim.SGD(theirs.parameters(), 0.1, momentum, weight_decay=weight_decay, nesterov=momentum > 0)
    for step in range(5):
        gradients(mine, step)
        gradients(theirs, step)
        oracle.param_groups[0]["lr"] = rate = 0.1 / (step + 1)
        sgd.step(rate)
        oracle.step()
        oracle.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True))
    assert all(parameter.grad is None for parameter in mine.parameters())


def test_parameters_without_gradients_stay() -> None:
    module = network()
    before = module.classifier.weight.clone()
    module.classifier.requires_grad_(False)
    sgd = Sgd(module.parameters(), 0.9, 1e-2)
    gradients(module, 0)
    sgd.step(0.1)
    assert torch.equal(module.classifier.weight, before)
    sgd.step(0.1)  # no gradients at all


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_average_is_torchs(decay: float) -> None:
    module = network()
    mine, oracle = Average(module, decay), AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    sgd = Sgd(module.parameters(), 0.9, 0.0)
    for step in range(4):
        gradients(module, step)
        sgd.step(0.1)
        mine.update(module)
        oracle.update_parameters(module)
    pairs = zip(mine.module.state_dict().items(), oracle.module.state_dict().values(), strict=True)
    assert all(torch.equal(value, other) for (name, value), other in pairs if value.is_floating_point())
    assert not any(parameter.requires_grad for parameter in mine.module.parameters())


def test_training_imports_no_compiler() -> None:
    code = (
        "import sys, torch; from metann.training.optimizers import Sgd, Average; w = torch.nn.Linear(2, 2); s = Sgd(w.parameters(), .9, .1);"
        "w(torch.ones(1, 2)).sum().backward(); s.step(.1); Average(w, .9).update(w); print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
