"""Which jobs the options of the meta neural network plan, by dry run."""

import re
from pathlib import Path

import pytest
import yaml
from conftest import snakemake

NETWORK = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}
PLAIN = {"epochs": 1, "crop_padding": 0, "flip": False, "device": "cpu"}


def planned(folder: Path, **mnn: object) -> tuple[dict[str, int], str]:
    """(rule -> how many jobs, what Snakemake says, with the commands)."""
    expert = PLAIN | mnn.pop("expert", {})
    config = {"run": "r", "data": {"name": "digits"}, "networks": dict.fromkeys(("switch", "second", "longer"), NETWORK), "training": PLAIN}
    config["mnn"] = {"controls": [], "dataset_thresholds": [0.05, 0.2], "figures": [], "expert": expert} | mnn
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    text = snakemake("--dry-run", "--printshellcmds", "--configfile", folder / "run.yaml", cwd=folder).stdout
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", text, re.MULTILINE)}, text


def test_controls_and_tails_are_planned(tmp_path: Path) -> None:
    jobs, text = planned(tmp_path, second="second", longer="longer", generic=True, expert={"tail": 1, "body": "second"})
    assert {name: jobs[name] for name in ("train_network", "train_longer", "train_generic", "count_training")} == {
        "train_network": 2,  # switch and second
        "train_longer": 1,
        "train_generic": 1,
        "count_training": 1,  # of the lowest dataset threshold alone: a higher one more trains no control again
    }
    assert jobs["train_expert"] == 2, "all tails of a dataset threshold in one job"
    assert jobs["evaluate_mnn"] == 2
    commands = [line for line in text.splitlines() if "metann train-expert" in line]
    assert all("--body=results/r/networks/second/seed_0/weights.safetensors" in line for line in commands)
    assert [line.count("--generic=") for line in sorted(commands)].count(1) == 1, "one expert for all classes, as long as all"


def test_without_options_nothing_is_planned_for_them(tmp_path: Path) -> None:
    jobs, text = planned(tmp_path)
    assert not {"train_longer", "train_generic", "count_training"} & set(jobs)
    assert "--body" not in text
    assert "--generic" not in text
    assert jobs["train_network"] == 3, "what the configuration names is trained"
    assert sum(count for rule, count in jobs.items() if rule.startswith("train_expert")) == 4, "five classes to a job"


@pytest.mark.parametrize("given", [{"expert": {"tail": 3}}, {"second": "nobody"}])
def test_what_cannot_be_is_one_line_before_any_training(tmp_path: Path, given: dict) -> None:
    with pytest.raises(AssertionError, match=r"metann: error: config: (mnn.expert.tail 3|unknown network \(in mnn.second\))"):
        planned(tmp_path, **given)
