"""The real workflow on scikit-learn's digits: what it makes, what runs again after a change, and what does not."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT, metann, snakemake
from copied_results import adopted

from metann.tables.probabilities import read_probabilities

pytestmark = pytest.mark.slow
COLUMNS = [
    *(
        "seed",
        "split",
        "switch_function",
        "parameter",
        "dataset_threshold",
        "test_threshold",
        "n",
        "correct",
        "accuracy",
        "baseline_correct",
    ),
    *("fixed", "broken", "mcnemar_p", "mean_experts", "mean_macs"),
]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the digits run done. Tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("checkout") / "metann project"  # a space in the path is no reason to fail
    folder.mkdir()
    for name in ("metann", "rules", "presets", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    snakemake("--snakefile", "Snakefile", "--cores", 2, "--configfile", "presets/digits.yaml", cwd=folder)
    return folder


def planned(folder: Path, *arguments: object) -> dict[str, int]:
    """Rule -> number of jobs of a dry run; the rules of one expert group count together."""
    text = snakemake("--snakefile", "Snakefile", "--dry-run", *arguments, cwd=folder).stdout
    counts: dict[str, int] = {}
    if "Nothing to be done" in text:
        return counts
    table = text[text.index("Job stats:") :].split("\n\n")[0]
    for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE):
        name = re.sub(r"_\d+$", "", rule)
        counts[name] = counts.get(name, 0) + int(count)
    counts.pop("total", None)
    counts.pop("all", None)
    return counts


def with_change(folder: Path, **changes: Any) -> dict[str, int]:
    """What a dry run plans when keys of presets/digits.yaml are changed; `section__key=value` goes one deeper."""
    config = yaml.safe_load((folder / "presets/digits.yaml").read_text())
    for name, value in changes.items():
        *sections, key = name.split("__")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    changed = folder / "changed.yaml"
    changed.write_text(yaml.safe_dump(config))
    try:
        return planned(folder, "--configfile", changed.name)
    finally:
        changed.unlink()


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


FIGURES = 8
TRAINING = {"prepare_data", "train_network", "export_probabilities", "train_expert"}


def test_what_others_wait_for_begins_first(project: Path) -> None:
    """The longest controls are counted from the experts of the lowest dataset threshold."""
    began: dict[str, set[float]] = {}
    for path in (project / ".snakemake/metadata").rglob("*"):
        record = json.loads(path.read_text()) if path.is_file() else {"rule": ""}
        if record["rule"].startswith("train_expert"):
            threshold = re.search(r"--dataset-threshold=(\S+)", record["shellcmd"])[1]
            began.setdefault(threshold, set()).add(record["starttime"])
    lowest, other = sorted(began)
    assert len(began[lowest]) == len(began[other]) > 1
    assert max(began[lowest]) < min(began[other])


def test_everything_is_there(project: Path) -> None:
    run = project / "results/digits"
    results = pd.read_parquet(run / "tables/mnn_results.parquet")
    assert list(results.columns) == COLUMNS
    assert len(results) == 2 * 2 * (6 + 3)  # splits x dataset thresholds x (test thresholds + switch functions)
    assert set(results["split"]) == {"val", "test"}
    assert (results["correct"] == results["baseline_correct"] + results["fixed"] - results["broken"]).all()
    test = read_probabilities(run / "networks/switch/seed_0/probabilities.parquet", "test")
    baseline = int((test.p_NK.argmax(axis=1) == test.label).sum())
    assert set(results.query("split == 'test'")["baseline_correct"]) == {baseline}
    assert "vidence of a" in (run / "mnn.md").read_text()
    assert "vidence of a" in (run / "summary.md").read_text()
    assert "**Paying: " in (run / "summary.md").read_text(), "the first screen says what pays"
    assert "**Paying: " not in (run / "index.html").read_text()
    assert "<strong>Paying: " in (run / "index.html").read_text().split("Accuracy against cost</h2>")[0]
    assert len(list((run / "figures").glob("*.png"))) == len(list((run / "figures").glob("*.svg"))) == FIGURES
    assert not list(run.rglob("checkpoint.pt"))
    assert not list(run.rglob(".*tmp*"))
    assert re.search(r": (\d+) done, of \1 jobs\n$", metann("status", "results/digits", cwd=project).stdout)
    assert len(adopted(project / "presets/digits.yaml", run)) > 40


def test_nothing_runs_twice(project: Path) -> None:
    assert planned(project, "--configfile", "presets/digits.yaml") == {}


@pytest.mark.parametrize(
    "change",
    [
        {"mnn__test_thresholds": ["0..1 step 0.25", 0.1, 0.15]},
        {"mnn__switch_functions": ["top_k(1)", "top_k(3)", "none", "all"]},
        {"mnn__combine": "replace"},
        {"mnn__temperature": "validation"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_new_way_to_evaluate_trains_nothing(project: Path, change: dict[str, Any]) -> None:
    assert with_change(project, **change) == {
        "evaluate_mnn": 2,
        "collect_mnn": 1,
        "collect_run": 1,
        "draw_figure": FIGURES,
        "write_page": 1,
    }


def test_fewer_thresholds_train_nothing(project: Path) -> None:
    assert not TRAINING & set(with_change(project, mnn__test_thresholds=[0, 1]))


def test_a_new_dataset_threshold_trains_its_own_experts(project: Path) -> None:
    jobs = with_change(project, mnn__dataset_thresholds=[0.05, 0.1, 0.2])
    assert jobs == {"train_expert": 2, "evaluate_mnn": 1, "collect_mnn": 1, "collect_run": 1, "draw_figure": FIGURES, "write_page": 1}


def test_a_new_seed_runs_its_own_chain(project: Path) -> None:
    jobs = with_change(project, seeds=[0, 1])
    assert jobs == {
        **{"train_network": 2, "export_probabilities": 2, "train_expert": 4},
        **{"evaluate_mnn": 2, "collect_mnn": 1, "collect_run": 1, "draw_figure": FIGURES, "write_page": 1},
    }


def test_a_new_network_leaves_the_others(project: Path) -> None:
    networks = yaml.safe_load((project / "presets/digits.yaml").read_text())["networks"]
    networks["third"] = {"architecture": "small_cnn", "settings": {"width": 5, "depth": 1}}
    jobs = with_change(project, networks=networks, mnn__controls=["wide", "third"])
    assert jobs == {
        "train_network": 1,
        "export_probabilities": 1,
        "collect_mnn": 1,
        "collect_run": 1,
        "draw_figure": FIGURES,
        "write_page": 1,
    }


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"mnn__classes_per_job": 2}, set()),
        ({"statistics__confidence": 0.9}, {"collect_mnn", "collect_run", "draw_figure", "write_page"}),
        ({"mnn__expert__epochs": 2}, {"train_expert", "evaluate_mnn", "collect_mnn", "collect_run", "draw_figure", "write_page"}),
        ({"mnn__figures": ["mnn_heatmap"]}, {"collect_mnn", "collect_run", "draw_figure", "write_page"}),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
def test_a_changed_key_runs_its_own_rules(project: Path, change: dict[str, Any], rules: set[str]) -> None:
    assert set(with_change(project, **change)) == rules


def test_changed_code_in_mnn_evaluates_again_and_trains_nothing(project: Path) -> None:
    with edited(project / "metann/mnn/combination.py", "ZERO_LOG = -1e4", "ZERO_LOG = -2e4"):
        jobs = planned(project, "--configfile", "presets/digits.yaml")
    assert jobs == {"evaluate_mnn": 2, "collect_mnn": 1, "collect_run": 1, "draw_figure": FIGURES, "write_page": 1}


@pytest.mark.parametrize("path", ["metann/mnn/combination.py", "metann/training/classifier.py", "metann/stages/train_expert.py"])
def test_a_changed_comment_runs_nothing(project: Path, path: str) -> None:
    with edited(project / path, '"""', '# A reason.\n"""Another docstring. '):
        assert planned(project, "--configfile", "presets/digits.yaml") == {}


