"""Weights from elsewhere: eighteen styles of checkpoint and their kin, their normalisation, and numbers that are none."""

import argparse
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from digits_networks import NETWORK, prepared, training
from safetensors.torch import save_file
from test_border_photos import made
from torch import nn
from torch.optim.swa_utils import AveragedModel

from metann import load
from metann.config.data import DataSection
from metann.config.network import NetworkSection
from metann.config.section import read_section
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.networks._build import build
from metann.stages.export_probabilities import export_probabilities
from metann.stages.prepare_data import prepare_data
from metann.stages.train_network import train_network
from metann.tables.probabilities import read_probabilities
from metann.weights.files import load_weights, read_header, save_tensors, save_weights
from metann.weights.foreign import load_checkpoint, normalisation
from metann.weights.published import pretrained

pytestmark = pytest.mark.bad_input

HEADER = {"num_classes": 10, "channels": 1, "image_size": 8, "settings": {"width": 4, "depth": 2}}


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return build("small_cnn", 10, 1, 8, width=4, depth=2).eval()


@pytest.fixture(scope="module")
def other() -> nn.Module:
    torch.manual_seed(1)
    return build("small_cnn", 10, 1, 8, width=4, depth=2).eval()


def prefixed(prefix: str, module: nn.Module) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in module.state_dict().items()}


def take(content: object, path: Path) -> tuple[nn.Module, dict[str, Any]]:
    torch.save(content, path)
    return pretrained("small_cnn", str(path), HEADER)


def same(found: nn.Module, module: nn.Module) -> bool:
    mine, theirs = found.state_dict(), module.state_dict()
    return all(torch.allclose(mine[key].float(), theirs[key].float(), atol=1e-2) for key in theirs)


STYLES = {
    "tutorial": lambda m: {
        "epoch": 3,
        "model_state_dict": m.state_dict(),
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 1}]},
    },
    "net": lambda m: {"net": m.state_dict(), "acc": 95.1},
    "numpy accuracy": lambda m: {"net": m.state_dict(), "acc": np.float64(95.1), "best": np.array([1.0, 2.0])},
    "namespace": lambda m: {"state_dict": m.state_dict(), "args": argparse.Namespace(lr=1, names=["a"])},
    "averaged": lambda m: AveragedModel(m).state_dict(),
    "torchvision": lambda m: {"model": m.state_dict(), "model_ema": AveragedModel(m).state_dict()},
    "lightning": lambda m: {"state_dict": prefixed("model.", m), "epoch": 1, "hyper_parameters": {"lr": 0.1}},
    "lightning with a loss": lambda m: {"state_dict": prefixed("net.", m) | {"criterion.weight": torch.ones(10)}},
    "of compile": lambda m: prefixed("module._orig_mod.", m),
    "prefix nobody has heard of": lambda m: prefixed("learner.student.", m),
    "nested": lambda m: {"checkpoint": {"state_dict": m.state_dict(), "step": 4}},
    "half": lambda m: {key: value.half() if value.is_floating_point() else value for key, value in m.state_dict().items()},
    "bfloat16": lambda m: {key: value.bfloat16() if value.is_floating_point() else value for key, value in m.state_dict().items()},
    "numpy arrays": lambda m: {key: value.numpy() for key, value in m.state_dict().items()},
    "a loss beside it": lambda m: m.state_dict() | {"loss_fn.weight": torch.ones(3)},
    "fabric": lambda m: {"fabric": 1, "network": prefixed("_forward_module.", m)},
}


@pytest.mark.parametrize("style", STYLES)
def test_styles_of_checkpoints(tmp_path: Path, module: nn.Module, style: str) -> None:
    found, extra = take(STYLES[style](module), tmp_path / "w.pth")
    assert same(found, module)
    if "loss" in style:
        assert any("left out: no part of the network" in sentence for sentence in extra["assumed"])


