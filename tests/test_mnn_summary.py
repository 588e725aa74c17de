import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import make_run

from metann.figures._captions import caption
from metann.mnn.opinions import chosen_bound, opinion_at
from metann.mnn.summary import answer
from metann.mnn.summary_tables import controls_section
from metann.mnn.verdicts import paying, specialisation
from metann.registry import figures
from metann.report.text import interval, macs, markdown_table, p_value, percent, points, times
from metann.stages.collect_mnn import collect_mnn
from metann.statistics.verdict import verdict_of_counts
from metann.tables.frames import read_frame
from metann.tables.probabilities import read_probabilities


def summary_of(folder: Path, **tables: object) -> str:
    return (make_run(folder, **tables) / "mnn.md").read_text(encoding="utf-8")


def paragraph(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("**"))


def chosen(nets: list[int], changed: int = 60, **columns: object) -> pd.DataFrame:
    """Rows of a choice: of 10,000 test images `changed` more are fixed than broken or the reverse, by `nets`, one for each seed."""
    nets_S = np.array(nets)
    fixed_S, broken_S = np.maximum(nets_S, 0) + changed, np.maximum(-nets_S, 0) + changed
    table = pd.DataFrame({"fixed": fixed_S, "broken": broken_S, "accuracy": 0.9 + nets_S / 10_000})
    constant = {"n": 10_000, "baseline_accuracy": 0.9, "mean_experts": 1.2, "mean_macs": 2.2e6, "baseline_macs": 1e6}
    return table.assign(**(constant | {"switch_function": "threshold"} | columns))


@pytest.mark.parametrize(
    ("nets", "word"),
    [
        ([50], "Evidence of a gain"),
        ([5], "No evidence of a gain"),
        ([-5], "No evidence of a gain"),
        ([-50], "Evidence of a loss"),
        ([50, 55, 60], "Evidence of a gain"),
        ([50, -55, 60], "No evidence of a gain"),
        ([-50, -55, -60], "Evidence of a loss"),
        ([40, 50, 60, 50, 40, -1], "No evidence of a gain"),
    ],
)
def test_the_first_paragraph_begins_with_the_verdict(nets: list[int], word: str) -> None:
    rows = chosen(nets)
    text = answer(rows, 0.95)
    assert text.startswith(f"**{word} against the switch alone.**")
    assert verdict_of_counts(rows["n"], rows["fixed"], rows["broken"]).numbers in text
    assert "2.20 x the multiply-accumulates" in text
    assert f"{points(np.mean(nets) / 10_000)} points" in text
    assert "of 10,000 test images rightly and its switch alone 90.00 %" in text


def test_the_first_paragraph_without_experts_or_macs() -> None:
    text = answer(chosen([0], changed=0, switch_function="none", mean_macs=np.nan, mean_experts=0.0), 0.95)
    assert "No evidence of a gain" in text
    assert "Validation preferred the switch without experts" in text
    assert "multiply-accumulates" not in text


def control(kind: str, **columns: object) -> pd.DataFrame:
    constant = {"control": "it", "kind": kind, "n": 10_000, "accuracy": 0.9, "mean_experts": 1.2, "mean_macs": 1e6}
    unknown = dict.fromkeys(("gain", "low", "high", "fixed", "broken", "mcnemar_p"), np.nan)
    return pd.DataFrame([constant | unknown | columns])


def test_a_plain_network_is_judged_by_the_same_rule() -> None:
    """Five images that change leave 0 out of the normal interval (which was all that was asked once), and not of the exact test."""
    for fixed, broken, word in ((5, 0, "not distinguishable from"), (80, 20, "better than"), (20, 80, "worse than")):
        text = paying(control("network", fixed=float(fixed), broken=float(broken)), 0.95, None)
        assert f"the meta network is {word} it, {verdict_of_counts(10_000, fixed, broken).numbers}." in text


@pytest.mark.parametrize(
    ("gain", "half", "word"),
    [
        (0.01, 0.005, "more"),
        (-0.01, 0.005, "less"),
        (0.01, 0.02, "neither"),
        (1e-14, 0.0, "neither"),  # equal lengths everywhere: dealing changes nothing, and the last bit is rounding
    ],
)
def test_the_random_prefix_is_judged_by_the_same_rule(gain: float, half: float, word: str) -> None:
    rows = control("chance", gain=gain, low=gain - half, high=gain + half)
    text = controls_section(rows, chosen([50]), 0.95)
    assert f"is worth {word}" in text


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
    assert "plain network `" not in text
    assert "**Paying:" not in text
    assert "**Specialisation:" not in text


@pytest.mark.parametrize(
    ("second", "generic", "head"),
    [
        ((60, 10), (60, 10), "**Specialisation: yes.**"),
        ((60, 10), (12, 10), "**Specialisation: not shown.**"),
        ((60, 10), (10, 60), "**Specialisation: no.**"),
    ],
)
def test_specialisation_is_a_gain_over_every_second_opinion(second: tuple[int, int], generic: tuple[int, int], head: str) -> None:
    rows = [
        control(kind, control=kind, fixed=float(fixed), broken=float(broken), bound=bound)
        for kind, (fixed, broken), bound in (("second", second, 0.85), ("generic", generic, 0.0))
    ]
    text = specialisation(pd.concat(rows), 0.95)
    assert text.startswith(head)
    assert verdict_of_counts(10_000, *second).numbers in text
    assert "asked where the switch's top probability is below 0.85" in text
    assert "never asked" in text
    assert specialisation(control("network", fixed=1.0, broken=1.0), 0.95) == ""


@pytest.mark.parametrize(("wide", "head"), [((60, 10), "yes"), ((10, 60), "no"), ((11, 10), "not shown")])
def test_paying_is_a_gain_over_every_plain_network(wide: tuple[int, int], head: str) -> None:
    counts = {"longer": (70, 10), "wide": wide}
    rows = [control("network", control=name, fixed=float(fixed), broken=float(broken)) for name, (fixed, broken) in counts.items()]
    text = paying(pd.concat(rows), 0.95, "longer")
    assert text.startswith(f"**Paying: {head}.**")
    assert "`longer` (a plain network trained as long as switch and experts together)" in text
    assert "`wide` (a plain network)" in text


def test_the_page_says_specialisation_before_paying(tmp_path: Path) -> None:
    make_run(tmp_path, skill=1.0)
    evaluations = sorted(tmp_path.glob("mnn/seed_0/*/evaluation"))
    network = tmp_path / "networks/wide/seed_0/probabilities.parquet"
    collect_mnn(evaluations=evaluations, output=tmp_path, controls=[network], opinions=[network], longer="wide")
    text = (tmp_path / "mnn.md").read_text()
    assert text.index("against the switch alone.**") < text.index("**Specialisation: ") < text.index("**Paying: ")
    controls = read_frame(tmp_path / "tables/mnn_controls.parquet", "mnn_controls").set_index("kind")
    second, table = controls.loc["second"], read_probabilities(network)
    switch = read_probabilities(tmp_path / "networks/switch/seed_0/probabilities.parquet")
    val, test = switch.rows("val"), switch.rows("test")
    assert second["bound"] == chosen_bound(switch.p_NK[val], table.p_NK[val], switch.label[val])
    found = opinion_at(second["bound"], switch.p_NK[test], table.p_NK[test], switch.label[test])
    assert second["accuracy"] == found.right_N.mean()
    assert second["mean_macs"] == pytest.approx(1e6 + found.asked_N.mean() * 2.2e6)


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
