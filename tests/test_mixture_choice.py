"""Which mixture to use: evidence over seeds, the choice on validation, contrasts and controls, against counting by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metann.errors import MetannError
from metann.mixture.choice import check_runs, choose, compare_accuracy, indistinguishable, settings, settings_of
from metann.mixture.comparisons import choice_frame, comparisons_frame, methods_frame
from metann.mixture.contrasts import confounds, contrasts, values_of
from metann.mixture.controls import COLUMNS, check_all, control_roles, parse_roles
from metann.report.overview import COLUMNS as COLUMNS_OF_FAMILIES
from metann.report.overview import meet
from metann.statistics.paired import compare_paired
from metann.statistics.verdict import verdict_of_counts


def runs_of(settings: dict[str, dict], seeds=(0, 1, 2), splits=("val", "test")) -> pd.DataFrame:
    """Rows of runs; every setting gives accuracy, macs, decomposition, conditional_entropy, experts."""
    rows = []
    for (name, own), seed, split in itertools.product(settings.items(), seeds, splits):
        row = {"setting": name, "seed": seed, "split": split, "experts": 5, "uses_labels": False, "n": 100, "macs": 1e6}
        row |= {
            "accuracy": 0.8,
            "decomposition": 0.5,
            "conditional_entropy": 0.5,
            "mutual_information": 1.0,
            "loss": 1.0,
            "parameters": 9.0,
        }
        row |= {
            "parameters": 9.0,
            "sample_entropy": 0.1,
            "usage_entropy": 2.0,
            "usage_cv": 0.1,
            "reach": 0.9,
            "mutual_information_predicted": 1.0,
        } | own
        row["accuracy"] += 0.001 * seed
        rows.append(row | {"error": 1 - row["accuracy"], "collapsed": False})
    return pd.DataFrame(rows)


def right_of(runs: pd.DataFrame, n: int = 1000) -> dict[tuple[str, int, str], np.ndarray]:
    """The first images right, so many as the accuracy says."""
    return {(row.setting, row.seed, row.split): np.arange(n) < round(n * row.accuracy) for row in runs.itertuples()}


SETTINGS = {
    "single": {"experts": 1, "accuracy": 0.95},
    "oracle": {"uses_labels": True, "accuracy": 0.99, "decomposition": 1.0},
    "good": {"accuracy": 0.9, "macs": 4e6},
    "equal": {"accuracy": 0.9, "macs": 3e6},
    "cheap": {"accuracy": 0.9 - 0.0001, "macs": 1e6},
    "clean": {"accuracy": 0.7, "decomposition": 0.95, "conditional_entropy": 0.3},
    "cleaner": {"accuracy": 0.6, "decomposition": 0.95, "conditional_entropy": 0.2},
    "collapsed": {"accuracy": 0.5, "decomposition": 0.0, "conditional_entropy": 0.0, "macs": 1e3},
}


def test_validation_chooses() -> None:
    runs = runs_of(SETTINGS)
    assert settings_of(runs) == ["good", "equal", "cheap", "clean", "cleaner", "collapsed"]
    right = right_of(runs)
    chosen = choose(runs, right).set_index("role")["setting"].to_dict()
    assert chosen == {"lowest_error": "equal", "cheapest_equal": "cheap", "cleanest": "cleaner"}
    # what test says does not matter
    other = runs.copy()
    other.loc[other["split"] == "test", ["accuracy", "decomposition"]] = np.random.default_rng(0).random((len(other) // 2, 2))
    assert choose(other, right).set_index("role")["setting"].to_dict() == chosen


def test_a_lucky_run_does_not_choose() -> None:
    runs = runs_of({"steady": {"accuracy": 0.8}, "lucky": {"accuracy": 0.7}})
    runs.loc[(runs["setting"] == "lucky") & (runs["seed"] == 0), "accuracy"] = 0.99  # the best of all runs, but not on average
    assert choose(runs, right_of(runs)).set_index("role")["setting"]["lowest_error"] == "steady"


def test_the_cheapest_is_not_shown_to_be_worse() -> None:
    runs = runs_of({"good": {"accuracy": 0.9, "macs": 5e6}, "worse": {"accuracy": 0.8, "macs": 1e6}})
    chosen = choose(runs, right_of(runs)).set_index("role")["setting"]
    assert chosen["cheapest_equal"] == "good"


def test_indistinguishable_settings() -> None:
    runs = runs_of(SETTINGS)
    right = right_of(runs)
    assert indistinguishable(right, "good", settings_of(runs), [0, 1, 2], "test", 0.95) == ["equal", "cheap"]
    found = compare_accuracy(right, "clean", "good", [0, 1, 2], "test", 0.95)
    assert (found.word, found.gain) == ("gain", pytest.approx(0.2))


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2], list(range(7))])
def test_accuracies_are_judged_by_the_one_rule(seeds: list[int]) -> None:
    generator = np.random.default_rng(len(seeds))
    right = {(name, seed, "test"): generator.random(400) < share for name, share in (("a", 0.7), ("b", 0.75)) for seed in seeds}
    pairs = [compare_paired(right["a", seed, "test"], right["b", seed, "test"], 0.9) for seed in seeds]
    expected = verdict_of_counts([c.n for c in pairs], [c.fixed for c in pairs], [c.broken for c in pairs], 0.9)
    assert compare_accuracy(right, "a", "b", seeds, "test", 0.9) == expected
    assert expected.gain == pytest.approx(np.mean([c.gain for c in pairs]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda runs: runs[runs["experts"] == 1], "no setting has more than one expert"),
        (lambda runs: runs[runs["setting"] == "oracle"], "a gate that needs no label"),
    ],
)
def test_nothing_to_choose(change, text: str) -> None:
    with pytest.raises(MetannError, match=text):
        settings_of(change(runs_of(SETTINGS)))


def test_every_setting_with_every_seed_once() -> None:
    runs = runs_of(SETTINGS)
    assert check_runs(runs) == [0, 1, 2]
    with pytest.raises(MetannError, match="setting 'good', seed 1: no val images"):
        check_runs(runs[~((runs["setting"] == "good") & (runs["seed"] == 1) & (runs["split"] == "val"))])
    with pytest.raises(MetannError, match="seed 2: 2 evaluations of val images"):
        check_runs(pd.concat([runs, runs[(runs["setting"] == "clean") & (runs["seed"] == 2)]]))


def controls_of(seeds=(0, 1, 2), name="wide", role="same_parameters") -> pd.DataFrame:
    rows = [
        dict(zip(COLUMNS, (name, role, seed, split, 9.0, 100, 85, 0.85, 0.8, 0.9, 0.15, 0.5, 2e6), strict=True))
        for seed in seeds
        for split in ("val", "test")
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_controls_have_the_same_seeds_and_other_names() -> None:
    runs = runs_of(SETTINGS)
    assert check_all(runs, controls_of()) == [0, 1, 2]
    with pytest.raises(MetannError, match=r"control 'wide' is there for seeds \[0, 1\], the mixtures for \[0, 1, 2\]"):
        check_all(runs, controls_of((0, 1)))
    with pytest.raises(MetannError, match="control 'good' has the name of a setting"):
        check_all(runs, controls_of(name="good"))


def test_roles() -> None:
    assert parse_roles(["a:b:gate_alone", "wide:same_parameters"]) == {"a:b": "gate_alone", "wide": "same_parameters"}
    with pytest.raises(MetannError, match="unknown role of a control 'wide:big'; known: NETWORK:gate_alone"):
        parse_roles(["wide:big"])
    runs = runs_of({"same_active_macs": {"experts": 1}, "lone": {"experts": 1}, "good": {}})
    assert control_roles(runs, controls_of()) == {
        "same_active_macs": "same_active_macs",
        "lone": "one_expert",
        "wide": "same_parameters",
    }


def test_methods_are_means_over_all_runs() -> None:
    runs = runs_of(SETTINGS)
    frame = methods_frame(runs, controls_of(), 0.9)
    row = frame[(frame["method"] == "good") & (frame["split"] == "test") & (frame["quantity"] == "error")].iloc[0]
    errors = runs[(runs["setting"] == "good") & (runs["split"] == "test")]["error"]
    low, high = stats.t.interval(0.9, 2, errors.mean(), stats.sem(errors))
    assert (row["mean"], row["low"], row["high"], row["seeds"]) == (
        pytest.approx(errors.mean()),
        pytest.approx(low),
        pytest.approx(high),
        3,
    )
    roles = frame.drop_duplicates("method").set_index("method")["role"]
    assert roles[["single", "oracle", "good", "wide"]].tolist() == ["one_expert", "bound", "mixture", "same_parameters"]


def test_comparisons_say_who_beats_whom() -> None:
    runs = runs_of(SETTINGS)
    right = right_of(runs) | {("wide", seed, split): np.arange(1000) < 850 for seed in (0, 1, 2) for split in ("val", "test")}
    options = {name: {"gate": {"kind": "mlp"}} for name in SETTINGS} | {"cheap": {"gate": {"kind": "attention"}}}
    frame = comparisons_frame(runs, controls_of(), right, options, choice_frame(runs, right, 0.95), 0.95)
    row = frame[(frame["kind"] == "control") & (frame["first"] == "wide") & (frame["second"] == "equal")].iloc[0]
    assert (row["role"], row["word"], row["gain"]) == ("same_parameters", "gain", pytest.approx(0.051))
    row = frame[(frame["kind"] == "control") & (frame["first"] == "single") & (frame["second"] == "cleaner")].iloc[0]
    assert row["word"] == "loss"
    assert "oracle" not in set(frame["first"]) | set(frame["second"])
    pairs = frame[frame["kind"] == "contrast"]
    assert set(pairs["group"]) == {"gate"}
    assert set(pairs["quantity"]) == {"accuracy", "mutual_information", "conditional_entropy"}
    assert len(pairs) == 3 * 5  # cheap against the five other mixtures


def test_runs_and_controls_meet_the_other_families() -> None:
    runs = runs_of(SETTINGS)
    runs[["correct", "low", "high"]] = 80, 0.7, 0.9
    frame = settings(runs, controls_of(), choose(runs, right_of(runs)))
    assert set(COLUMNS_OF_FAMILIES) == set(frame.columns)
    assert len(meet([frame], [])) == len(runs) + 6
    roles = frame.drop_duplicates("setting").set_index("setting")["role"]
    assert roles[["single", "oracle", "good", "wide"]].tolist() == ["control", "bound", "setting", "control"]
    loads = frame.drop_duplicates("setting").set_index("setting")["load"]
    assert loads[["single", "oracle", "good", "wide"]].tolist() == ['{"setting": "single"}', "", '{"setting": "good"}', ""]
    assert set(frame.loc[frame["chosen"], "setting"]) == {"equal"}


def test_contrasts_differ_in_one_group() -> None:
    options = {
        "plain": {"gate": {"kind": "mlp", "init": "default"}, "regularisers": {}},
        "attentive": {"gate": {"kind": "attention", "init": "default"}, "regularisers": {}},
        "both": {"gate": {"kind": "attention", "init": "default"}, "regularisers": {"importance": 0.2}},
        "same": {"name": "other", "preset": "x", "gate": {"kind": "mlp", "init": "default"}, "regularisers": {}},
    }
    found = {(c.first, c.second): (c.group, c.before, c.after) for c in contrasts(options)}
    assert found == {
        ("plain", "attentive"): ("gate", "kind mlp", "kind attention"),
        ("attentive", "both"): ("regularisers", "importance none", "importance 0.2"),
        ("attentive", "same"): ("gate", "kind attention", "kind mlp"),
    }


def test_confounds_are_found_wherever_they_stand() -> None:
    nested = {"a": [{"weight_decay": 1}, {"b": {"weight_decay": 2}}], "weight_decay": 0}
    assert values_of(nested, "weight_decay") == [0, 1, 2]
    options = {"x": {"training": {"weight_decay": 0.001}, "final_softmax": True}, "y": {"training": {"weight_decay": 0.0}}}
    assert confounds(options) == {"weight_decay": {"0.001": ["x"], "0.0": ["y"]}, "final_softmax": {"true": ["x"]}}
