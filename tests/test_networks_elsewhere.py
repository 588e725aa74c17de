"""Networks from elsewhere: a user's own function wherever an architecture is named, and timm's models."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, metann, snakemake

from metann import registry
from metann.config.hypernetwork import ClassifierSection
from metann.config.mixture_parts import ExpertsSection, GateSection
from metann.config.network import NetworkSection
from metann.config.section import read_section
from metann.cost.macs import count_macs
from metann.errors import MetannError
from metann.files.digests import source_digest
from metann.hypernetwork.classifiers import build_classifier
from metann.networks._build import build
from metann.weights.files import load_weights, save_weights
from metann.weights.head import head_parameters
from metann.weights.published import pretrained
from metann.workflow.provenance import stage_code

NETS = '''
"""Mine."""
from torch import nn
from parts import body


def build(num_classes, channels, image_size, width: int = 8):
    return nn.Sequential(body(channels, width), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, num_classes))


def free(num_classes, channels, image_size, **settings):
    return build(num_classes, channels, image_size, **settings)


def no_network(num_classes, channels, image_size):
    return 3


def wrong_shape(num_classes, channels, image_size):
    return build(num_classes + 1, channels, image_size)


def too_big(num_classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(5, num_classes))


def empty(num_classes, channels, image_size):
    return nn.Flatten()


def broken(num_classes, channels, image_size):
    raise KeyError("what")


def two(num_classes, channels):
    return None
'''
PARTS = """
from torch import nn