def test_changed_code_in_training_runs_everything_after_it(project: Path) -> None:
    with edited(project / "metann/compute/inference.py", "INFERENCE_BATCH = 500", "INFERENCE_BATCH = 400"):
        jobs = planned(project, "--configfile", "presets/digits.yaml")
    assert set(jobs) == {
        "train_network",
        "export_probabilities",
        "train_expert",
        "evaluate_mnn",
        "collect_mnn",
        "collect_run",
        "draw_figure",
        "write_page",
    }


def test_changed_code_of_one_figure_draws_it_alone(project: Path) -> None:
    with edited(project / "metann/figures/mnn_heatmap.py", "import", "UNUSED = 1\nimport"):
        assert planned(project, "--configfile", "presets/digits.yaml") == {"draw_figure": 1, "write_page": 1}


def test_a_changed_caption_draws_and_writes_the_page(project: Path) -> None:
    with edited(project / "metann/figures/pareto.py", "Test accuracy against", "The test accuracy against"):
        assert planned(project, "--configfile", "presets/digits.yaml") == {"draw_figure": 1, "write_page": 1}


def test_a_changed_style_writes_the_page_alone(project: Path) -> None:
    with edited(project / "metann/report/_template.py", "--accent: #0060a8", "--accent: #0060a9"):
        assert planned(project, "--configfile", "presets/digits.yaml") == {"write_page": 1}


