"""The real workflow of hypernetworks on digits: every table and figure, nothing trained twice, the same bytes again."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, metann, snakemake
from copied_results import adopted

from metann.tables.frames import read_frame

pytestmark = pytest.mark.slow
RUN = Path("results/hypernetwork-digits")


def configure(folder: Path, **changed: object) -> Path:
    """A run of seconds: one experiment, few steps."""
    config = yaml.safe_load((ROOT / "presets/hypernetwork-digits.yaml").read_text())
    section = config["hypernetwork"]
    section["experiments"] = {"E2b": section["experiments"]["E2b"]}
    section["training"] |= {"steps": 100, "block": 50}
    section["adaptation"] |= {"steps": 20}
    section |= {"arms": ["z_adapt", "zero_shot", "finetune_net"], "shots": [5], "figures": ["hypernetwork_shots"]}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config | {"hypernetwork": section | changed}))
    return path


def planned(folder: Path, **changed: object) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    text = snakemake("--dry-run", "hypernetwork", "--configfile", configure(folder, **changed), cwd=folder).stdout
    if "Nothing to be done" in text:
        return {}
    table = text[text.index("Job stats:") :].split("\n\n")[0]
    found = {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}
    return {rule: count for rule, count in found.items() if rule not in ("total", "hypernetwork")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hypernetwork")
    snakemake("--cores", 2, "hypernetwork", "--configfile", configure(folder), cwd=folder)
    return folder


def test_everything_is_there(finished: Path) -> None:
    run = finished / RUN
    page = (run / "hypernetwork.md").read_text()
    assert "Does moving only z match changing the whole network?" in page
    assert (run / "figures/hypernetwork_shots.png").stat().st_size > 10_000
    results = read_frame(run / "tables/hypernetwork_results.parquet", "hypernetwork_results")
    assert set(results["arm"]) == {"z_adapt", "zero_shot", "finetune_net"}
    assert planned(finished) == {}
    assert len(adopted(configure(finished), run)) > 6


def test_a_new_arm_or_number_of_shots_trains_nothing_again(finished: Path) -> None:
    evaluated = {"evaluate_hypernetwork": 1, "collect_hypernetwork": 1, "draw_figure": 1}
    arms = ["z_adapt", "zero_shot", "finetune_net", "scratch_net"]
    assert planned(finished, arms=arms) == evaluated | {"adapt_tasks": 1}
    assert planned(finished, shots=[5, 20]) == evaluated | {"adapt_tasks": 2}
    # A control that has to be trained is trained once, however many shots there are.
    assert planned(finished, arms=[*arms[:3], "pca_subspace"], shots=[5, 20]) == evaluated | {"train_generator": 1, "adapt_tasks": 4}
    more = {"mlp": {}, "wide": {"settings": {"hidden": 128}}}
    assert planned(finished, generators=more) == {
        "train_generator": 1,
        "describe_generator": 1,
        "adapt_tasks": 3,
        "evaluate_hypernetwork": 1,
        "collect_hypernetwork": 1,
        "draw_figure": 1,
    }


def test_the_same_bytes_again(finished: Path, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, str]:
        paths = [path for kind in ("parquet", "safetensors") for path in (folder / RUN / "hypernetwork").rglob(f"*.{kind}")]
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    shutil.copytree(finished / RUN / "data", tmp_path / RUN / "data")
    snakemake("--cores", 2, "hypernetwork", "--configfile", configure(tmp_path), cwd=tmp_path)
    assert content(tmp_path) == content(finished)
    assert len(content(finished)) > 20


def test_the_run_is_a_model(finished: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (8, 8), 100).save(tmp_path / "grey.png")
    said = metann("predict", finished / RUN, tmp_path / "grey.png").stdout
    assert "10 generated networks" in said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"experiments": {"E1": {"scheme": "anchor", "test": 9}}}, ["experiments.E1", "9 + 2 tasks"]),
        ({"arms": ["z_adpat"]}, ["z_adpat"]),
    ],
)
def test_bad_configurations_end_in_one_line(changed: dict, words: list[str], tmp_path: Path) -> None:
    done = snakemake("--dry-run", "hypernetwork", "--configfile", configure(tmp_path, **changed), cwd=tmp_path, check=False)
    assert done.returncode != 0
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("metann: error")]
    assert all(word in line for word in words)


def test_too_many_shots_end_before_any_training(tmp_path: Path) -> None:
    path = configure(tmp_path, shots=[5000])
    done = snakemake("--cores", 1, "hypernetwork", "--configfile", path, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert "5000 shots are more than the" in done.stdout + done.stderr
    assert not list((tmp_path / RUN).rglob("training.csv"))
