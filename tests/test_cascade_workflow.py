"""The real workflow of cascades: published tables, and networks trained on digits."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, snakemake
from copied_results import adopted
from PIL import Image

from metann.files.text import read_json
from metann.tables.frames import read_frame

pytestmark = pytest.mark.slow
FIGURES = ("cascade_thresholds", "cascade_cost", "cascade_complementarity", "cascade_memory")
DIGITS = {
    "run": "tiny",
    "seeds": [0, 1],
    "data": {"name": "digits"},
    "networks": {
        "small": {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}},
        "large": {"architecture": "small_cnn", "settings": {"width": 8, "depth": 2}},
    },
    "training": {"epochs": 3, "batch_size": 32, "crop_padding": 0, "flip": False, "device": "cpu"},
    "cascade": {
        "chains": [{"networks": ["small", "large"], "thresholds": [0.5], "score": "entropy", "postcheck": True}],
        "batch_size": 20,
        "memory": {"key": "invariants", "capacity": 300},
        "workload": {"duplicates": 0.5, "rotations": 0.5},
    },
}


def planned(folder: Path, *arguments: object) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    text = snakemake("--dry-run", *arguments, cwd=folder).stdout
    if "Nothing to be done" in text:
        return {}
    table = text[text.index("Job stats:") :].split("\n\n")[0]
    return {
        rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE) if rule not in ("total", "all", "cascade")
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """A folder beside the shared data in which the preset of published tables was run."""
    folder = tmp_path_factory.mktemp("beside") / "checkout"
    folder.mkdir()
    (folder.parent / "shared").symlink_to(shared)
    done = snakemake("--cores", 2, "cascade", "--configfile", ROOT / "presets/cascade-cifar10-tables.yaml", cwd=folder)
    assert done.stderr.strip().splitlines()[-1] == "Look at results/cascade-cifar10-tables/cascade.md"  # a family alone makes no index.html
    return folder


def test_published_tables_give_the_published_numbers(tables: Path) -> None:
    run = tables / "results/cascade-cifar10-tables"
    frame = read_frame(run / "tables/cascade_in_sample.parquet", "cascade_in_sample")
    mine = frame.query("first == 'mobilenet_v2' and second == 'vgg19_bn' and search == 'grid'").set_index(["score", "postcheck"])
    for score, postcheck, index, correct, sent in [
        ("max_probability", False, 1843, 9311, 2146),
        ("max_probability", True, 1952, 9352, 6953),
        ("difference", False, 1736, 9316, 1904),
        ("difference", True, 1915, 9349, 4540),
        ("entropy", False, 360, 9309, 2197),
        ("entropy", True, 142, 9343, 6861),
        ("oracle", False, 1, 9596, 1064),
    ]:
        row = mine.loc[(score, postcheck)]
        assert (row["grid_index"], row["correct"], row["sent"], row["n"]) == (index, correct, sent, 10_000)
    results = read_frame(run / "tables/cascade_results.parquet", "cascade_results")
    held_out = results.query("first == 'mobilenet_v2' and second == 'vgg19_bn' and score == 'difference' and search == 'grid'")
    for postcheck, threshold, accuracy, use in [(False, 0.8824, 93.38, 19.9), (True, 0.9580, 93.82, 45.9)]:
        row = held_out[(held_out["objective"] == "accuracy") & (held_out["postcheck"] == postcheck)].iloc[0]
        assert (round(row["threshold"], 4), round(100 * row["accuracy"], 2), round(100 * row["use"], 1)) == (threshold, accuracy, use)
    matrix = read_frame(run / "tables/cascade_complementarity.parquet", "cascade_complementarity").query("images == 'val+test'")
    for first, second, one, balanced in [
        ("mobilenet_v2", "vgg19_bn", 0.0984, 0.0648),
        ("resnet18", "resnet34", 0.0657, 0.0654),
        ("vgg11_bn", "googlenet", 0.0945, 0.0864),
    ]:
        values = matrix[(matrix["first"] == first) & (matrix["second"] == second)].set_index("form")["value"].round(4)
        assert (values["exactly_one_right"], values["balanced_one_right"]) == (one, balanced)


def test_published_tables_give_a_summary_and_figures(tables: Path) -> None:
    run = tables / "results/cascade-cifar10-tables"
    text = (run / "cascade.md").read_text()
    assert text.startswith("# Cascades of cascade-cifar10-tables\n\n**Use ")
    assert "| mobilenet_v2 > vgg19_bn | 1843, 9311, 2146 | 1952, 9352, 6953 | 1736, 9316, 1904 | 1915, 9349, 4540 |" in text
    for figure in FIGURES:
        assert (run / f"figures/{figure}.png").stat().st_size > 10_000
        assert f"figures/{figure}.png" in text
    assert planned(tables, "cascade", "--configfile", ROOT / "presets/cascade-cifar10-tables.yaml") == {}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of two networks on digits, really trained and run."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(DIGITS))
    snakemake("--cores", 2, "--configfile", "tiny.yaml", cwd=folder)
    return folder


def test_trained_networks_are_really_run(digits: Path) -> None:
    run = digits / "results/tiny"
    choice = read_frame(run / "tables/cascade_choice.parquet", "cascade_choice")
    assert list(choice["seed"]) == [0, 1]
    for row in choice.itertuples():
        report = read_json(run / f"cascade/seed_{row.seed}/run/report.json")
        assert report["networks"] == [row.first, row.second]
        assert report["thresholds"] == [row.threshold]
        assert report["disagreements"] == 0
        assert report["memory"]["capacity"] == 300
        record = read_frame(run / f"cascade/seed_{row.seed}/run/record.parquet", "cascade_record")
        assert len(record) == report["images"] == row.n + round(row.n / 2)
    memory = read_frame(run / "tables/cascade_memory.parquet", "cascade_memory")
    assert set(memory["key"]) == {"ideal", "dhash", "invariants"}
    chains = pd.read_parquet(run / "tables/cascade_chains.parquet")
    assert list(chains["thresholds"]) == ["0.5", "0.5"]
    text = (run / "cascade.md").read_text()
    assert "mean of 2 seeds" in text
    assert "The chosen cascade, run" in text
    assert len(adopted(digits / "tiny.yaml", run)) > 10


def test_what_runs_again(digits: Path) -> None:
    def change(**cascade: object) -> dict[str, int]:
        (digits / "changed.yaml").write_text(yaml.safe_dump(DIGITS | {"cascade": DIGITS["cascade"] | cascade}))
        return planned(digits, "--configfile", "changed.yaml")

    assert planned(digits, "--configfile", "tiny.yaml") == {}
    assert set(change(memory={"key": "dhash"})) == {
        "replay_memory",
        "run_cascade",
        "collect_cascade",
        "collect_run",
        "draw_figure",
        "write_page",
    }
    assert set(change(batch_size=1)) == {"run_cascade", "collect_cascade", "collect_run", "draw_figure", "write_page"}
    again = set(change(objective="target_accuracy"))
    assert "choose_cascade" in again
    assert not again & {"search_cascade", "train_network", "export_probabilities"}
    assert not set(change(scores=["entropy"])) & {"train_network", "export_probabilities", "prepare_data"}


def test_imagenet_is_planned(tmp_path: Path) -> None:
    shutil.copy(ROOT / "presets/cascade-imagenet.yaml", tmp_path / "preset.yaml")
    for folder in ("n01440764", "n01443537"):
        (tmp_path / "imagenet/val" / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "imagenet/val" / folder / "a.png")
    plan = planned(tmp_path, "cascade", "--configfile", "preset.yaml")
    assert plan["train_network"] == plan["export_probabilities"] == 6
    assert plan["run_cascade"] == 1


def test_a_bad_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(DIGITS | {"cascade": {"scores": ["margn"]}}))
    done = snakemake("--dry-run", "--configfile", "bad.yaml", cwd=tmp_path, check=False)
    assert done.returncode
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "metann: error" in line]
    assert len(lines) == 1
    assert "unknown score function 'margn'" in lines[0]
