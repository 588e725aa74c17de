import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import make_run

from metann.figures._captions import caption
from metann.mnn.summary import verdict
from metann.registry import figures
from metann.report.text import interval, macs, markdown_table, p_value, percent, points, times


def summary_of(folder: Path, **tables: object) -> str:
    return (make_run(folder, **tables) / "mnn.md").read_text(encoding="utf-8")


def paragraph(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("**"))


def chosen(gains: list[float], half: float = 0.01, **columns: object) -> pd.DataFrame:
    gains_S = np.array(gains)
    table = pd.DataFrame({"gain": gains_S, "low": gains_S - half, "high": gains_S + half, "accuracy": 0.9 + gains_S})
    constant = {"n": 1000, "baseline_accuracy": 0.9, "mean_experts": 1.2, "mean_macs": 2.2e6, "baseline_macs": 1e6, "mcnemar_p": 0.04}
    return table.assign(**(constant | {"switch_function": "threshold"} | columns))


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ([0.02], "Evidence of a gain"),
        ([0.005], "No evidence of a gain"),
        ([-0.005], "No evidence of a gain"),
        ([-0.02], "Evidence of a loss"),
        ([0.010, 0.011, 0.012], "Evidence of a gain"),
        ([0.010, -0.011, 0.012], "No evidence of a gain"),
        ([-0.010, -0.011, -0.012], "Evidence of a loss"),
    ],
)
def test_verdict_follows_the_interval(gains: list[float], word: str) -> None:
    text = verdict(chosen(gains), 0.95)
    assert text.startswith(f"**{word} against the switch alone.**")
    assert "2.20 x the multiply-accumulates" in text
    assert points(np.mean(gains)) in text


def test_verdict_needs_the_exact_test_where_it_can_speak() -> None:
    assert verdict(chosen([0.02], mcnemar_p=0.06), 0.95).startswith("**No evidence of a gain against the switch alone.**")
    assert verdict(chosen([0.01] * 6), 0.95).startswith("**Evidence of a gain against the switch alone.**")
    assert verdict(chosen([0.01] * 6), 0.99).startswith("**Evidence of a gain against the switch alone.**")  # 6 seeds cannot reach 0.01
    assert verdict(chosen([*[0.1] * 7, -0.004]), 0.95).startswith("**Evidence of a gain against the switch alone.**")
    assert verdict(chosen([0.1, 0.11, 0.1, 0.11, 0.1, -0.01]), 0.95).startswith("**No evidence of a gain against the switch alone.**")


def test_verdict_over_seeds_says_what_the_test_can_say() -> None:
    assert "3 seeds, sign-flip p = 0.25, which cannot be below 0.25" in verdict(chosen([0.010, 0.011, 0.012]), 0.95)
    assert "which cannot be below 0.031" in verdict(chosen([0.010, 0.011, 0.012, 0.013, 0.01, 0.01]), 0.95)


def test_verdict_without_experts_or_macs() -> None:
    text = verdict(chosen([0.0], half=0.0, switch_function="none", mean_macs=np.nan, mean_experts=0.0), 0.95)
    assert "No evidence of a gain" in text
    assert "Validation preferred the switch without experts" in text
    assert "multiply-accumulates" not in text


def test_planted_gain_is_found(tmp_path: Path) -> None:
    text = summary_of(tmp_path, skill=1.0)
    assert paragraph(text).startswith("**Evidence of a gain against the switch alone.**")
    assert "No evidence" not in text
    gain = float(re.search(r"([+-]\d+\.\d+) points", text)[1])
    assert gain > 3


def test_null_experts_give_no_evidence_of_a_gain(tmp_path: Path) -> None:
    text = summary_of(tmp_path, skill=0.0, test=3000)
    assert paragraph(text).startswith(
        ("**No evidence of a gain against the switch alone.**", "**Evidence of a loss against the switch alone.**")
    )
    assert "**Evidence of a gain" not in text


def test_harmful_experts_are_not_asked(tmp_path: Path) -> None:
    text = summary_of(tmp_path, skill=-1.0)
    assert paragraph(text).startswith("**No evidence of a gain against the switch alone.**")


def test_summary_reads_from_verdict_to_words(tmp_path: Path) -> None:
    text = summary_of(tmp_path / "demo", skill=0.5, collect={"figures": ["mnn_heatmap", "mnn_cost"]})
    lines = text.splitlines()
    assert lines[0] == "# demo: does a meta neural network pay on synthetic?"
    assert lines[2].startswith("**")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## What was done"
    assert headings[-2:] == ["## Figures", "## Words"]
    assert "- [mnn_heatmap](figures/mnn_heatmap.png): Gain in test accuracy" in text
    assert "24 settings were tried on 300 validation images" in text
    assert "random prefix, same budget" in text
    assert "plain network `wide`" in text
    assert "oracle, any cost" in text
    assert "permutation p of the maximum" in text
    assert "exploratory" in text
    assert "nan" not in text.lower()
    assert str(tmp_path) not in text
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1, table


def test_several_seeds_have_a_mean_row(tmp_path: Path) -> None:
    text = summary_of(tmp_path, skill=1.0, seeds=(0, 1, 2), val=150, test=400)
    assert "| mean |" in text
    assert "Seeds: 0, 1, 2." in text
    assert "Student t" in text
    assert "(sum of 3 seeds)" in text


def test_untrained_experts_are_listed(tmp_path: Path) -> None:
    import json

    from synthetic import evaluate, expert_path, make_tables

    from metann.stages.collect_mnn import collect_mnn

    make_tables(tmp_path, dataset_thresholds=(0.1,))
    path = expert_path(tmp_path, 0, 0.1, 2) / "expert_set.json"
    empty = {"state": "empty", "size": 0, "positives": 0, "composition": [0] * 4}
    path.write_text(json.dumps(json.loads(path.read_text()) | empty))
    evaluation = evaluate(tmp_path, 0, 0.1)
    collect_mnn(evaluations=[evaluation], output=tmp_path, expert_sets=[tmp_path / "mnn"])
    assert "class 2 (empty, seed 0)" in (tmp_path / "mnn.md").read_text()
    collect_mnn(evaluations=[evaluation], output=tmp_path)
    text = (tmp_path / "mnn.md").read_text()
    assert "No description of the expert sets was given." in text
    assert "plain network" not in text


def test_numbers_as_text() -> None:
    assert percent(0.86412) == "86.41 %"
    assert [points(x) for x in (0.0012, -0.0012, 0.0, -0.00001, np.nan)] == ["+0.12", "-0.12", "+0.00", "+0.00", "unknown"]
    assert interval(-0.001, 0.003, 0.95) == "95 % interval -0.10 to +0.30"
    assert interval(np.nan, np.nan, 0.95) == "no interval"
    assert [p_value(p) for p in (0.0001, 0.0123, 0.5, np.nan)] == ["p < 0.001", "p = 0.012", "p = 0.50", ""]
    assert [macs(x) for x in (np.nan, 950, 1234567, 9.4e7, 2.5e9)] == ["unknown", "950", "1.23 M", "94 M", "2.5 G"]
    assert times(2.163) == "2.16 x"
    assert markdown_table(["a", "b"], [["x|y", "1"]]).splitlines()[2] == "| x\\|y | 1 |"


@pytest.mark.parametrize("name", figures())
def test_every_figure_has_a_caption_that_begins_with_a_sentence(name: str) -> None:
    text = caption(name)
    assert len(text) > 80
    assert text.endswith(".")
    assert "\n" not in text
