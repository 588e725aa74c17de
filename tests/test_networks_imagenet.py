"""torchvision's networks under their prefix: published sizes, input transforms, weights from torch's cache, and no network."""

import urllib.error

import pytest
import torch
import torchvision.models as zoo

from metann import registry
from metann.cost.macs import count_macs, count_parameters
from metann.errors import MetannError
from metann.networks._build import build
from metann.networks.imagenet import NAMES
from metann.weights.files import load_weights, save_weights
from metann.weights.published import pretrained
from metann.weights.published_imagenet import published_transforms
from metann.weights.unfilled import build_unfilled

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# million parameters, GMACs; crop 224 from resize 256 bilinear unless given
PUBLISHED = {
    "convnext_small": (50.2, 8.684, 224, 230),
    "convnext_tiny": (28.6, 4.456, 224, 236),
    "densenet121": (8.0, 2.834),
    "densenet161": (28.7, 7.728),
    "densenet169": (14.1, 3.36),
    "densenet201": (20.0, 4.291),
    "googlenet": (6.6, 1.498),
    "inception_v3": (27.2, 5.713, 299, 342),
    "mnasnet0_5": (2.2, 0.104),
    "mnasnet0_75": (3.2, 0.215, 224, 232),
    "mnasnet1_0": (4.4, 0.314),
    "mnasnet1_3": (6.3, 0.526, 224, 232),
    "mobilenet_v3_small": (2.5, 0.057),
    "mobilenet_v3_large": (5.5, 0.217),
    "regnet_x_16gf": (54.3, 15.941),
    "regnet_x_1_6gf": (9.2, 1.603),
    "regnet_x_3_2gf": (15.3, 3.177),
    "regnet_x_400mf": (5.5, 0.414),
    "regnet_x_800mf": (7.3, 0.8),
    "regnet_x_8gf": (39.6, 7.995),
    "regnet_y_1_6gf": (11.2, 1.612),
    "regnet_y_3_2gf": (19.4, 3.176),
    "regnet_y_400mf": (4.3, 0.402),
    "regnet_y_800mf": (6.4, 0.834),
    "regnet_y_8gf": (39.4, 8.473),
    "resnext50_32x4d": (25.0, 4.23),
    "resnet101": (44.5, 7.801),
    "resnet18": (11.7, 1.814),
    "resnet34": (21.8, 3.664),
    "resnet50": (25.6, 4.089),
    "shufflenet_v2_x0_5": (1.4, 0.04),
    "shufflenet_v2_x1_0": (2.3, 0.145),
    "shufflenet_v2_x1_5": (3.5, 0.296, 224, 232),
    "shufflenet_v2_x2_0": (7.4, 0.583, 224, 232),
    "squeezenet1_0": (1.2, 0.819),
    "squeezenet1_1": (1.2, 0.349),
    "swin_s": (49.6, 8.741, 224, 246),
    "swin_t": (28.3, 4.491, 224, 232),
    "swin_v2_s": (49.7, 11.546, 256, 260),
    "swin_v2_t": (28.4, 5.94, 256, 260),
}
AUXILIARY_HEAD = {"inception_v3": 3_326_696}  # counted by torchvision, left out here


def header(name: str, size: int = 224, **changes) -> dict:
    return {"architecture": name, "settings": {}, "num_classes": 1000, "channels": 3, "image_size": size} | changes