def test_milliseconds_are_measured_where_they_are_asked_for(project: Path) -> None:
    assert with_change(project, latency={}) == {"measure_latency": 1, "draw_figure": 1, "write_page": 1}


def test_a_new_family_leaves_the_others(project: Path) -> None:
    """Its own jobs, the table over families, their picture and the page."""
    jobs = with_change(project, cascade={})
    own = {"search_cascade", "choose_cascade", "replay_memory", "run_cascade", "collect_cascade"}
    assert set(jobs) == {*own, "collect_run", "draw_figure", "write_page"}
    assert jobs["draw_figure"] == 4 + 1


def test_the_last_line_says_where_the_page_is(project: Path) -> None:
    again = ("--configfile", "presets/digits.yaml", "--forcerun", "write_page")
    said = snakemake("--snakefile", "Snakefile", "--cores", 1, *again, cwd=project).stderr
    assert said.strip().splitlines()[-1] == "Look at results/digits/index.html"
    assert (project / "results/digits/index.html").stat().st_size < 3_000_000


def test_the_papers_run_is_110_experts_a_seed(project: Path) -> None:
    paper = yaml.safe_load((project / "presets/paper.yaml").read_text())
    jobs = planned(project, "--configfile", "presets/paper.yaml")
    assert jobs["train_expert"] == 110 * len(paper["seeds"])
    assert jobs["evaluate_mnn"] == 11 * len(paper["seeds"])


def test_out_of_fold_is_a_rule_of_its_own(project: Path) -> None:
    jobs = with_change(project, mnn__probabilities="out_of_fold", mnn__folds=3)
    assert jobs["train_fold"] == 3
    assert jobs["export_out_of_fold"] == 1
    assert "train_network" not in jobs


def test_report_is_one_file(project: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    snakemake("--snakefile", "Snakefile", "--configfile", "presets/digits.yaml", "--report", report, cwd=project)
    text = report.read_text()
    assert "heatmap" in text
    assert "summary" in text
    # Snakemake shows categories by the alphabet, and the page is in the first.
    assert "All on one page" in text
    assert min("All on one page", "Figures", "Results") == "All on one page"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config", "rnu=demo"], "unknown key 'rnu'"),
        (["--config", "run=../x"], "run"),
        (["--config", "run=x; touch hacked"], "run"),
    ],
)
def test_a_bad_configuration_is_one_line_before_any_job(project: Path, arguments: list[str], says: str) -> None:
    done = snakemake("--snakefile", "Snakefile", "--cores", 1, *arguments, cwd=project, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    *announcement, line = done.stderr.strip().splitlines()  # Snakemake itself says first that it takes --config
    assert len(announcement) <= 1
    assert line.startswith("metann: error: config: ")
    assert says in line
    assert not (project / "hacked").exists()
