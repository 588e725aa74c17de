"""Gradient steps and averaged weights against torch's own."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from metann.config.training import TrainingSection
from metann.errors import MetannError
from metann.networks._build import build
from metann.training.average import Average
from metann.training.optimizers import OPTIMIZERS, SCHEDULES, RmspropTensorflow, Sgd, optimizer, rate_factor


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


TORCHS = [
    ("sgd", {"momentum": 0.9, "weight_decay": 1e-3}, lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=1e-3, nesterov=True)),
    ("sgd", {}, lambda p: torch.optim.SGD(p, 0.1)),
    ("adam", {}, lambda p: torch.optim.Adam(p, 0.1)),
    (
        "adam",
        {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "weight_decay": 1e-2},
        lambda p: torch.optim.Adam(p, 0.1, (0.8, 0.9), 1e-4, 1e-2),
    ),
    ("rmsprop", {}, lambda p: torch.optim.RMSprop(p, 0.1)),
    (
        "rmsprop",
        {"decay": 0.9, "epsilon": 1e-4, "momentum": 0.9, "weight_decay": 1e-2},
        lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.9, eps=1e-4, momentum=0.9, weight_decay=1e-2),
    ),
]


@pytest.mark.parametrize(("name", "settings", "oracle"), TORCHS)
def test_optimizers_by_name_step_as_torchs(name: str, settings: dict, oracle: Callable) -> None:
    mine = network()
    mine.features[0].requires_grad_(False)
    theirs = copy.deepcopy(mine)
    own, other = optimizer(name, mine.parameters(), **settings), oracle(theirs.parameters())
    for step in range(4):
        gradients(mine, step)
        gradients(theirs, step)
        other.param_groups[0]["lr"] = rate = 0.01 / (step + 1)
        own.step(rate)
        other.step()
        other.zero_grad()
        assert all(parameter.grad is None for parameter in mine.parameters())
    assert all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True))
    start = network()
    assert torch.equal(start.features[0].weight, mine.features[0].weight), "frozen: no gradient, no step, no L2 penalty"
    assert not torch.equal(start.classifier.weight, mine.classifier.weight)


@pytest.mark.parametrize(("decay", "epsilon", "momentum"), [(0.9, 1e-10, 0.0), (0.8, 0.1, 0.9)])
def test_rmsprop_of_tensorflow(decay: float, epsilon: float, momentum: float) -> None:
    """ApplyRMSProp of TensorFlow 1, number by number."""
    generator = np.random.default_rng(0)
    weight, gradients_SD, rates = generator.normal(size=3), generator.normal(size=(6, 3)), [0.1, 0.1, 0.05, 0.05, 0.01, 0.2]
    parameter = nn.Parameter(torch.tensor(weight))
    own = RmspropTensorflow([parameter], decay, epsilon, momentum)
    square, velocity, expected = [1.0] * 3, [0.0] * 3, list(weight)
    for gradient_D, rate in zip(gradients_SD, rates, strict=True):
        for d, g in enumerate(gradient_D):
            square[d] = decay * square[d] + (1 - decay) * g * g
            velocity[d] = momentum * velocity[d] + rate * g / (square[d] + epsilon) ** 0.5
            expected[d] -= velocity[d]
        parameter.grad = torch.tensor(gradient_D)
        own.step(rate)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12)
        assert parameter.grad is None
    own.step(0.1)  # no gradients at all
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings"), [("sgd", {"momentum": 0.9}), ("rmsprop_tensorflow", {"momentum": 0.9}), *((name, {}) for name in OPTIMIZERS)]
)
def test_an_optimizer_goes_on_where_it_stopped(name: str, settings: dict, tmp_path: Path) -> None:
    """Through a file that is read with weights_only=True, into an optimizer that has not stepped yet."""
    whole = network()
    own = optimizer(name, whole.parameters(), **settings)
    for step in range(2):
        gradients(whole, step)
        own.step(0.01)
    torch.save(own.state_dict(), tmp_path / "state.pt")
    resumed = copy.deepcopy(whole)
    again = optimizer(name, resumed.parameters(), **settings)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    fresh = copy.deepcopy(whole)
    new = optimizer(name, fresh.parameters(), **settings)
    for step in range(2, 5):
        for module, stepping in ((whole, own), (resumed, again), (fresh, new)):
            gradients(module, step)
            stepping.step(0.01)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    if name != "sgd" or settings:
        assert not torch.equal(whole.classifier.weight, fresh.classifier.weight), "the state matters"


def test_unknown_names_are_refused() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    with pytest.raises(MetannError, match=r"unknown optimizer 'adamw'; known: adam, rmsprop, rmsprop_tensorflow, sgd; add one in"):
        optimizer("adamw", parameters)
    with pytest.raises(MetannError, match=r"optimizer adam has no setting 'momentum'; known: beta_1, beta_2, epsilon, weight_decay"):
        optimizer("adam", parameters, momentum=0.9)
    with pytest.raises(MetannError, match="unknown schedule 'onecycle'; known: constant, cosine, one_cycle, trapezoid"):
        rate_factor("onecycle", 0, 10)


def test_the_configuration_knows_the_schedules() -> None:
    assert get_args(TrainingSection.model_fields["schedule"].annotation) == SCHEDULES


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
    code = """if True:
        import sys, torch
        from metann.training.average import Average
        from metann.training.optimizers import Sgd
        w = torch.nn.Linear(2, 2)
        s = Sgd(w.parameters(), .9, .1)
        w(torch.ones(1, 2)).sum().backward()
        s.step(.1)
        Average(w, .9).update(w)
        print('torch._dynamo' in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
