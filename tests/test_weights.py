"""Weight files: same bytes, strict reading, one-line refusals; files from elsewhere never run code; published files are checked."""

import hashlib
import json
import pickle
import urllib.error
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from metann.errors import MetannError
from metann.networks._build import build
from metann.weights import published
from metann.weights.files import load_state, load_weights, read_header, save_weights
from metann.weights.foreign import load_checkpoint
from metann.weights.published import pretrained
from metann.weights.unfilled import build_unfilled

NAMES = list(published.RECIPES["cifar10"].class_names)
HEADER = {
    "architecture": "resnet20",
    "settings": {},
    "num_classes": 10,
    "channels": 3,
    "image_size": 32,
    "class_names": NAMES,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "training": {"epochs": 3},
    "seed": 0,
}


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet20").eval()


@pytest.fixture
def file(module: nn.Module, tmp_path: Path) -> Path:
    save_weights(tmp_path / "weights.safetensors", module, HEADER)
    return tmp_path / "weights.safetensors"


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def refusal(call, *arguments: object, **named: object) -> str:
    with pytest.raises(MetannError) as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip(file: Path, module: nn.Module) -> None:
    random = torch.get_rng_state()
    found, header = load_weights(file, expect={"class_names": tuple(NAMES), "architecture": "resnet20", "training": {"epochs": 3}})
    assert torch.equal(torch.get_rng_state(), random)
    assert header == read_header(file) == HEADER
    assert same(found, module)
    assert not found.training
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_who_may_read_a_table_may_read_the_weights(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_same_weights_same_bytes(file: Path, module: nn.Module, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    strided = build("resnet20").to(memory_format=torch.channels_last)
    strided.load_state_dict(module.state_dict())
    backwards = dict(reversed(HEADER.items()))
    for weights in (module, strided, nn.DataParallel(module), dict(reversed(module.state_dict().items()))):
        save_weights(other, weights, backwards)
        assert other.read_bytes() == file.read_bytes()
    save_weights(other, torch.compile(module), HEADER)
    assert other.read_bytes() == file.read_bytes()
    save_weights(other, module, HEADER | {"seed": 1})
    assert other.read_bytes() != file.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "other.safetensors"}


def test_settings_are_built_again(tmp_path: Path) -> None:
    module = build("repvgg_a0", 4, 1, 28).fuse()
    header = HEADER | {
        "architecture": "repvgg_a0",
        "settings": {"fused": True},
        "num_classes": 4,
        "channels": 1,
        "image_size": 28,
        "class_names": None,
        "mean": [0.5],
        "std": [0.25],
    }
    save_weights(tmp_path / "fused.safetensors", module, header)
    assert same(load_weights(tmp_path / "fused.safetensors")[0], module)


@pytest.mark.parametrize(
    ("expect", "text"),
    [
        ({"class_names": [*NAMES[:3], NAMES[4], NAMES[3], *NAMES[5:]]}, "class_names[3] 'cat', but 'deer'"),
        ({"class_names": NAMES[:9]}, "number of class_names 10, but 9"),
        ({"architecture": "resnet32"}, "architecture 'resnet20', but 'resnet32'"),
        ({"digest": "abc"}, "digest None, but 'abc'"),
    ],
)
def test_expectations(file: Path, expect: dict, text: str) -> None:
    message = refusal(load_weights, file, expect)
    assert text in message
    assert str(file) in message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated(file: Path, share: float) -> None:
    content = file.read_bytes()
    half = file.with_name("half.safetensors")
    half.write_bytes(content[: int(share * len(content))])
    for read in (load_weights, read_header, load_state, load_checkpoint):
        assert str(half) in refusal(read, half)


def test_other_network_in_the_header(tmp_path: Path, module: nn.Module) -> None:
    for change, text in (
        ({"architecture": "resnet32"}, "keys are missing (layer1.3"),
        ({"architecture": "vgg11_bn"}, "128 keys are left over (bn1.bias"),
        ({"num_classes": 9, "class_names": NAMES[:9]}, "fc.bias is [10], not [9]"),
        ({"architecture": "no_such"}, "unknown architecture 'no_such'"),
    ):
        save_weights(tmp_path / "wrong.safetensors", module, HEADER | change)
        assert text in refusal(load_weights, tmp_path / "wrong.safetensors")


def test_headers_that_are_refused(tmp_path: Path, module: nn.Module) -> None:
    path = tmp_path / "weights.safetensors"
    assert "lacks channels" in refusal(save_weights, path, module, {key: HEADER[key] for key in HEADER if key != "channels"})
    assert "9 class names for 10 classes" in refusal(save_weights, path, module, HEADER | {"class_names": NAMES[:9]})
    with pytest.raises(ValueError, match="JSON"):
        save_weights(path, module, HEADER | {"mean": [float("nan")]})
    assert list(tmp_path.iterdir()) == []
    assert "no weights file" in refusal(load_weights, path)
    save_file(module.state_dict(), path)
    assert "has no header of metann" in refusal(load_weights, path)
    save_file(module.state_dict(), path, metadata={"metann": json.dumps({"architecture": "resnet20"})})
    assert "lacks num_classes" in refusal(read_header, path)


def test_unwritable_folder(tmp_path: Path, module: nn.Module) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in refusal(save_weights, tmp_path / "file" / "weights.safetensors", module, HEADER)


# Files from elsewhere


class Code:
    """A pickle that would make a file when read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_code_is_never_run(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "code": Code(tmp_path / "ran")}, tmp_path / "evil.pt")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    for name in ("evil.pt", "plain.pth"):
        assert "nothing in it was run" in refusal(load_checkpoint, tmp_path / name)
        assert name in refusal(pretrained, "resnet20", str(tmp_path / name), HEADER)
    assert not (tmp_path / "ran").exists()


def test_state_dicts(tmp_path: Path, module: nn.Module) -> None:
    state = module.state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    wrapped = {f"module.{key}": value for key, value in state.items()}
    for content in (state, wrapped, old, {"state_dict": wrapped, "epoch": 3}, {"model": state}):
        torch.save(content, tmp_path / "weights.pt")
        found, extra = pretrained("resnet20", str(tmp_path / "weights.pt"), HEADER)
        assert same(found, module)
        assert extra["weights"] == str(tmp_path / "weights.pt")
        assert "mean" not in extra
    save_file(state, tmp_path / "plain.safetensors")
    assert same(pretrained("resnet20", str(tmp_path / "plain.safetensors"), HEADER)[0], module)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_not_a_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pt")
    assert "is not a state_dict" in refusal(load_checkpoint, tmp_path / "odd.pt")


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a zip"])
def test_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.pt").write_bytes(content)
    assert str(tmp_path / "odd.pt") in refusal(load_checkpoint, tmp_path / "odd.pt")
    assert "no weights file" in refusal(load_checkpoint, tmp_path / "none.pt")
    assert "cannot read" in refusal(load_checkpoint, tmp_path)


def test_own_file_as_pretrained(file: Path, module: nn.Module) -> None:
    found, extra = pretrained("resnet20", str(file), HEADER | {"mean": [0.1, 0.1, 0.1], "seed": 5})
    assert same(found, module)
    assert extra == {"mean": [0.5] * 3, "std": [0.25] * 3, "weights": str(file)}
    assert "class_names[0]" in refusal(pretrained, "resnet20", str(file), HEADER | {"class_names": NAMES[::-1]})
    assert "architecture" in refusal(pretrained, "resnet32", str(file), HEADER)
    assert "does not fit" not in refusal(pretrained, "resnet20", str(file), HEADER | {"num_classes": 9, "class_names": None})


# Published files


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: nn.Module):
    """A pretended release: one file behind every address; `asked` lists the addresses."""
    monkeypatch.setenv("METANN_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "released.pt"
    torch.save(module.state_dict(), source)
    asked: list[str] = []

    def urlopen(url: str, timeout: float):
        asked.append(url)
        assert timeout > 0
        return source.open("rb")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    hash8 = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(published.HASHES, "resnet20", (hash8, "00000000"))
    return asked, source, tmp_path / "cache" / f"cifar10_resnet20-{hash8}.pt"


def test_published(release, module: nn.Module) -> None:
    asked, _, kept = release
    for _ in range(2):  # the second time from the cache
        found, extra = pretrained("resnet20", "published", HEADER)
        assert same(found, module)
        assert extra["mean"] == [0.4914, 0.4822, 0.4465]
        assert extra["std"] == [0.2023, 0.1994, 0.2010]
        assert extra["class_names"] == NAMES
        assert kept.name in extra["weights"]
    assert len(asked) == 1
    kept.write_bytes(b"damaged since")
    assert same(pretrained("resnet20", "published", HEADER)[0], module)
    assert len(asked) == 2


def test_published_file_fetched_by_hand(release) -> None:
    extra = pretrained("resnet20", str(release[1]), HEADER)[1]
    assert (extra["mean"], extra["std"]) == ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
    assert "class_names[0]" in refusal(pretrained, "resnet20", str(release[1]), HEADER | {"class_names": NAMES[::-1]})
    assert release[0] == []


def test_another_file_than_published(release) -> None:
    _, source, kept = release
    source.write_bytes(source.read_bytes()[:-1])
    assert "is not the file that was published" in refusal(pretrained, "resnet20", "published", HEADER)
    assert list(kept.parent.iterdir()) == []


def test_no_network(release, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    message = refusal(pretrained, "resnet20", "published", HEADER)
    assert "Name or service not known" in message
    assert str(release[2]) in message  # where a file fetched by hand belongs


def test_cut_off_while_fetching(release, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut:
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, _: int = 0) -> bytes:
            raise TimeoutError("timed out")

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Cut())
    assert "timed out" in refusal(pretrained, "resnet20", "published", HEADER)
    assert list(release[2].parent.iterdir()) == []


@pytest.mark.parametrize(
    ("architecture", "change", "text"),
    [
        ("resnet20", {"class_names": NAMES[::-1]}, "in their order"),
        ("resnet20", {"class_names": ["a", "b"], "num_classes": 2}, "a, b"),
        ("resnet20", {"channels": 1}, "1 channels"),
        ("resnet18", {}, "nothing to fetch for resnet18"),
        ("small_cnn", {}, "nothing to fetch for small_cnn"),
    ],
)
def test_nothing_published(release, architecture: str, change: dict, text: str) -> None:
    assert text in refusal(pretrained, architecture, "published", HEADER | change)
    assert release[0] == []


def test_addresses() -> None:
    start = "https://github.com/chenyaofo/pytorch-cifar-models/releases/download/"
    wanted = {
        ("resnet56", "cifar10"): "resnet/cifar10_resnet56-187c023a.pt",
        ("vgg19_bn", "cifar100"): "vgg/cifar100_vgg19_bn-b98f7bd7.pt",
        ("mobilenetv2_x0_5", "cifar10"): "mobilenetv2/cifar10_mobilenetv2_x0_5-ca14ced9.pt",
        ("shufflenetv2_x2_0", "cifar100"): "shufflenetv2/cifar100_shufflenetv2_x2_0-e7e584cd.pt",
        ("repvgg_a2", "cifar10"): "repvgg/cifar10_repvgg_a2-09488915.pt",
    }
    for (name, dataset), end in wanted.items():
        assert published.address(name, dataset) == start + end
    assert len(published.HASHES) == 19
    assert len({hash8 for pair in published.HASHES.values() for hash8 in pair}) == 38


def test_class_order_of_cifar() -> None:
    for dataset, count in (("cifar10", 10), ("cifar100", 100)):
        names = published.RECIPES[dataset].class_names
        assert len(set(names)) == count
        assert list(names) == sorted(names)


def test_unfilled_does_not_wait_for_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that holds huge values: a truncated normal that is drawn until it fits must still end."""
    empty = torch.empty
    monkeypatch.setattr("torch.empty", lambda *shape, **options: empty(*shape, **options).fill_(1e30))
    states = build_unfilled(HEADER | {"architecture": "googlenet"}).state_dict()
    assert not states["inception3a.branch1.conv.weight"].any()


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenetv2_x0_5", "vgg11_bn", "densenet121", "googlenet", "inception_v3"])
def test_unfilled_is_wholly_filled(name: str) -> None:
    """What is built without initialisation equals the network once its state is in, whatever the memory held."""
    module = build(name).eval()
    random = torch.get_rng_state()
    copy = build_unfilled(HEADER | {"architecture": name})
    assert torch.equal(torch.get_rng_state(), random)
    copy.load_state_dict(module.state_dict())
    images_NCHW = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(copy.eval()(images_NCHW), module(images_NCHW))
