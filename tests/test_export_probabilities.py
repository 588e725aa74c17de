"""Stage export_probabilities on scikit-learn's digits."""

from pathlib import Path

import digits_networks
import numpy as np
import pytest
import torch
from digits_networks import training

from metann.cost.macs import count_macs
from metann.data.folds import fold_of
from metann.data.prepared import PreparedData, read_prepared
from metann.errors import MetannError
from metann.seeds import derive_seed
from metann.stages.export_probabilities import export_probabilities
from metann.tables.probabilities import read_probabilities
from metann.weights.files import load_weights, save_weights
from metann.workflow.provenance import stage_code


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_networks.prepared(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def folds(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("folds")
    return [
        digits_networks.switch(data, folder / f"fold_{fold}", fold=fold, folds=3, seed=5, training=training(epochs=1)) for fold in range(3)
    ]


def naive(prepared: PreparedData, weights: Path, rows: np.ndarray) -> np.ndarray:
    """Logits, image by image, with the normalisation of the weights written out."""
    module, header = load_weights(weights)
    mean, std = (np.array(header[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        return np.stack(
            [module(torch.from_numpy(((prepared.images_NCHW[row] / 255 - mean) / std)[None]).float())[0].double().numpy() for row in rows]
        )


def test_probabilities_of_every_image(data: Path, folds: list[Path], tmp_path: Path) -> None:
    weights, prepared = folds[0], read_prepared(data)
    export_probabilities(weights=[weights], data=data, output=tmp_path / "p.parquet", device="cpu")
    table = read_probabilities(tmp_path / "p.parquet")
    np.testing.assert_array_equal(table.sample_id, prepared.samples.sample_id)
    np.testing.assert_array_equal(table.label, prepared.samples.label)
    np.testing.assert_array_equal(table.split, prepared.samples.split)
    rows = np.arange(0, len(table), 97)
    logits_NK = naive(prepared, weights, rows)
    e_NK = np.exp(logits_NK)
    np.testing.assert_allclose(table.p_NK[rows], e_NK / e_NK.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.log(table.p_NK[rows]) + table.log_partition[rows, None], logits_NK, atol=1e-4)
    np.testing.assert_allclose(table.p_NK.sum(axis=1, dtype=np.float64), 1, atol=1e-6)


def test_the_table_says_what_it_is(data: Path, folds: list[Path], tmp_path: Path) -> None:
    export_probabilities(weights=folds[:1], data=data, output=tmp_path / "p.parquet", device="cpu")
    found, info = read_probabilities(tmp_path / "p.parquet").metadata, read_prepared(data).info
    module, header = load_weights(folds[0])
    assert found["macs"] == count_macs(module, 1, 8)
    assert found["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert found["normalisation"] == {"mean": header["mean"], "std": header["std"]}
    assert torch.__version__.startswith(found["versions"]["torch"])
    wanted = {"dataset": "digits", "digest": info.digest, "class_names": list(info.class_names), "network": "switch"}
    wanted |= {
        "seed": 5,
        "architecture": "small_cnn",
        "selection": "in_sample",
        "code": stage_code("export_probabilities", architectures=["small_cnn"]),
    }
    assert {key: found[key] for key in wanted} == wanted


def test_out_of_fold_every_image_by_the_network_that_has_not_seen_it(data: Path, folds: list[Path], tmp_path: Path) -> None:
    export_probabilities(weights=folds, data=data, output=tmp_path / "p.parquet", device="cpu", seed=5, out_of_fold=True)
    table, prepared = read_probabilities(tmp_path / "p.parquet"), read_prepared(data)
    rows = prepared.samples.rows("train")
    np.testing.assert_array_equal(table.sample_id, prepared.samples.sample_id[rows])
    assert set(table.split) == {"train"}
    assert table.metadata["selection"] == "out_of_fold"
    fold_N = fold_of(prepared.samples.label[rows], 3, derive_seed(5, "folds"))
    by_fold_FNK = np.stack([naive(prepared, path, rows[::29]) for path in folds])
    e_FNK = np.exp(by_fold_FNK)
    p_FNK = e_FNK / e_FNK.sum(axis=2, keepdims=True)
    mine_NK = p_FNK[fold_N[::29], np.arange(len(fold_N[::29]))]
    np.testing.assert_allclose(table.p_NK[::29], mine_NK, rtol=1e-4, atol=1e-7)
    others = np.abs(p_FNK - mine_NK).max(axis=(1, 2))
    assert others.min() > 1e-3, "the networks of the folds differ, so that this test can fail"


def test_errors(data: Path, folds: list[Path], tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="3 weight files given; one is needed, or --out-of-fold"):
        export_probabilities(weights=folds, data=data, output=tmp_path / "p.parquet")
    for wrong, seed in ((folds[::-1], 5), (folds[:2], 5), (folds, 6)):
        with pytest.raises(MetannError, match=r"was made for (fold|folds|seed) .* is asked for"):
            export_probabilities(weights=wrong, data=data, output=tmp_path / "p.parquet", seed=seed, out_of_fold=True)
    module, header = load_weights(folds[0])
    save_weights(tmp_path / "w.safetensors", module, header | {"class_names": [*header["class_names"][:-1], "ten"]})
    with pytest.raises(MetannError, match="class_names"):
        export_probabilities(weights=[tmp_path / "w.safetensors"], data=data, output=tmp_path / "p.parquet")
    with pytest.raises(MetannError, match=r"fold_0.weights.safetensors was made for fold 0 alone; use the weights of the whole network"):
        export_probabilities(weights=folds[:1], data=data, output=tmp_path / "p.parquet", network="switch", seed=5)
    save_weights(tmp_path / "w.safetensors", module, header | {"class": 3, "dataset_threshold": 0.1})
    with pytest.raises(MetannError, match="was made for class 3 alone; use the weights of the whole network"):
        export_probabilities(weights=[tmp_path / "w.safetensors"], data=data, output=tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()
