"""What was skipped, assumed or found strange stands in the log, in dataset.json or the table, and on the run's two pages."""

import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from digits_networks import NETWORK, training
from PIL import Image
from test_border_photos import fill, picture, said, settings

from metann import layout
from metann.config.network import NetworkSection
from metann.config.section import read_section
from metann.networks._build import build
from metann.report.notices import chance_notices, image_notices, network_notices
from metann.stages.collect_run import collect_run
from metann.stages.export_probabilities import export_probabilities
from metann.stages.import_probabilities import import_probabilities
from metann.stages.train_network import train_network
from metann.stages.write_page import write_page
from metann.tables.notices import is_chance
from metann.tables.samples import Probabilities

TABLE = f"{layout.NETWORK}/probabilities.parquet"


def strange(root: Path) -> Path:
    """Photos of which there is much to say: all kinds of notices at once."""
    fill(root / "Training", ("ant", "bee", "cat"))
    fill(root / "Testing", ("ant", "bee"), n=3)
    picture(root / "Training" / "lone" / "1.png")
    shutil.copy(root / "Training" / "ant" / "0.png", root / "Testing" / "ant" / "copy.png")
    shutil.copy(root / "Training" / "bee" / "0.png", root / "Training" / "cat" / "torn.png")
    values = np.arange(144, dtype=np.uint16).reshape(12, 12) * 28
    Image.fromarray(values).save(root / "Training" / "ant" / "deep.png")
    (root / "Training" / "ant" / "Thumbs.db").write_bytes(b"x")
    (root / "Training" / "bee" / "notes.txt").write_text("x")
    (root / "Training" / "bee" / "old.png.bak").write_bytes(b"x")
    (root / "Training" / "readme.md").write_text("x")
    return root


IMAGES = (
    "left out: files with suffix .txt",
    "left out: hidden or system files",
    "left out: backups or unfinished downloads",
    "left out: files beside the class folders",
    "folder 'Training' is the split train",
    "files of 16 bits use 12: white is 4095",
    "test images are equal to train images (such as Testing/ant/copy.png and Training/ant/0.png)",
    "images stand under two classes or more (1 different images, such as Training/bee/0.png and Training/cat/torn.png)",
    "test has no image of 2 of 4 classes (cat, lone)",
    "1 of 4 classes have a single image (lone)",
)


def pages(run: Path, **arguments: object) -> tuple[str, str]:
    """Both pages of a run of plain networks as text."""
    collect_run(run=run, networks=sorted(run.glob("networks/*/*/probabilities.parquet")), **arguments)
    write_page(run=run)
    index = unescape((run / "index.html").read_text())
    return index[index.index('<section id="skipped">') :], (run / "summary.md").read_text().replace("\\", "")


