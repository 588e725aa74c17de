"""Bring your own photos: three classes of odd-sized pictures run through the whole workflow by configuration alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import snakemake
from PIL import Image

pytestmark = pytest.mark.slow


def test_three_classes_of_odd_sized_photos(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for c, name in enumerate(["apple", "pear tree", "zebra's"]):
        folder = tmp_path / "my photos" / name
        folder.mkdir(parents=True)
        for i in range(20):
            height, width = rng.integers(9, 40, 2)
            pixels = rng.integers(0, 60, (height, width, 3)) + np.eye(3, dtype=int)[c] * 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    config = {
        "run": "photos",
        "data": {"name": "image_folder", "root": "my photos", "image_size": 16},
        "networks": {"switch": {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}},
        "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
        "mnn": {"controls": [], "dataset_thresholds": [0.2], "test_thresholds": [0, 0.5, 1], "switch_functions": ["all"]},
        "expert": {"epochs": 1, "batch_size": 8, "device": "cpu"},
        "statistics": {"permutations": 50},
        "figures": ["heatmap"],
    }
    (tmp_path / "photos.yaml").write_text(yaml.safe_dump(config))
    snakemake("--cores", 2, "--configfile", "photos.yaml", cwd=tmp_path)
    results = pd.read_parquet(tmp_path / "results/photos/results.parquet")
    assert set(results["n"]) == {12, 5}
    assert "zebra's" in (tmp_path / "results/photos/summary.md").read_text()
    assert (tmp_path / "results/photos/figures/heatmap.png").stat().st_size > 5000
