"""Every network for small images: published counts, keys, cost, any classes and channels, gradients; torchvision as oracle."""

import math

import pytest
import torch
from torch import nn

from metann import registry
from metann.cost.macs import count_macs, count_parameters
from metann.errors import MetannError
from metann.networks._build import build
from metann.weights.head import head_parameters

SMALL = sorted(name for name in registry.architectures() if not name.startswith("imagenet_"))
NEED_TORCHVISION = ("densenet", "googlenet", "inception")

# name: parameters for 10 classes, entries of the state, millions of multiply-accumulates at 32 x 32
EXACT = {
    "resnet20": (272_474, 128, 40.81),
    "resnet32": (466_906, 200, 69.12),
    "resnet44": (661_338, 272, 97.44),
    "resnet56": (855_770, 344, 125.75),
    "vgg11_bn": (9_756_426, 62, 153.29),
    "vgg13_bn": (9_941_322, 76, 228.79),
    "vgg16_bn": (15_253_578, 97, 313.73),
    "vgg19_bn": (20_565_834, 118, 398.66),
    "mobilenetv2_x0_5": (700_490, 314, 27.97),
    "mobilenetv2_x0_75": (1_368_234, 314, 59.31),
    "mobilenetv2_x1_0": (2_236_682, 314, 87.98),
    "mobilenetv2_x1_4": (4_333_706, 314, 170.07),
    "mobilenet_v2": (2_236_682, 314, 87.98),
    "shufflenetv2_x0_5": (352_042, 338, 10.90),
    "shufflenetv2_x1_0": (1_263_854, 338, 45.00),
    "shufflenetv2_x1_5": (2_488_874, 338, 94.26),
    "shufflenetv2_x2_0": (5_365_486, 338, 187.81),
    "repvgg_a0": (7_840_874, 356, 489.08),
    "repvgg_a1": (12_824_202, 356, 851.33),
    "repvgg_a2": (26_815_690, 351, 1850.10),
}
# published in millions, three decimals; inception_v3 is published as 21.640, its layers add up to 21.638954
ROUNDED = {
    "densenet121": (6.956, 223.4),
    "densenet161": (26.483, 618.9),
    "densenet169": (12.493, 266.3),
    "googlenet": (5.491, 1337.1),
    "inception_v3": (21.639, 3460.5),
    "resnet18": (11.174, 140.2),
    "resnet34": (21.282, 291.2),
    "resnet50": (23.521, 325.8),
    "vgg11_bn_4096": (28.150, 171.7),
    "vgg13_bn_4096": (28.334, 247.2),
    "vgg16_bn_4096": (33.647, 332.1),
    "vgg19_bn_4096": (38.959, 417.1),
}
KEYS = {
    "resnet20": [
        "conv1.weight",
        "bn1.running_var",
        "layer1.2.bn2.bias",
        "layer2.0.downsample.0.weight",
        "layer3.0.downsample.1.bias",
        "fc.bias",
    ],
    "vgg11_bn": ["features.0.bias", "features.25.weight", "features.26.running_mean", "classifier.0.weight", "classifier.6.bias"],
    "vgg13_bn": ["features.7.weight", "features.31.bias", "features.32.bias", "classifier.3.bias"],
    "vgg16_bn": ["features.40.weight", "features.41.weight", "classifier.6.weight"],
    "vgg19_bn": ["features.49.weight", "features.50.weight", "classifier.6.weight"],
    "mobilenetv2_x0_5": [
        "features.0.0.weight",
        "features.1.conv.0.0.weight",
        "features.1.conv.2.bias",
        "features.2.conv.3.weight",
        "features.18.1.bias",
    ],
    "shufflenetv2_x2_0": ["conv1.0.weight", "stage2.0.branch1.3.bias", "stage3.7.branch2.6.weight", "conv5.1.weight", "fc.weight"],
    "repvgg_a0": [
        "stage0.rbr_dense.conv.weight",
        "stage0.rbr_1x1.bn.bias",
        "stage1.0.rbr_identity.weight",
        "stage4.0.rbr_1x1.conv.weight",
        "linear.bias",
    ],
    "resnet50": ["layer1.0.downsample.0.weight", "layer4.2.bn3.running_var", "fc.weight"],
    "densenet121": ["features.conv0.weight", "features.denseblock4.denselayer16.conv2.weight", "features.norm5.bias", "classifier.weight"],
    "googlenet": ["conv1.bn.bias", "inception3a.branch1.conv.weight", "inception5b.branch4.1.conv.weight", "fc.bias"],
    "inception_v3": ["Conv2d_1a_3x3.conv.weight", "Mixed_5b.branch1x1.conv.weight", "Mixed_7c.branch_pool.bn.bias", "fc.bias"],
}