def body(channels, width):
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU())
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with nets.py, which imports parts.py beside it."""
    (tmp_path / "my").mkdir()
    (tmp_path / "my/nets.py").write_text(NETS)
    (tmp_path / "my/parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("nets")
def test_own_network_is_built_as_every_other() -> None:
    torch.manual_seed(0)
    module = build("my/nets.py:build", 7, 1, 12, width=5)
    torch.manual_seed(0)
    again = build("my/nets.py:build", 7, 1, 12, width=5)
    assert module(torch.zeros(3, 1, 12, 12)).shape == (3, 7)
    assert module.training
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), again.state_dict().values(), strict=True))
    assert count_macs(module, 1, 12) == 12 * 12 * 9 * 5 + 20 * 7
    assert sum(part.numel() for part in head_parameters(module)) == (9 * 5 + 5) + (20 * 7 + 7)
    assert "parts" not in sys.modules


def test_two_folders_may_have_files_of_the_same_name(nets: Path) -> None:
    (nets / "other").mkdir()
    (nets / "other/nets.py").write_text(NETS)
    (nets / "other/parts.py").write_text(PARTS.replace("nn.ReLU()", "nn.Tanh()"))
    assert "ReLU" in str(build("my/nets.py:build", 2, 1, 8))
    assert "Tanh" in str(build("other/nets.py:build", 2, 1, 8))


@pytest.mark.usefixtures("nets")
def test_own_network_stands_in_every_section() -> None:
    name = "my/nets.py:build"
    for section, key in ((NetworkSection, "architecture"), (ExpertsSection, "architecture"), (GateSection, "architecture")):
        assert getattr(read_section(section, {key: name, "settings": {"width": 4}}), key) == name
        with pytest.raises(MetannError, match=r"setting width = 'x' of my/nets\.py:build is not of type int"):
            read_section(section, {key: name, "settings": {"width": "x"}})
    assert read_section(ClassifierSection, {"name": name}).name == name
    assert build_classifier(name, 1, 8)(torch.zeros(2, 1, 8, 8)).shape == (2,)
    assert registry.architecture_settings("my/nets.py:free") == {registry.ANYTHING: ""}


@pytest.mark.parametrize(
    ("architecture", "settings", "text"),
    [
        ("my/nets.py:bild", {}, r"unknown function of my/nets.py 'bild'; known: .*build.*def bild"),
        ("my/none.py:build", {}, "cannot read my/none.py: no such file.*working folder"),
        ("my/nets.py:two", {}, r"two takes num_classes, channels; write two\(num_classes, channels, image_size\)"),
        ("my/nets.py:build", {"depth": 3}, "unknown setting 'depth'.*known: width"),
        ("my/nets.txt:build", {}, "unknown architecture.*path/to/nets.py:build"),
    ],
)
@pytest.mark.usefixtures("nets")
def test_what_is_wrong_is_known_before_anything_runs(architecture: str, settings: dict, text: str) -> None:
    with pytest.raises(MetannError, match=text):
        read_section(NetworkSection, {"architecture": architecture, "settings": settings})


def test_a_file_that_is_no_python(nets: Path) -> None:
    (nets / "bad.py").write_text("def build(:\n")
    with pytest.raises(MetannError, match=r"bad.py, line 1 is no Python"):
        read_section(NetworkSection, {"architecture": "bad.py:build"})


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("no_network", "gives a int, not a torch.nn.Module"),
        ("wrong_shape", r"answers two images with \[2, 5\], not with \[2, 4\]"),
        ("too_big", "an image of 1 x 8 x 8 fails: RuntimeError"),
        ("empty", "without parameters"),
        ("broken", "building it fails: KeyError: 'what'"),
    ],
)
@pytest.mark.usefixtures("nets")
def test_what_is_wrong_with_a_network_is_one_line(function: str, text: str) -> None:
    with pytest.raises(MetannError, match=text) as caught:
        build(f"my/nets.py:{function}", 4, 1, 8)
    assert "\n" not in str(caught.value)


def test_a_file_that_fails_when_it_is_run(nets: Path) -> None:
    (nets / "bad.py").write_text("import nowhere_at_all\n\ndef build(a, b, c):\n    pass\n")
    with pytest.raises(MetannError, match="building it fails: ModuleNotFoundError: No module named 'nowhere_at_all'"):
        build("bad.py:build", 4, 1, 8)


def test_code_counts_and_words_do_not(nets: Path) -> None:
    name, path = "my/nets.py:build", nets / "my/nets.py"
    before = source_digest(path), stage_code("train_network", architectures=[name]), stage_code("train_network")
    assert before[1] != before[2]
    path.write_text(NETS.replace('"""Mine."""', '"""Mine, and only mine."""  # a comment'))
    assert (source_digest(path), stage_code("train_network", architectures=[name])) == before[:2]
    (nets / "my/parts.py").write_text(PARTS.replace("3, padding=1", "5, padding=2"))
    assert source_digest(path) != before[0]
    assert stage_code("train_network", architectures=[name]) != before[1]


def test_weights_know_the_code_that_they_were_made_with(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "my/nets.py:build"
    header = {"architecture": name, "num_classes": 3, "channels": 1, "image_size": 8, "sources": {name: source_digest(nets / "my/nets.py")}}
    save_weights(nets / "w.safetensors", build(name, 3, 1, 8), header)
    assert load_weights(nets / "w.safetensors")[1]["sources"] == header["sources"]
    (nets / "my/parts.py").write_text(PARTS.replace("ReLU", "GELU"))  # fits, and answers otherwise
    with pytest.raises(MetannError, match=r"was made with another my/nets\.py"):
        load_weights(nets / "w.safetensors")
    monkeypatch.chdir(ROOT)
    with pytest.raises(MetannError, match=r"there is no my/nets\.py in .*work in the folder that has it"):
        load_weights(nets / "w.safetensors")


def config(**changes: object) -> dict:
    """A tiny run whose switch is a user's own network."""
    tiny = {"crop_padding": 0, "flip": False, "device": "cpu", "epochs": 1}
    mnn = {"switch": "mine", "controls": [], "dataset_thresholds": [0.5], "test_thresholds": [0.5], "switch_functions": [], "expert": tiny}
    networks = {"mine": {"architecture": "my/nets.py:build", "settings": {"width": 2}}}
    base = {"run": "own", "data": {"name": "digits"}, "networks": networks, "training": tiny}
    return base | {"mnn": mnn | {"classes_per_job": 10, "figures": []}} | changes