def test_parts_in_data_parallel(tmp_path: Path) -> None:
    """As of the ImageNet example, which wraps the features of VGG alone."""
    vgg = build("vgg11_bn").eval()
    state = {key.replace("features.", "features.module.", 1): value for key, value in vgg.state_dict().items()}
    torch.save({"arch": "vgg11_bn", "state_dict": state}, tmp_path / "w.pth")
    found, _ = pretrained("vgg11_bn", str(tmp_path / "w.pth"), {"num_classes": 10, "channels": 3, "image_size": 32})
    assert same(found, vgg)


def test_of_two_states_the_averaged_one_is_taken_and_said(tmp_path: Path, module: nn.Module, other: nn.Module) -> None:
    found, extra = take({"state_dict": module.state_dict(), "state_dict_ema": other.state_dict()}, tmp_path / "w.pth")
    assert same(found, other)
    assert "weights stand under 'state_dict_ema' in the file ('state_dict' left out)" in extra["assumed"]
    found, _ = take({"optimizer": {"a": torch.ones(2), "b": torch.ones(2)}, "whatever": module.state_dict()}, tmp_path / "w.pth")
    assert same(found, module)  # the state that fits


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda m, o: prefixed("student.", m) | prefixed("teacher.", o), "holds 2 networks that fit .*'student', 'teacher'"),
        (lambda m, o: m, "a whole module"),  # noqa: ARG005
        (lambda m, o: list(m.state_dict().values()), "holds a list"),  # noqa: ARG005
        (lambda m, o: {"epoch": 3, "lr": 0.1}, "a dictionary of epoch, lr"),  # noqa: ARG005
        (lambda m, o: {key: value for key, value in m.state_dict().items() if "weight" not in key}, "keys are missing"),  # noqa: ARG005
    ],
)
def test_reasons_fit(tmp_path: Path, module: nn.Module, other: nn.Module, content: Any, reason: str) -> None:
    with pytest.raises(MetannError, match=reason) as caught:
        take(content(module, other), tmp_path / "w.pth")
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
def test_torchscript(tmp_path: Path, module: nn.Module) -> None:
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 1, 8, 8)), tmp_path / "w.pt")
    with pytest.raises(MetannError, match="TorchScript") as caught:
        pretrained("small_cnn", str(tmp_path / "w.pt"), HEADER)
    assert "weights_only" not in str(caught.value)


def test_numbers_that_are_finite_as_float64_alone(tmp_path: Path, module: nn.Module) -> None:
    state = {key: value.double() if value.is_floating_point() else value for key, value in module.state_dict().items()}
    assert same(take(state, tmp_path / "w.pth")[0], module)
    name = next(key for key, value in state.items() if value.ndim == 4)
    state[name][0, 0, 0, 0] = 1e300
    with pytest.raises(MetannError, match=f"{name} holds numbers beyond float32; check"):
        take(state, tmp_path / "w.pth")


@pytest.mark.parametrize("what", ["variance below zero", "huge"])
def test_weights_that_are_finite_and_answer_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.chdir(tmp_path)
    data = prepared(Path("data"))
    torch.manual_seed(0)
    spoilt = build("small_cnn", 10, 1, 8, width=4, depth=2)
    for key, value in spoilt.state_dict().items():
        if what == "huge" and value.ndim > 1:
            value.mul_(1e30)
        elif what != "huge" and key.endswith("running_var"):
            value.fill_(-1.0)
    torch.save(spoilt.state_dict(), "w.pth")
    network = NETWORK.model_copy(update={"weights": "w.pth"})
    train_network(name="mine", network=network, training=training(), data=data, seed=0, output=Path("out"))
    with pytest.raises(MetannError, match=r"the network of out/weights.safetensors: answers (NaN|-?inf) for sample \d+ \(") as caught:
        export_probabilities(weights=[Path("out/weights.safetensors")], data=data, output=Path("out/p.parquet"), device="cpu")
    assert "delete" not in str(caught.value)
    assert not Path("out/p.parquet").exists()
    with pytest.raises(MetannError, match=r"mine: answers (NaN|-?inf) for sample 0"):
        load(Path("out/weights.safetensors")).answer(read_prepared(data).images_NCHW[:3])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_numbers_that_are_not_finite(tmp_path: Path, module: nn.Module, value: float, name: str) -> None:
    state = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    last = [key for key in state if state[key].is_floating_point()][-1]
    state[last].view(-1)[-1] = value
    path = tmp_path / name
    if name.endswith(".pth"):
        torch.save(state, path)
    else:
        save_weights(path, state, {"architecture": "small_cnn"} | HEADER)
        with pytest.raises(MetannError, match="NaN or infinite"):
            load_weights(path)
    with pytest.raises(MetannError, match=rf"{name}: {last} holds 1 of .* NaN or infinite; the training diverged"):
        pretrained("small_cnn", str(path), HEADER)


