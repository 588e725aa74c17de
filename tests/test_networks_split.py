"""Networks in two: trunk and tail together are the whole network, to the last bit."""

import pytest
import torch

from metann import registry
from metann.errors import MetannError
from metann.networks._build import build
from metann.networks._split import blocks_of, tail_of, trunk_of
from metann.weights.files import load_weights, save_weights
from metann.weights.unfilled import build_unfilled

# The smallest network of each family that names its blocks.
SMALL = (
    "small_cnn",
    "mobilenetv2_x0_5",
    "repvgg_a0",
    "resnet18",
    "resnet20",
    "resnet9",
    "vgg11_bn",
    "vgg11_bn_4096",
    "shufflenetv2_x0_5",
)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=torch.channels_last)


def test_every_family_that_names_its_blocks_is_tested() -> None:
    families = set(registry.files_with("networks", "blocks"))
    assert {registry.architectures()[name] for name in SMALL} == families
    for name in registry.architectures():
        assert (registry.architecture_blocks(name, {}) is not None) == (registry.architectures()[name] in families)


@pytest.mark.parametrize("name", SMALL)
def test_trunk_and_tail_are_the_network(name: str, images: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = build(name, 5, 3, 32, **({"width": 8} if name == "resnet9" else {})).eval().to(memory_format=torch.channels_last)
    count = len(blocks_of(network, name))
    assert count == registry.architecture_blocks(name, {})
    with torch.no_grad():
        whole_NK = network(images)
        for tail in {1, count // 2, count}:
            rest = tail_of(network, name, tail)
            features = trunk_of(network, name, tail)(images)
            before = features.clone()
            assert torch.equal(rest(features), whole_NK)
            assert torch.equal(features, before), "a tail changes the features that it shares with others"
            assert set(rest.state_dict()) < set(network.state_dict())
            own = {id(parameter) for parameter in network.parameters()}
            assert not own & {id(parameter) for parameter in rest.parameters()}


def test_a_depth_is_counted_in_settings() -> None:
    assert registry.architecture_blocks("small_cnn", {"width": 4, "depth": 2}) == 2
    assert registry.architecture_blocks("small_cnn", {}) == 3


def test_a_tail_is_saved_and_read_alone(tmp_path) -> None:
    torch.manual_seed(0)
    network = build("small_cnn", 4, 1, 8, width=3, depth=2)
    header = {
        "architecture": "small_cnn",
        "settings": {"width": 3, "depth": 2},
        "num_classes": 4,
        "channels": 1,
        "image_size": 8,
        "tail": 1,
    }
    rest = tail_of(network, "small_cnn", 1)
    save_weights(tmp_path / "tail.safetensors", rest, header)
    read, found = load_weights(tmp_path / "tail.safetensors")
    assert found["tail"] == 1
    assert all(torch.equal(value, rest.state_dict()[key]) for key, value in read.state_dict().items())
    assert set(read.state_dict()) == set(build_unfilled(header).state_dict()) == set(rest.state_dict())


@pytest.mark.parametrize(
    ("name", "tail", "words"),
    [("small_cnn", 4, "has 3 blocks; give 1 to 3"), ("small_cnn", 0, "give 1 to 3"), ("conv_4", 1, "does not name its blocks")],
)
def test_what_has_no_such_tail_is_refused(name: str, tail: int, words: str) -> None:
    with pytest.raises(MetannError, match=words):
        tail_of(build(name, 4, 3, 32), name, tail)


def test_networks_from_elsewhere_name_no_blocks() -> None:
    for name in ("timm/resnet18", "nets.py:mine"):
        assert registry.architecture_blocks(name, {}) is None
        with pytest.raises(MetannError, match="does not name its blocks"):
            tail_of(build("small_cnn"), name, 1)
