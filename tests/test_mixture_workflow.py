"""The real workflow of mixtures on digits: what trains again and what does not, one line for what cannot be, bytes that repeat."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, snakemake
from copied_results import adopted

from metann.tables.probabilities import read_gate

pytestmark = pytest.mark.slow
NETWORK = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}
DIGITS = {
    "run": "tiny",
    "seeds": [0, 1],
    "data": {"name": "digits"},
    "networks": {},
    "mixture": {
        "experts": {**NETWORK, "number": 3},
        "gate": NETWORK,
        "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01, "device": "cpu"},
        "settings": ["expectation", "top_2 + importance(0.2)"],
        "controls": ["one_expert", "same_active_macs"],
        "figures": ["mixture_methods"],
    },
}


def planned(folder: Path, config: dict, *arguments: object) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    (folder / "planned.yaml").write_text(yaml.safe_dump(config))  # beside that of a finished run, which other tests read
    text = snakemake("--dry-run", *arguments, "--configfile", folder / "planned.yaml", cwd=folder).stdout
    if "Nothing to be done" in text:
        return {}
    table = text[text.index("Job stats:") :].split("\n\n")[0]
    found = {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}
    return {rule: count for rule, count in found.items() if rule not in ("total", "all", "mixture")}


def with_mixture(**keys: object) -> dict:
    config = copy.deepcopy(DIGITS)
    config["mixture"] |= keys
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "config.yaml").write_text(yaml.safe_dump(DIGITS))
    snakemake("--cores", 2, "--configfile", folder / "config.yaml", cwd=folder)
    return folder


def test_files_of_a_run(finished: Path) -> None:
    run = finished / "results/tiny"
    for setting in ("expectation", "top_2_importance_0.2", "one_expert", "same_active_macs"):
        for seed in (0, 1):
            folder = run / f"mixture/seed_{seed}/{setting}"
            assert read_gate(folder / "gate.parquet").metadata["seed"] == seed
            assert (folder / "training.csv").is_file()
    same = read_gate(run / "mixture/seed_0/same_active_macs/gate.parquet")
    lean = read_gate(run / "mixture/seed_0/top_2_importance_0.2/gate.parquet")
    assert same.macs.mean() == pytest.approx(lean.macs.mean(), rel=0.35), "a width of this small network is coarse"
    page = (run / "mixture.md").read_text()
    assert "top_2_importance_0.2" in page
    assert (run / "figures/mixture_methods.png").is_file()
    assert (run / "summary.md").is_file()
    assert len(adopted(finished / "config.yaml", run)) > 16


def test_only_what_is_new_trains(finished: Path) -> None:
    assert planned(finished, DIGITS) == {}
    more_seeds = planned(finished, DIGITS | {"seeds": [0, 1, 2]})
    assert (more_seeds["train_mixture"], more_seeds["export_gate"]) == (4, 4)
    another = planned(finished, with_mixture(settings=[*DIGITS["mixture"]["settings"], "attentive"]))
    assert (another["train_mixture"], another["evaluate_mixture"]) == (2, 2)
    drawn = planned(finished, with_mixture(figures=["mixture_methods", "mixture_usage"]))
    assert "train_mixture" not in drawn
    assert "export_gate" not in drawn
    spelled = {"preset": "expectation", "name": "expectation", "loss": "nll_mix", "route": {"eval": "soft"}}
    assert planned(finished, with_mixture(settings=[spelled, "top_2 + importance(0.2)"])) == {}, "defaults that are written out"
    slower = with_mixture(training=DIGITS["mixture"]["training"] | {"epochs": 3})
    assert planned(finished, slower)["train_mixture"] == 8


def test_a_setting_that_starts_from_another_waits_for_it(tmp_path: Path) -> None:
    phase = {"train": ["gate"], "start_from": "attentive", "parts": ["experts", "gate_trunk"]}
    config = with_mixture(settings=["attentive", {"name": "taken", "preset": "expectation", "phases": [phase]}])
    jobs = planned(tmp_path, config, "results/tiny/mixture/seed_1/taken/weights.safetensors")
    assert jobs == {"prepare_data": 1, "train_mixture": 2}


def test_a_run_repeats_to_the_byte(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(DIGITS))
    wanted = "results/tiny/mixture/seed_0/top_2_importance_0.2/gate.parquet"
    snakemake(wanted, "--cores", 2, "--configfile", tmp_path / "config.yaml", cwd=tmp_path)
    for name in ("gate.parquet", "weights.safetensors"):
        path = Path(wanted).with_name(name)
        assert (tmp_path / path).read_bytes() == (finished / path).read_bytes()


@pytest.mark.parametrize(
    ("mixture", "text"),
    [
        ({"settings": ["top_9"]}, "unknown preset 'top_9'; known: "),
        ({"settings": [{"preset": "expectation", "gate": {"kind": "linear"}}]}, "unknown gate 'linear'"),
        ({"settings": [{"preset": "top_2", "route": {"train": "top_k(5)"}}]}, "asks 5 experts of 3"),
        ({"settings": [{"preset": "prechosen", "experts": {"class_sets": [[0], [1], [2]]}}]}, "class 3 is in no class set"),
        ({"settings": [{"preset": "expectation", "phases": [{"start_from": "gone"}]}]}, "unknown run"),
        (
            {"settings": [{"preset": "expectation", "similarity": {"space": "no"}, "regularisers": {"sample_similarity": 1}}]},
            "unknown network",
        ),
    ],
)
def test_what_cannot_be_is_said_before_any_job(tmp_path: Path, mixture: dict, text: str) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(with_mixture(**mixture)))
    done = snakemake("--dry-run", "--configfile", tmp_path / "config.yaml", cwd=tmp_path, check=False)
    assert done.returncode
    lines = [line for line in done.stderr.splitlines() if "metann: error" in line]
    assert len(lines) == 1
    assert text in lines[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["mixture-demo", "mixture-mnist", "mixture-cifar10", "mixture-cifar100"])
def test_presets_plan(tmp_path: Path, name: str) -> None:
    config = yaml.safe_load((ROOT / f"presets/{name}.yaml").read_text())
    jobs = planned(tmp_path, config)
    trained = len(config["mixture"]["settings"]) + len(config["mixture"]["controls"])
    assert jobs["train_mixture"] == jobs["export_gate"] == trained * len(config["seeds"])
