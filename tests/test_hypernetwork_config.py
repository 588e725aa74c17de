"""The section of hypernetworks: what is refused, what arms need, and what a change makes anew (by dry runs)."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from metann.config.hypernetwork import HypernetworkSection
from metann.config.run import Config
from metann.config.section import flags, read_section
from metann.errors import MetannError


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"arms": ["z_adpat"]}, ["hypernetwork.arms", "z_adpat", "z_adapt", "metann/hypernetwork/arms.py"]),
        ({"arms": ["z_adapt", "z_adapt"]}, ["repeat"]),
        ({"shots": [5, 5]}, ["repeat"]),
        ({"shots": [0]}, ["hypernetwork.shots.0"]),
        ({"experiments": {"E1": {"scheme": "mirrow"}}}, ["experiments.E1", "mirrow", "all_pairs"]),
        ({"experiments": {"E1": {"held_out": "half"}}}, ["half", "pairs"]),
        ({"experiments": {"E1": {"options": {"pairing": "offset"}}}}, ["pairing", "anchor"]),
        ({"generators": {"a": {"kind": "afine"}}}, ["generators.a", "afine", "affine"]),
        ({"generators": {"a": {"bound": "relu"}}}, ["relu", "scaled_tanh"]),
        ({"generators": {"a": {"settings": {"rank": 3}}}}, ["rank", "hidden"]),
        ({"generators": {"a": {"settings": {"hidden": "many"}}}}, ["hidden", "many", "int"]),
        ({"classifier": {"name": "smal"}}, ["smal", "published"]),
        ({"training": {"steps": 100, "block": 30}}, ["100", "30"]),
        ({"training": {"batch_size": 5}}, ["batch_size", "5"]),
        ({"experiments": {"a": {}, "a_b": {}}, "generators": {"b_c": {}, "c": {}}}, ["one name"]),
        ({"arms": ["general_net"], "generators": {"general": {"kind": "mlp"}}}, ["general_net", "'general'", "rename"]),
        ({"figures": ["hypernetwork_shotz"]}, ["hypernetwork_shotz", "hypernetwork_shots"]),
    ],
)
def test_bad_values_are_refused_in_one_line(section: dict, words: list[str]) -> None:
    with pytest.raises(MetannError) as error:
        read_section(Config, {"hypernetwork": section})
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_controls_are_trained_where_an_arm_needs_them() -> None:
    plain = HypernetworkSection(arms=("z_adapt", "zero_shot"), shots=(1, 5))
    assert list(plain.trained) == ["mlp"]
    assert plain.adaptations() == [("z_adapt", 1), ("z_adapt", 5), ("zero_shot", 0)]
    more = HypernetworkSection(arms=("pca_subspace", "general_net"))
    assert {name: section.kind for name, section in more.trained.items()} == {"mlp": "mlp", "separate": "separate", "general": "general"}


def test_flags_give_the_section_back() -> None:
    section = HypernetworkSection.model_validate({"experiments": {"E": {"scheme": "all_pairs", "options": {"mirrored": False}}}})
    assert "--experiment.options.mirrored=False" in flags("experiment", section.experiments["E"])


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("hypernetwork-*.yaml")), ids=lambda path: path.stem)
def test_presets_are_whole(path: Path) -> None:
    run = read_section(Config, yaml.safe_load(path.read_text()))
    assert run.families == ("hypernetwork",)
    assert run.run == path.stem


def jobs(folder: Path, **changed: object) -> dict[str, int]:
    """Rule -> number of jobs that a dry run would start, and why nothing else."""
    config = yaml.safe_load((ROOT / "presets/hypernetwork-digits.yaml").read_text())
    config["hypernetwork"] |= changed
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "hypernetwork", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "run.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith("Job stats:")), None)
    if begin is None:
        return {}
    rows = [line.split() for line in lines[begin + 3 :]]
    return {row[0]: int(row[1]) for row in rows[: next(i for i, row in enumerate(rows) if not row)]}


def test_the_jobs_of_a_run(tmp_path: Path) -> None:
    found = jobs(tmp_path)
    # Two experiments; the generator, and the network for all tasks that general_net needs. Two arms with one number of shots, two without.
    assert found["train_generator"] == 4
    assert found["adapt_tasks"] == 8
    assert found["describe_generator"] == found["evaluate_hypernetwork"] == 2
    assert jobs(tmp_path, shots=[5, 10, 20])["adapt_tasks"] == 2 * (2 * 3 + 2)
    assert jobs(tmp_path, shots=[5, 10, 20])["train_generator"] == 4
    assert jobs(tmp_path, arms=["zero_shot", "z_adapt", "finetune_net", "general_net", "pca_subspace"])["train_generator"] == 6