def test_case_nan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("23-nan-in-a-checkpoint", tmp_path, monkeypatch)
    with pytest.raises(MetannError, match="NaN or infinite"):
        pretrained("small_cnn", "nan.pt", HEADER)


# --- normalisation --------------------------------------------------------------------------------------------------


def accuracy(folder: Path, data: Path, network: NetworkSection) -> float:
    train_network(name="mine", network=network, training=training(), data=data, seed=0, output=folder)
    export_probabilities(weights=[folder / "weights.safetensors"], data=data, output=folder / "p.parquet", device="cpu")
    table = read_probabilities(folder / "p.parquet", "test")
    return float(np.mean(table.p_NK.argmax(1) == table.label))


def test_case_weights_of_other_normalisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("07-weights-of-other-normalisation", tmp_path, monkeypatch)
    by_hand = float(capsys.readouterr().out.split()[-1])
    prepare_data(data=DataSection(name="image_folder", root=Path("photos"), image_size=16), output=Path("data"))
    plain = {"architecture": "small_cnn", "settings": {"width": 8, "depth": 2}, "weights": "mine.pth"}
    right = read_section(NetworkSection, plain | {"mean": [0.5] * 3, "std": [0.5] * 3})
    assert accuracy(Path("right"), Path("data"), right) == pytest.approx(by_hand)
    assert read_header(Path("right/weights.safetensors"))["mean"] == [0.5] * 3
    assert "saw pixel values" not in capsys.readouterr().out
    assert accuracy(Path("wrong"), Path("data"), read_section(NetworkSection, plain)) < by_hand - 0.1
    said = capsys.readouterr().out
    assert "assumed: mine.pth saw pixel values normalised by the mean and std of these training images" in said
    assert "its classes are those of the data in their order (kind0, kind1, kind2, ...)" in said
    assert len(read_header(Path("wrong/weights.safetensors"))["assumed"]) == 3


def test_a_file_that_says_its_normalisation_is_believed(tmp_path: Path, module: nn.Module) -> None:
    data = prepared(tmp_path / "data")
    header = {"architecture": "small_cnn", "mean": [0.25], "std": [0.125], "class_names": [str(c) for c in range(10)]} | HEADER
    save_weights(tmp_path / "mine.safetensors", module, header)
    network = NETWORK.model_copy(update={"weights": str(tmp_path / "mine.safetensors")})
    train_network(name="mine", network=network, training=training(), data=data, seed=0, output=tmp_path / "out")
    found = read_header(tmp_path / "out" / "weights.safetensors")
    assert (found["mean"], found["std"], found["assumed"]) == ([0.25], [0.125], [])
    given = network.model_copy(update={"mean": (0.0,), "std": (1.0,)})
    train_network(name="mine", network=given, training=training(), data=data, seed=0, output=tmp_path / "given")
    assert read_header(tmp_path / "given" / "weights.safetensors")["std"] == [1.0]
    three = network.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3})
    with pytest.raises(MetannError, match="have 3 numbers, the images have 1 channels"):
        train_network(name="mine", network=three, training=training(), data=data, seed=0, output=tmp_path / "three")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"mean": [0.5]}, "1 numbers of mean and 0 of std; give both"),
        ({"mean": [0.5] * 3, "std": [0.5]}, "3 numbers of mean and 1 of std"),
        ({"mean": [0.5], "std": [0]}, "std"),
        ({"mean": [float("nan")], "std": [1]}, "mean"),
        ({"mean": ["x"], "std": [1]}, "mean"),
        ({"mean": [0.5], "std": [0.5], "weights": None}, "are of 'weights' made elsewhere"),
    ],
)
def test_normalisations_that_are_none(values: dict, complaint: str) -> None:
    with pytest.raises(MetannError, match=complaint):
        read_section(NetworkSection, {"architecture": "small_cnn", "weights": "w.pth"} | values)


