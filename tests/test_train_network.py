"""Stage train_network on scikit-learn's digits."""

import json
from pathlib import Path

import digits_networks
import numpy as np
import pytest
import torch
from conftest import metann
from digits_networks import NETWORK, training

from metann.compute.inference import infer
from metann.compute.normalise import Normalisation
from metann.config.network import NetworkSection
from metann.data.folds import fold_of
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.networks._build import build
from metann.seeds import derive_seed
from metann.training import classifier as loop
from metann.weights.files import load_weights, read_header, save_weights
from metann.workflow.provenance import stage_code


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_networks.prepared(tmp_path_factory.mktemp("digits"))


def test_files_and_header(data: Path, tmp_path: Path) -> None:
    weights = digits_networks.switch(data, tmp_path, training=training(epochs=6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training.csv", "weights.safetensors"], "no checkpoint is left"
    module, header = load_weights(weights)
    info, samples = read_prepared(data).info, read_prepared(data).samples
    assert header["class_names"] == list(info.class_names)
    assert {key: header[key] for key in ("architecture", "network", "seed", "digest", "code", "dataset")} == {
        "architecture": "small_cnn",
        "network": "switch",
        "seed": 0,
        "digest": info.digest,
        "code": stage_code("train_network", architectures=["small_cnn"]),
        "dataset": "digits",
    }
    assert (header["mean"], header["std"]) == (list(info.mean), list(info.std))
    assert header["training"]["epochs"] == 6
    rows = samples.rows("val")
    logits_NK = infer(module, torch.from_numpy(read_prepared(data).images_NCHW[rows]), Normalisation(info.mean, info.std))
    accuracy = (logits_NK.argmax(dim=1).numpy() == samples.label[rows]).mean()
    history = digits_networks.without_seconds(tmp_path / "training.csv")
    assert accuracy == pytest.approx(max(float(row["val_accuracy"]) for row in history))
    assert accuracy > 0.5


def test_same_arguments_same_bytes(data: Path, tmp_path: Path) -> None:
    first = digits_networks.switch(data, tmp_path / "a")
    assert first.read_bytes() == digits_networks.switch(data, tmp_path / "b").read_bytes()
    for name, other in (("seed", {"seed": 1}), ("name", {"name": "wide"})):
        changed, header = load_weights(digits_networks.switch(data, tmp_path / name, **other))
        assert header[{"seed": "seed", "name": "network"}[name]] == other[name]
        assert not torch.equal(changed.classifier.weight, load_weights(first)[0].classifier.weight)


def test_a_fold_is_left_out(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    train = loop.train
    monkeypatch.setattr(
        loop, "train", lambda module, train_set, *rest, **more: seen.append(train_set) or train(module, train_set, *rest, **more)
    )
    digits_networks.switch(data, tmp_path, fold=1, folds=3, training=training(epochs=1))
    samples, images_NCHW = read_prepared(data).samples, read_prepared(data).images_NCHW
    rows = samples.rows("train")
    kept = rows[fold_of(samples.label[rows], 3, derive_seed(0, "folds")) != 1]
    np.testing.assert_array_equal(seen[0].images_NCHW.numpy(), images_NCHW[kept])
    np.testing.assert_array_equal(seen[0].labels_N.numpy(), samples.label[kept])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_from_a_local_file_are_not_trained(data: Path, tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(3)
    module, path = build("small_cnn", 10, 1, 8, width=4, depth=2), tmp_path / f"mine{suffix}"
    own = {"architecture": "small_cnn", "settings": NETWORK.settings, "num_classes": 10, "channels": 1, "image_size": 8}
    if suffix == ".pt":
        torch.save(module.state_dict(), path)
    else:
        save_weights(path, module, own | {"mean": [0.25], "std": [0.5]})
    network = NetworkSection(architecture="small_cnn", settings=NETWORK.settings, weights=str(path))
    copied, header = load_weights(digits_networks.switch(data, tmp_path / "out", network=network))
    assert all(torch.equal(a, b) for a, b in zip(copied.state_dict().values(), module.state_dict().values(), strict=True))
    assert header["mean"] == ([0.25] if suffix == ".safetensors" else list(read_prepared(data).info.mean)), "travels with the weights"
    assert header["weights"] == str(path)
    assert (tmp_path / "out" / "training.csv").read_text().count("\n") == 1, "only the head line: nothing was trained"


def test_weights_that_do_not_fit(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(build("small_cnn", 10, 1, 8, width=5, depth=2).state_dict(), path)
    network = NetworkSection(architecture="small_cnn", settings=NETWORK.settings, weights=str(path))
    with pytest.raises(MetannError, match="does not fit small_cnn"):
        digits_networks.switch(data, tmp_path / "out", network=network)
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_a_failed_run_resumes_and_ends_alike(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = digits_networks.switch(data, tmp_path / "whole", training=training(epochs=3))
    epoch = loop.ClassifierTrainer.epoch
    calls = iter([epoch, epoch])  # then StopIteration
    monkeypatch.setattr(loop.ClassifierTrainer, "epoch", lambda *arguments: next(calls)(*arguments))
    with pytest.raises(StopIteration):
        digits_networks.switch(data, tmp_path / "killed", training=training(epochs=3))
    assert (tmp_path / "killed" / "checkpoint.pt").exists()
    monkeypatch.setattr(loop.ClassifierTrainer, "epoch", epoch)
    capsys.readouterr()
    resumed = digits_networks.switch(data, tmp_path / "killed", training=training(epochs=3))
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert resumed.read_bytes() == whole.read_bytes()
    assert digits_networks.without_seconds(resumed.parent / "training.csv") == digits_networks.without_seconds(
        whole.parent / "training.csv"
    )


@pytest.mark.slow
def test_by_hand(data: Path, tmp_path: Path) -> None:
    arguments = ["--name=switch", "--network.architecture=small_cnn", "--network.settings.width=4", "--network.settings.depth=2"]
    arguments += [
        "--training.epochs=1",
        "--training.no-flip",
        "--training.crop-padding=0",
        f"--data={data}",
        "--seed=0",
        f"--output={tmp_path}",
    ]
    metann("train-network", *arguments)
    header = read_header(tmp_path / "weights.safetensors")
    assert header["settings"] == {"width": 4, "depth": 2}
    assert json.dumps(header["training"]["flip"]) == "false"
    failed = metann("train-network", *arguments[:-2], "--seed=0", f"--output={tmp_path}", "--training.device=cuda", check=False)
    if not torch.cuda.is_available():
        assert failed.returncode == 2
        assert len(failed.stderr.splitlines()) == 1