def trained_like(module: nn.Module) -> nn.Module:
    """Batch norms with scales that matter and statistics of real activations: fresh ones let the signal die out in a deep network."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 3.0, generator=generator)
            nn.init.uniform_(part.bias, -0.5, 0.5, generator=generator)
            part.momentum = 1.0
    with torch.no_grad():
        module.train()(images(8))
    return module.eval()


def images(count: int, channels: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SMALL)
def test_contract(name: str) -> None:
    """Counts, keys, cost, output and gradients at 32 x 32; then grey 28 x 28 with another number of classes."""
    module = build(name)
    state = module.state_dict()
    if name in EXACT:
        parameters, entries, macs = EXACT[name]
        assert (count_parameters(module), len(state)) == (parameters, entries)
        assert count_macs(module, 3, 32) / 1e6 == pytest.approx(macs, rel=1e-3)
    if name in ROUNDED:
        parameters, macs = ROUNDED[name]
        assert round(count_parameters(module) / 1e6, 3) == parameters
        assert count_macs(module, 3, 32) / 1e6 == pytest.approx(macs, rel=1e-3)
    assert set(KEYS.get(name, [])) <= set(state)

    logits_NK = module.train()(images(2))
    assert logits_NK.shape == (2, 10)
    logits_NK.logsumexp(dim=1).sum().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key

    grey = build(name, num_classes=7, channels=1, image_size=28).eval()
    with torch.no_grad():
        logits_NK = grey(images(1, 1, 28))
    assert logits_NK.shape == (1, 7)
    assert torch.isfinite(logits_NK).all()

    head = head_parameters(module)
    assert all(any(part is parameter for parameter in module.parameters()) for part in head)
    assert 0 < sum(part.numel() for part in head) < count_parameters(module)


def test_tables_name_only_what_exists() -> None:
    assert (EXACT | ROUNDED).keys() | KEYS.keys() <= set(SMALL)
    assert len(EXACT) == 19 + 1  # chenyaofo's 19, and mobilenet_v2 under its other name
    assert len(ROUNDED) + 1 == 13  # PyTorch_CIFAR10's


@pytest.mark.parametrize(
    ("name", "for_100"), [("resnet20", 0.28), ("vgg11_bn", 9.80), ("mobilenetv2_x1_4", 4.50), ("shufflenetv2_x0_5", 0.44)]
)
def test_hundred_classes(name: str, for_100: float) -> None:
    assert round(count_parameters(build(name, num_classes=100)) / 1e6, 2) == for_100


@pytest.mark.parametrize(("name", "old"), [("vgg11_bn_4096", 272.3), ("vgg13_bn_4096", 347.8)])
def test_old_weights_of_vgg(name: str, old: float) -> None:
    with torch.device("meta"):
        module = build(name, pool=7)
    assert module.state_dict()["classifier.0.weight"].shape == (4096, 25088)
    assert count_macs(module, 3, 32) / 1e6 == pytest.approx(old, rel=1e-3)


@pytest.mark.parametrize("name", ["densenet121", *(name for name in SMALL if not name.startswith(NEED_TORCHVISION) and "4096" not in name)])
def test_same_seed_same_weights(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build(name).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("size", [8, 33, 64, 96])
@pytest.mark.parametrize("name", ["resnet20", "vgg11_bn", "mobilenetv2_x0_5", "shufflenetv2_x0_5", "repvgg_a0", "resnet18"])
def test_other_sizes(name: str, size: int) -> None:
    with torch.no_grad():
        assert build(name, image_size=size).eval()(images(1, size=size)).shape == (1, 10)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "densenet121", "image_size": 8}, "at least 16 pixels"),
        ({"name": "inception_v3", "image_size": 6}, "at least 7 pixels"),
        ({"name": "vgg11_bn", "pool": 7}, "_4096"),
        ({"name": "vgg11_bn_4096", "pool": 0}, "pool 0"),
        ({"name": "resnet20", "width": 2}, "unknown setting 'width'"),
        ({"name": "resnet21"}, "unknown architecture"),
    ],
)
def test_errors(arguments: dict, text: str) -> None:
    with pytest.raises(MetannError, match=text):
        build(**arguments)


@pytest.mark.parametrize("name", ["repvgg_a0", "repvgg_a1", "repvgg_a2"])
def test_fused_form(name: str) -> None:
    parameters, macs = {"repvgg_a0": (7_041_194, 440.17), "repvgg_a1": (11_521_674, 766.19), "repvgg_a2": (24_105_034, 1665.09)}[name]
    module = trained_like(build(name))
    fused = module.fuse()
    assert not fused.training
    assert count_parameters(fused) == parameters
    assert len(fused.state_dict()) == 46
    assert "stage0.rbr_reparam.bias" in fused.state_dict()
    assert count_macs(fused, 3, 32) / 1e6 == pytest.approx(macs, rel=1e-3)
    with torch.no_grad():  # in double precision, where another order of the sums is no excuse for a difference
        exact = module.double().fuse()
        wanted_NK, found_NK = module(images(2).double()), exact(images(2).double())
    assert (wanted_NK - found_NK).abs().max() <= 1e-10 * max(1.0, wanted_NK.abs().max())
    assert all(torch.equal(value, exact.state_dict()[key].float()) for key, value in fused.state_dict().items())
    again = build(name, fused=True)
    again.load_state_dict(fused.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(images(1)), fused(images(1)))
        assert torch.equal(fused.fuse()(images(1)), fused(images(1)))


@pytest.mark.parametrize(("name", "identities"), [("repvgg_a0", 18), ("repvgg_a1", 18), ("repvgg_a2", 17)])
def test_identity_branches(name: str, identities: int) -> None:
    assert sum(key.endswith("rbr_identity.weight") for key in build(name).state_dict()) == identities


def _with_stem(module: nn.Module) -> nn.Module:
    module.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    return module


def _with_strides(module: nn.Module) -> nn.Module:
    module.features[0][0].stride = module.features[2].conv[1][0].stride = (1, 1)
    return module


def _without_pool(module: nn.Module) -> nn.Module:
    module.conv1[0].stride, module.maxpool = (1, 1), nn.Identity()
    return module


ORACLES = [
    *[(f"mobilenetv2_x{width}".replace(".", "_"), "mobilenet_v2", {"width_mult": width}, _with_strides) for width in (0.5, 0.75, 1.0, 1.4)],
    *[(f"shufflenetv2_x{width}", f"shufflenet_v2_x{width}", {}, _without_pool) for width in ("0_5", "1_0", "1_5", "2_0")],
    ("mobilenet_v2", "mobilenet_v2", {}, _with_strides),
    ("resnet18", "resnet18", {}, _with_stem),
    ("resnet50", "resnet50", {}, _with_stem),
    ("vgg11_bn_4096", "vgg11_bn", {"init_weights": False}, lambda module: module),
]


@pytest.mark.parametrize(("name", "oracle", "settings", "change"), ORACLES, ids=[oracle[0] for oracle in ORACLES])
def test_torchvision_agrees(name: str, oracle: str, settings: dict, change) -> None:
    """Same keys, shapes and answers as torchvision's network with the strides of small images."""
    from torchvision.models import get_model

    ours = trained_like(build(name, **({"pool": 7} if "4096" in name else {})))
    with torch.device("meta"):
        theirs = change(get_model(oracle, weights=None, num_classes=10, **settings)).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), assign=True)
    with torch.no_grad():
        found_NK, wanted_NK = ours(images(2)), theirs(images(2))
    assert (wanted_NK[0] - wanted_NK[1]).abs().max() > 0.1 * wanted_NK.abs().max()  # the images reach the logits
    torch.testing.assert_close(found_NK, wanted_NK, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "prefixes"),
    [
        ("resnet20", ("layer3.2", "fc")),
        ("resnet50", ("layer4.2", "fc")),
        ("vgg11_bn", ("features.25", "features.26", "classifier")),
        ("mobilenet_v2", ("features.18", "classifier")),
        ("shufflenetv2_x0_5", ("conv5", "fc")),
        ("repvgg_a0", ("stage4.0", "linear")),
        ("densenet121", ("features.denseblock4.denselayer16", "features.norm5", "classifier")),
        ("googlenet", ("inception5b", "fc")),
        ("inception_v3", ("Mixed_7c", "fc")),
    ],
)
def test_head(name: str, prefixes: tuple[str, ...]) -> None:
    module = build(name)
    chosen = {id(parameter) for parameter in head_parameters(module)}
    wanted = {key for key, _ in module.named_parameters() if key.startswith(tuple(f"{prefix}." for prefix in prefixes))}
    assert {key for key, parameter in module.named_parameters() if id(parameter) in chosen} == wanted


def test_head_of_one_sequence() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    assert sum(part.numel() for part in head_parameters(module)) == 12 + 6 + 8
    wrapped = nn.Sequential(module)
    assert len(head_parameters(wrapped)) == len(head_parameters(module))
    assert math.prod(head_parameters(nn.Linear(2, 3))[0].shape) == 6