@pytest.mark.slow
def test_a_run_of_own_networks(nets: Path) -> None:
    (nets / "c.yaml").write_text(yaml.safe_dump(config()))
    snakemake("--cores", 2, "--configfile", "c.yaml", cwd=nets)
    done = metann("pack", "results/own", "--output", "own.safetensors", cwd=nets)
    assert "my/nets.py:build" in done.stdout
    (nets / "my/parts.py").write_text(PARTS.replace("ReLU", "GELU"))
    again = snakemake("--dry-run", "--configfile", "c.yaml", cwd=nets).stdout
    assert "train_network" in again
    assert "train_expert" in again
    code = "import metann; metann.load('own.safetensors')"
    told = subprocess.run([sys.executable, "-c", code], cwd=nets, capture_output=True, text=True, check=False, env=path_of_root())
    assert "made with another my/nets.py" in told.stderr
    for wrong, text in [("my/nets.py:bild", "unknown function of my/nets.py 'bild'"), ("timm/resnet188", "timm")]:
        (nets / "c.yaml").write_text(yaml.safe_dump(config(networks={"mine": {"architecture": wrong}})))
        done = snakemake("--dry-run", "--configfile", "c.yaml", cwd=nets, check=False)
        line = next(line for line in done.stderr.splitlines() if line.startswith("metann: error:"))
        assert text in line
        assert "Traceback" not in done.stderr


def path_of_root() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def test_without_timm_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)  # noqa: ARG005
    registry.timm_models.cache_clear()
    try:
        with pytest.raises(MetannError, match=r"needs timm, which is not installed; pip install 'metann\[timm\]'"):
            read_section(NetworkSection, {"architecture": "timm/resnet18"})
    finally:
        registry.timm_models.cache_clear()


needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="NO TIMM: pip install 'metann[timm]'; timm's models are not checked")
SMALL = {"timm/test_efficientnet": "classifier", "timm/test_vit": "head"}