def test_case_numbers_as_class_names_with_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the 12 classes 1 .. 12 in number order: right with the order given, at chance and said so without it."""
    made("08-numeric-class-names", tmp_path, monkeypatch)
    prepare_data(data=DataSection(name="image_folder", root=Path("photos"), image_size=16), output=Path("data"))
    prepared_by_text = read_prepared(Path("data"))
    numbers = tuple(str(number) for number in range(1, 13))
    in_order = DataSection(name="image_folder", root=Path("photos"), image_size=16, classes=numbers)
    prepare_data(data=in_order, output=Path("ordered"))
    network = read_section(NetworkSection, {"architecture": "small_cnn", "settings": {"width": 8, "depth": 2}})
    train_network(name="mine", network=network, training=training(epochs=12), data=Path("ordered"), seed=0, output=Path("trained"))
    state = load_weights(Path("trained/weights.safetensors"))[0].state_dict()
    torch.save(state, "mine.pth")
    outside = network.model_copy(update={"weights": "mine.pth"})
    assert accuracy(Path("right"), Path("ordered"), outside) > 0.9
    capsys.readouterr()
    assert accuracy(Path("wrong"), Path("data"), outside) < 0.2
    said = capsys.readouterr().out
    assert "WARNING: test: accuracy" in said
    assert "is chance (0.0833 for 12 classes); likely causes: another order of the classes (data.classes)" in said
    assert prepared_by_text.info.class_names[1] == "10"


# --- files of metann as `weights` -----------------------------------------------------------------------------------

OWN = HEADER | {"architecture": "small_cnn", "class_names": list("abcdefghij"), "mean": [0.5], "std": [0.25]}


def given(path: Path, **also: object) -> tuple[nn.Module, dict[str, Any]]:
    return pretrained("small_cnn", str(path), HEADER | {"class_names": list("abcdefghij")} | also)


def sealed_as(path: Path, module: nn.Module, header: dict[str, Any]) -> Path:
    save_tensors(path, module.state_dict(), header)
    return path


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (OWN | {"class_names": list("jihgfedcba")}, r"was made for class_names\[0\] 'j', but 'a' is asked for"),
        ({"class_names": list("jihgfedcba")}, r"was made for class_names\[0\] 'j'"),
        (OWN | {"num_classes": "ten"}, "the header of .* num_classes = 'ten'"),
        (OWN | {"class": 3, "dataset_threshold": 0.1}, "was made for class 3 alone; use the weights of the whole network"),
        (OWN | {"kind": "photograph"}, "holds a photograph and not one network; give the weights.safetensors of train-network"),
        (OWN | {"settings": {"width": 8, "depth": 2}}, "was made for settings"),
    ],
    ids=["order", "order and nothing else", "type", "expert", "kind", "settings"],
)
@pytest.mark.parametrize("name", ["w.safetensors", "W.SAFETENSORS"])
def test_a_header_of_metann_is_believed_or_refused(tmp_path: Path, module: nn.Module, header: dict, says: str, name: str) -> None:
    with pytest.raises(MetannError, match=says) as caught:
        given(sealed_as(tmp_path / name, module, header))
    assert "\n" not in str(caught.value)


def test_a_header_that_is_no_json_is_not_taken_for_none(tmp_path: Path, module: nn.Module) -> None:
    save_file(module.state_dict(), tmp_path / "w.safetensors", {"metann": "{broken"})
    with pytest.raises(MetannError, match=r"the header of .* is damaged \(no JSON\), so its classes cannot be compared"):
        given(tmp_path / "w.safetensors")
    save_file(module.state_dict(), tmp_path / "w.safetensors", {"format": "pt"})
    assert same(given(tmp_path / "w.safetensors")[0], module)
    assert same(given(sealed_as(tmp_path / "W.SafeTensors", module, OWN))[0], module)


@pytest.mark.parametrize(("left", "says"), [("mean", "says mean and no std"), ("std", "says std and no mean")])
def test_half_a_normalisation(tmp_path: Path, module: nn.Module, left: str, says: str) -> None:
    path = sealed_as(tmp_path / "w.safetensors", module, {key: value for key, value in OWN.items() if key not in {"mean", "std"} - {left}})
    _, found = given(path)
    with pytest.raises(MetannError, match=f"{says}; give mean and std of the network"):
        normalisation(((), ()), found, {"channels": 1}, str(path))
    assert normalisation(((0.5,), (0.5,)), found, {"channels": 1}, str(path))[0] == {"mean": [0.5], "std": [0.5]}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_protocols_of_pickles(tmp_path: Path, module: nn.Module, protocol: int, zipped: bool) -> None:
    torch.save(module.state_dict(), tmp_path / "w.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    if protocol < 4:
        assert same(given(tmp_path / "w.pt")[0], module)
        return
    with pytest.raises(
        MetannError, match=f"w.pt holds a pickle of protocol {protocol}, .*: save its state_dict alone, without pickle_protocol"
    ):
        given(tmp_path / "w.pt")


# --- more of the same kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["student.", "model.model.", "resnet.", "base_model.model.", "0.", "_orig_mod.module.", "encoder."])
@pytest.mark.parametrize("key", ["", "teacher", "best_model", "checkpoint.model"])
def test_prefixes_and_keys_together(tmp_path: Path, module: nn.Module, prefix: str, key: str) -> None:
    content: Any = {prefix + name: value for name, value in module.state_dict().items()}
    for part in reversed(key.split(".") if key else []):
        content = {part: content, "epoch": 3}
    torch.save(content, tmp_path / "w.ckpt")
    found, _ = pretrained("small_cnn", str(tmp_path / "w.ckpt"), HEADER)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.to("meta"), r"holds no numbers \(meta\)"),
        (lambda value: value.to_sparse(), "a sparse, quantised or complex"),
        (lambda value: value.to(torch.complex64), "a sparse, quantised or complex"),
        (lambda value: value.to(torch.int8), "holds int8, not floats"),
        (lambda value: torch.full_like(value, -torch.inf), "NaN or infinite"),
    ],
    ids=["meta", "sparse", "complex", "int8", "infinite"],
)
def test_tensors_that_are_no_weights(tmp_path: Path, module: nn.Module, change: Any, reason: str) -> None:
    state = {key: change(value) if value.dim() == 2 else value for key, value in module.state_dict().items()}
    torch.save({"model": state}, tmp_path / "w.pt")
    with pytest.raises(MetannError, match=reason) as caught:
        pretrained("small_cnn", str(tmp_path / "w.pt"), HEADER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\n<HTML>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b'{"a": 1}', "JSON"),
        (b"PK\x03\x04x", "a damaged or cut-off archive"),
        (b"", "it is empty or cut off"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(MetannError, match=reason) as caught:
        pretrained("small_cnn", str(tmp_path / "w.pt"), HEADER)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
def test_weights_from_a_pipe(tmp_path: Path, ending: str) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / f"w.{ending}")
    said: list[str] = []

    def run() -> None:
        try:
            load_checkpoint(tmp_path / f"w.{ending}")
        except MetannError as error:
            said.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert said == [f"{tmp_path / f'w.{ending}'} is a pipe, not a file; write its content into a file, and give that"]
