"""Bring your own photos: pictures run through the whole workflow by configuration alone, also with the networks of the large presets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, snakemake
from PIL import Image

pytestmark = pytest.mark.slow


def write_photos(root: Path, names: Sequence[str], smallest: int, largest: int) -> None:
    """Twenty noisy pictures of a colour for each name, of odd sizes."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(20):
            height, width = rng.integers(smallest, largest, 2)
            pixels = rng.integers(0, 60, (height, width, 3)) + np.eye(3, dtype=int)[c] * 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")


def test_three_classes_of_odd_sized_photos(tmp_path: Path) -> None:
    write_photos(tmp_path / "my photos", ["apple", "pear tree", "zebra's"], 9, 40)
    config = {
        "run": "photos",
        "data": {"name": "image_folder", "root": "my photos", "image_size": 16},
        "networks": {"switch": {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}},
        "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
        "mnn": {
            **{"controls": [], "dataset_thresholds": [0.2], "test_thresholds": [0, 0.5, 1], "switch_functions": ["all"]},
            **{"expert": {"epochs": 1, "batch_size": 8, "device": "cpu"}, "figures": ["mnn_heatmap"]},
        },
        "statistics": {"permutations": 50},
    }
    (tmp_path / "photos.yaml").write_text(yaml.safe_dump(config))
    snakemake("--cores", 2, "--configfile", "photos.yaml", cwd=tmp_path)
    results = pd.read_parquet(tmp_path / "results/photos/tables/mnn_results.parquet")
    assert set(results["n"]) == {12, 5}
    assert "zebra's" in (tmp_path / "results/photos/mnn.md").read_text()
    assert (tmp_path / "results/photos/figures/mnn_heatmap.png").stat().st_size > 5000


@pytest.mark.parametrize("preset", ["cifar10-gpu", "paper"])
def test_presets_for_a_gpu_on_a_cpu(tmp_path: Path, preset: str) -> None:
    """Everything as it stands in the preset, but for one seed, one epoch, one dataset threshold, and other images."""
    write_photos(tmp_path / "photos", ["red", "green", "blue"], 20, 40)
    config = yaml.safe_load((ROOT / f"presets/{preset}.yaml").read_text())
    config |= {"seeds": [0], "data": {"name": "image_folder", "root": "photos"}}
    for network in config["networks"].values():
        network.get("training", {}).pop("epochs", None)
    for section in (config["training"], config["mnn"]["expert"]):
        section |= {"epochs": 1, "device": "cpu"}
    config["mnn"] |= {"dataset_thresholds": [0.2], "figures": ["mnn_heatmap"]}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    snakemake("--cores", 2, "--configfile", "tiny.yaml", cwd=tmp_path)
    results = pd.read_parquet(tmp_path / f"results/{preset}/tables/mnn_results.parquet")
    assert set(results["seed"]) == {0}
    assert results.query("switch_function == 'threshold'")["test_threshold"].nunique() > 20
    assert "longer" in (tmp_path / f"results/{preset}/mnn.md").read_text()
    assert (tmp_path / f"results/{preset}/figures/mnn_heatmap.png").stat().st_size > 5000