@needs_timm
@pytest.mark.parametrize("name", sorted(SMALL))
def test_contract_of_timm(name: str) -> None:
    """Output, gradients, cost and head at 32 x 32; then grey images with another number of classes; settings; the same seed."""
    import timm

    torch.manual_seed(0)
    module = build(name, 10, 3, 32, drop_rate=0.5)
    torch.manual_seed(0)
    plain = timm.create_model(name.removeprefix("timm/"), num_classes=10, drop_rate=0.5, **({"img_size": 32} if "vit" in name else {}))
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), plain.state_dict().values(), strict=True))
    assert module.train()(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert (module.head_drop.p if "vit" in name else module.drop_rate) == 0.5
    module(torch.randn(2, 3, 32, 32)).logsumexp(dim=1).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert build(name, 7, 1, 16).eval()(torch.randn(1, 1, 16, 16)).shape == (1, 7)

    chosen = {id(parameter) for parameter in head_parameters(module)}
    names = [key for key, parameter in module.named_parameters() if id(parameter) in chosen]
    assert {f"{SMALL[name]}.weight", f"{SMALL[name]}.bias"} < set(names)
    assert 0 < sum(parameter.numel() for parameter in head_parameters(module)) < sum(p.numel() for p in module.parameters())


@needs_timm
def test_costs_and_heads_of_known_models() -> None:
    with torch.device("meta"):
        module = build("timm/resnet18", 1000, 3, 224)
    assert count_macs(module, 3, 224) / 1e9 == pytest.approx(1.814, rel=1e-3)  # torchvision's, published as 1.81 GFLOPS
    chosen = {id(parameter) for parameter in head_parameters(module)}
    blocks = {key.rsplit(".", 2)[0] for key, parameter in module.named_parameters() if id(parameter) in chosen and key.startswith("layer")}
    assert blocks == {"layer4.1"}
    module = build("timm/test_vit", 10, 3, 32)
    # 4 patches and a class token: patches, then in 6 blocks query, key, value, attention, projection and an MLP of 3 times the width
    d, tokens = module.embed_dim, 5
    hidden = module.blocks[0].mlp.fc1.out_features
    expected = 4 * 3 * 16 * 16 * d + len(module.blocks) * tokens * (4 * d * d + 2 * tokens * d + 2 * d * hidden) + d * 10
    assert count_macs(module, 3, 32) == expected


@needs_timm
@pytest.mark.parametrize(
    ("name", "text"),
    [("timm/resnet188", "no model 'resnet188'; nearest: resnet18"), ("timm/", "no model ''")],
)
def test_unknown_names_of_timm(name: str, text: str) -> None:
    with pytest.raises(MetannError, match=text):
        read_section(NetworkSection, {"architecture": name})


@needs_timm
def test_what_timm_refuses_is_one_line() -> None:
    with pytest.raises(MetannError, match="unexpected keyword argument 'foo'"):
        build("timm/test_resnet", 4, 3, 32, foo=3)
    with pytest.raises(MetannError, match="an image of 3 x 8 x 8 fails"):
        build("timm/test_vit", 4, 3, 8)


@needs_timm
def test_local_weights_of_timm(tmp_path: Path) -> None:
    module = build("timm/test_efficientnet", 4, 3, 32)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    header = {"num_classes": 4, "channels": 3, "image_size": 32, "settings": {}, "class_names": list("abcd")}
    found, _ = pretrained("timm/test_efficientnet", str(tmp_path / "w.pth"), header)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(found(images), module.eval()(images))


@needs_timm
def test_pretrained_weights_of_timm_bring_their_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The download itself is replaced: there is no network where tests run."""
    import timm

    names = timm.data.ImageNetInfo().label_names()
    header = {"num_classes": 1000, "channels": 3, "image_size": 64, "settings": {}, "class_names": names}
    kept = build("timm/test_efficientnet", 1000, 3, 64)
    asked = []

    def create(name: str, pretrained: bool, **settings: object) -> torch.nn.Module:
        asked.append((name, pretrained))
        return kept if pretrained else original(name, pretrained=False, **settings)

    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    module, found = pretrained("timm/test_efficientnet.r160_in1k", "pretrained", header)
    assert asked[0] == ("test_efficientnet.r160_in1k", True)
    config = timm.models.get_pretrained_cfg("test_efficientnet.r160_in1k")
    assert (found["mean"], found["std"]) == (list(config.mean), list(config.std))
    assert found["crop"] == {"crop_pct": config.crop_pct, "interpolation": "bicubic", "image_size": 160}
    assert any("160 pixels; here it sees 64" in sentence for sentence in found["assumed"])
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(module(images), kept.eval()(images))

    for change, text in [
        ({"num_classes": 2, "class_names": ["a", "b"]}, "know 1000 classes, the data has 2"),
        ({"class_names": names[::-1]}, "know ImageNet's classes in their order"),
        ({"channels": 1}, "take 3 channels, the data has 1"),
    ]:
        with pytest.raises(MetannError, match=text):
            pretrained("timm/test_efficientnet.r160_in1k", "pretrained", header | change)

    def offline(*_: object, **__: object) -> None:
        raise OSError("Max retries\nexceeded")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(MetannError, match=r"cannot fetch the weights of timm/test_efficientnet: .*or give a local file") as caught:
        pretrained("timm/test_efficientnet", "pretrained", header)
    assert "\n" not in str(caught.value)


@needs_timm
def test_the_preset_of_timm_is_planned(tmp_path: Path) -> None:
    from PIL import Image

    for synset in ("n01440764", "n01443537"):
        (tmp_path / "imagenet/val" / synset).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (9, 9), (number, 0, 0)).save(tmp_path / f"imagenet/val/{synset}/{number}.png")
    done = snakemake("--dry-run", "--configfile", ROOT / "presets/cascade-timm.yaml", cwd=tmp_path)
    assert re.search(r"^train_network +4$", done.stdout, re.MULTILINE)