def test_all_of_photos_and_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the folder and a foreign state_dict to the pages, through the stages."""
    data, run = tmp_path / "run" / layout.DATA, tmp_path / "run"
    log, info = said(data, capsys, settings(strange(tmp_path / "photos")))
    torch.manual_seed(0)
    torch.save({"epoch": 3, "model": build("small_cnn", 4, 3, 8, width=4, depth=2).state_dict()}, tmp_path / "mine.pth")
    network = NETWORK.model_copy(update={"weights": str(tmp_path / "mine.pth")})
    for seed in (0, 1):
        folder = layout.place(run, layout.NETWORK, network="mine", seed=seed)
        train_network(name="mine", network=network, training=training(), data=data, seed=seed, output=folder)
        export_probabilities(weights=[folder / "weights.safetensors"], data=data, output=folder / "probabilities.parquet", device="cpu")
    logs = capsys.readouterr().out
    page, summary = pages(run)
    assert info["skipped"] == {
        "files beside the class folders": 1,
        "hidden or system files": 1,
        "backups or unfinished downloads": 1,
        "files with suffix .txt": 1,
    }
    for text in IMAGES:
        assert text.removeprefix("left out: ") in log, text
        assert text in page, text
        assert text in summary, text
    for text in ("saw pixel values normalised by the mean and std", "its classes are those of the data", "weights stand under 'model'"):
        assert text in logs, text
        assert page.count(text) == summary.count(text) == 1, text  # of both seeds at once
        assert "network mine, seeds 0, 1: " in page
    capsys.readouterr()
    pages(run)
    assert "WARNING: images: 1 left out: files with suffix .txt" in capsys.readouterr().out


def test_all_of_tables(tmp_path: Path) -> None:
    run, labels_N = tmp_path / "run", np.tile(1 + np.arange(4), 50)
    sure_NK = np.eye(5)[(labels_N + 1) % 5] * 60 + 8  # percent, of the wrong class
    np.save(tmp_path / "p.npy", sure_NK)
    np.save(tmp_path / "y.npy", labels_N)
    network = read_section(NetworkSection, {"probabilities": tmp_path / "p.npy", "labels": tmp_path / "y.npy", "val_rows": 80})
    import_probabilities(name="theirs", network=network, output=layout.place(run, TABLE, network="theirs", seed=0))
    right_NK = np.eye(5)[labels_N] * 0.9 + 0.02
    order_N = np.argsort(labels_N, kind="stable")
    np.save(tmp_path / "q.npy", np.round(right_NK[order_N], 2) + 0.001)
    np.save(tmp_path / "z.npy", labels_N[order_N])
    network = read_section(NetworkSection, {"probabilities": tmp_path / "q.npy", "labels": tmp_path / "z.npy", "val_rows": 80})
    import_probabilities(name="sorted", network=network, output=layout.place(run, TABLE, network="sorted", seed=0))
    page, summary = pages(run)
    for text in (
        "network theirs, no seed: values are percent; rows sum to 1",
        "network theirs, no seed: 1 of 5 columns are never a label (p_0)",
        "network theirs, no seed: test: accuracy 0.0000 on 120 images is chance (0.2000 for 5 classes); likely causes: another order",
        "network theirs, no seed: test has no image of 1 of 5 classes (c0)",
        "network sorted, no seed: rows sum to 1 within 0.005 and are rescaled",
        "network sorted, no seed: rows are sorted by class: the first 80 hold 2 of 4 classes",
    ):
        assert text in page, text
        assert text in summary, text


def test_nothing_to_say(tmp_path: Path) -> None:
    labels_N = np.arange(200) % 4
    np.save(tmp_path / "p.npy", np.eye(4)[labels_N].astype(np.float32))
    np.save(tmp_path / "y.npy", labels_N)
    network = read_section(NetworkSection, {"probabilities": tmp_path / "p.npy", "labels": tmp_path / "y.npy", "val_rows": 80, "macs": 5})
    import_probabilities(name="theirs", network=network, output=layout.place(tmp_path / "run", TABLE, network="theirs", seed=0))
    page, summary = pages(tmp_path / "run")
    assert "<p>Nothing.</p>" in page
    assert "## What was skipped or assumed\n\nNothing.\n" in summary


def test_hostile_names_in_notices() -> None:
    name = "<script>alert(1)</script> | [a](b) `x` $\\alpha$"
    notices = image_notices({f"files with suffix .{name}": 2}, [f"class {name} is alone"])
    assert notices == [f"images: 2 left out: files with suffix .{name}", f"images: class {name} is alone"]


def settings_of(family: str, accuracies: list[float], n: int = 400, role: str = "setting") -> pd.DataFrame:
    rows = [
        {"family": family, "setting": f"s{i}", "role": role, "seed": 0, "split": split, "n": n, "accuracy": value, "chosen": i == 0}
        for i, value in enumerate(accuracies)
        for split in ("val", "test")
    ]
    return pd.DataFrame(rows)


def test_families_at_chance() -> None:
    results = pd.concat([settings_of("mixture", [0.24, 0.9, 0.2]), settings_of("mnn", [0.8, 0.25]), settings_of("cascade", [0.9])])
    said = chance_notices(results, {"mixture": 4, "mnn": 4, "cascade": 4})
    assert len(said) == 2
    assert said[0].startswith(
        "mixture: 2 of 3 settings and seeds are at chance on test images (0.2500 for 4 classes), the chosen one among"
    )
    assert "such as s2, seed 0 with 0.2000; likely causes: too short a training" in said[0]
    assert said[1].startswith("mnn: 1 of 2 settings and seeds are at chance on test images (0.2500 for 4 classes), such as s1")
    bounds = settings_of("mnn", [0.1], role="bound")
    assert chance_notices(bounds, {"mnn": 4}) == []


@pytest.mark.parametrize(
    ("share", "n", "classes", "bad"),
    [
        (0.5, 10, 2, True),
        (0.51, 10, 2, False),
        (0.59, 100, 2, True),
        (0.61, 100, 2, False),
        (0.1, 10_000, 10, True),
        (0.107, 10_000, 10, False),
    ],
)
def test_chance_by_number_of_images(share: float, n: int, classes: int, bad: bool) -> None:
    assert is_chance(share, n, classes) == bad


def test_seeds_that_say_the_same() -> None:
    def table(seed: int | None, *sentences: str) -> Probabilities:
        return Probabilities(np.arange(1), np.array(["test"]), np.zeros(1, int), {"network": "a", "seed": seed, "notices": list(sentences)})

    assert network_notices([table(1, "x", "y"), table(0, "x")]) == ["network a, seeds 0, 1: x", "network a, seed 1: y"]
    assert network_notices([table(None, "x")]) == ["network a, no seed: x"]