def test_all_forty() -> None:
    assert {name.removeprefix("imagenet_") for name in NAMES} == PUBLISHED.keys()
    assert len(NAMES) == 40
    assert {name for name, family in registry.architectures().items() if family == "imagenet"} == set(NAMES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_and_transforms(name: str) -> None:
    millions, giga, crop, resize = (*PUBLISHED[name], 224, 256)[:4] if len(PUBLISHED[name]) == 2 else PUBLISHED[name]
    found = published_transforms(f"imagenet_{name}")
    assert (found.crop, found.resize) == (crop, resize)
    assert found.interpolation == ("bicubic" if name.startswith("swin") else "bilinear")
    assert (found.mean, found.std) == (MEAN, STD)
    module = build_unfilled(header(f"imagenet_{name}", crop)).to("meta")
    weights = zoo.get_model_weights(name)["IMAGENET1K_V1"]
    parameters = count_parameters(module) + AUXILIARY_HEAD.get(name, 0)
    assert parameters == weights.meta["num_params"]
    assert round(parameters / 1e6, 1) == millions
    assert count_macs(module, 3, crop) / 1e9 == pytest.approx(giga, abs=6e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_backward(name: str) -> None:
    size = published_transforms(name).crop
    module = build(name, 10, 3, size).train()
    logits_NK = module(torch.randn(2, 3, size, size))
    assert logits_NK.shape == (2, 10)
    logits_NK.logsumexp(dim=1).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize(("channels", "size"), [(1, 224), (3, 31)])
def test_refused_images(channels: int, size: int) -> None:
    with pytest.raises(MetannError, match="colour images of at least 32"):
        build("imagenet_resnet18", 10, channels, size)


def test_fewer_classes() -> None:
    assert build("imagenet_squeezenet1_1", 7, 3, 64).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


@pytest.fixture
def cache(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """torch's cache in an empty folder, and no network."""

    def refused(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refused)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def put(folder, name: str, **settings) -> torch.nn.Module:
    """A file as torchvision publishes it, from random weights."""
    module = zoo.get_model(name, weights=None, **settings)
    url = zoo.get_model_weights(name)["IMAGENET1K_V1"].url
    torch.save(module.state_dict(), folder / url.rsplit("/", 1)[1])
    return module.eval()


WITH_HEADS = {"aux_logits": True, "init_weights": False}


@pytest.mark.parametrize(
    ("name", "settings", "size"), [("squeezenet1_1", {}, 224), ("googlenet", WITH_HEADS, 224), ("inception_v3", WITH_HEADS, 299)]
)
def test_published_weights(cache, tmp_path, name: str, settings: dict, size: int) -> None:
    theirs = put(cache, name, **settings)
    theirs.transform_input = name != "squeezenet1_1"  # as torchvision sets it beside published weights
    ours, found = pretrained(f"imagenet_{name}", "IMAGENET1K_V1", header(f"imagenet_{name}", size))
    images_NCHW = torch.randn(2, 3, size, size)
    with torch.no_grad():
        found_NK, wanted_NK = ours(images_NCHW), theirs(images_NCHW)
    # Random weights answer nearly the same to all images: what differs between images must agree.
    torch.testing.assert_close(
        found_NK - found_NK[0], wanted_NK - wanted_NK[0], rtol=1e-3, atol=1e-3 * (wanted_NK[1] - wanted_NK[0]).abs().max().item()
    )
    assert tuple(found["mean"]) == MEAN
    assert found["class_names"][0] == "tench"
    save_weights(tmp_path / "weights.safetensors", ours, header(f"imagenet_{name}", size) | found)
    again, kept = load_weights(tmp_path / "weights.safetensors", expect={"class_names": found["class_names"]})
    assert kept["std"] == list(STD)
    with torch.no_grad():
        assert torch.equal(again(images_NCHW), ours(images_NCHW))


def test_folder_names_in_order_are_accepted(cache) -> None:
    put(cache, "squeezenet1_1")
    folders = [f"n{number:08}" for number in range(1000)]
    found = pretrained("imagenet_squeezenet1_1", "IMAGENET1K_V1", header("imagenet_squeezenet1_1", class_names=folders))[1]
    assert found["class_names"] == folders


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("weights", "changes", "text"),
    [
        ("IMAGENET1K_V1", {}, "cannot fetch https://.*: no route to host; connect"),
        ("IMAGENET1K_V7", {}, "unknown weights of imagenet_squeezenet1_1 'IMAGENET1K_V7'; known: DEFAULT, IMAGENET1K_V1"),
        ("IMAGENET1K_V1", {"num_classes": 2, "class_names": ["cat", "dog"]}, "1000 classes in their order; the data has 2: cat"),
        ("IMAGENET1K_V1", {"class_names": [f"n{number:08}" for number in range(1000)][::-1]}, "in their order"),
        ("IMAGENET1K_V1", {"image_size": 32}, "takes images of 224 pixels, the data has 32"),
        ("published", {}, "nothing to fetch for imagenet_squeezenet1_1"),
    ],
)
def test_errors(weights: str, changes: dict, text: str) -> None:
    with pytest.raises(MetannError, match=text) as caught:
        pretrained("imagenet_squeezenet1_1", weights, header("imagenet_squeezenet1_1") | changes)
    assert "\n" not in str(caught.value)


def test_damaged_cache(cache) -> None:
    url = zoo.get_model_weights("squeezenet1_1")["IMAGENET1K_V1"].url
    (cache / url.rsplit("/", 1)[1]).write_bytes(b"half a file")
    with pytest.raises(MetannError, match="torch's cache"):
        pretrained("imagenet_squeezenet1_1", "IMAGENET1K_V1", header("imagenet_squeezenet1_1"))
