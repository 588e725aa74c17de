import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import FUNCTIONS, THRESHOLDS, evaluate, expert_path, make_run, make_tables, relabel_test

from metann.errors import MetannError
from metann.function_call import SwitchFunction
from metann.mnn.choice import best
from metann.mnn.prefix import Prefix
from metann.stages.collect_mnn import TABLES, collect_mnn
from metann.statistics.paired import compare_paired
from metann.tables.frames import read_arrow, read_frame
from metann.tables.probabilities import read_probabilities

COLUMNS = ["seed", "split", "switch_function", "parameter", "dataset_threshold", "test_threshold", "n", "correct", "accuracy"]
COLUMNS += ["baseline_correct", "fixed", "broken", "mcnemar_p", "mean_experts", "mean_macs"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), skill=0.5, seeds=(0, 3))


def tables_of(run: Path) -> dict[str, pd.DataFrame]:
    return {name: read_frame(run / "tables" / f"mnn_{name}.parquet", f"mnn_{name}") for name in TABLES}


def read_prefix(run: Path, seed: int, threshold: str) -> Prefix:
    arrow, metadata = read_arrow(run / "mnn" / f"seed_{seed}" / f"dataset_threshold_{threshold}" / "evaluation/prefix.parquet", "prefix")
    return Prefix.of({name: arrow.column(name).to_numpy() for name in arrow.column_names}, metadata)


def test_results_are_tidy(run: Path) -> None:
    results = tables_of(run)["results"]
    assert results.columns.tolist() == COLUMNS
    assert len(results) == 2 * 2 * 2 * (len(THRESHOLDS) + len(FUNCTIONS))  # seeds, splits, dataset thresholds, cells
    assert not results.duplicated(["seed", "split", "switch_function", "parameter", "dataset_threshold"]).any()
    assert results["test_threshold"].notna().equals(results["switch_function"] == "threshold")
    assert (results["correct"] == results["baseline_correct"] + results["fixed"] - results["broken"]).all()
    assert set(results.loc[results["switch_function"] == "none", "parameter"]) == {""}
    assert results.attrs["seeds"] == [0, 3]
    assert results.attrs["class_names"] == ["class 0", "class 1", "class 2", "class 3"]


def test_choice_is_the_best_on_validation_and_reported_on_test(run: Path) -> None:
    tables = tables_of(run)
    results, choice = tables["results"], tables["choice"]
    for row in choice.itertuples():
        split = "test" if row.scope == "best_on_test" else "val"
        pool = results[(results["seed"] == row.seed) & (results["split"] == split)]
        if row.scope == "chosen_threshold":
            pool = pool[pool["switch_function"] == "threshold"]
        same = ["dataset_threshold", "switch_function", "parameter"]
        picked = pool[np.logical_and.reduce([pool[name] == getattr(row, name) for name in same])].iloc[0]
        if row.scope != "cheapest":
            assert picked["correct"] == pool["correct"].max()
            assert picked["mean_experts"] == pool.loc[pool["correct"] == pool["correct"].max(), "mean_experts"].min()
        prefix = read_prefix(run, row.seed, f"{row.dataset_threshold:.2f}").select("test")
        right_N = prefix.right(SwitchFunction.parse(f"{row.switch_function}({row.parameter})"))
        paired = compare_paired(prefix.correct_NJ[:, 0], right_N)
        assert (row.gain, row.low, row.high, row.mcnemar_p) == (paired.gain, paired.low, paired.high, paired.p)
        assert row.accuracy == right_N.mean()
        assert np.isnan(row.permutation_p) == (row.scope != "best_on_test")
    assert choice["permutation_p"].dropna().between(1 / 2001, 1).all()


def test_the_cheapest_is_within_one_standard_error_on_validation(run: Path) -> None:
    """Image by image: of all settings whose mean paired difference to the chosen one is within its standard error, none asks fewer."""
    tables = tables_of(run)
    results, choice, settings = tables["results"], tables["choice"], tables["settings"]
    saved = 0
    for seed, of_seed in choice.groupby("seed"):
        chosen, cheapest = (of_seed[of_seed["scope"] == scope].iloc[0] for scope in ("chosen", "cheapest"))
        cells = results[(results["seed"] == seed) & (results["split"] == "val")]

        def right(row, seed=seed) -> np.ndarray:
            prefix = read_prefix(run, seed, f"{row['dataset_threshold']:.2f}").select("val")
            return prefix.right(SwitchFunction.parse(f"{row['switch_function']}({row['parameter']})")).astype(float)

        able = []
        for _, row in cells.iterrows():
            difference_N = right(row) - right(chosen)
            if difference_N.mean() >= -difference_N.std() / np.sqrt(len(difference_N)) - 1e-15:
                able.append(row["mean_experts"])
        mine = cells[np.logical_and.reduce([cells[c] == cheapest[c] for c in ("dataset_threshold", "switch_function", "parameter")])].iloc[
            0
        ]
        assert mine["mean_experts"] == min(able)
        saved += mine["mean_experts"] < max(able)
        marked = settings[settings["cheapest"] & (settings["seed"] == seed)]
        assert list(marked["split"].sort_values()) == ["test", "val"]
        assert marked.loc[marked["split"] == "test", "accuracy"].iloc[0] == cheapest["accuracy"]
    assert saved
    text = (run / "mnn.md").read_text()
    assert ("The cheapest setting that validation cannot tell from it" in text) or (
        "No cheaper setting is within one standard error" in text
    )


def test_ties_go_to_the_cheapest() -> None:
    cells = pd.DataFrame(
        {
            "correct": [9, 10, 10, 10],
            "mean_experts": [0.0, 2.0, 1.0, 1.0],
            "dataset_threshold": [0.1, 0.1, 0.3, 0.2],
            "switch_function": "threshold",
            "parameter": ["a", "b", "c", "d"],
        }
    )
    assert best(cells)["parameter"] == "d"
    assert best(cells.iloc[::-1])["parameter"] == "d"
    assert best(cells[:0]) is None


def test_test_labels_never_change_the_choice(tmp_path: Path) -> None:
    before = tables_of(make_run(tmp_path, skill=0.4))["choice"].set_index("scope")
    relabel_test(tmp_path, classes=4)
    evaluations = [evaluate(tmp_path, 0, threshold) for threshold in (0.1, 0.2)]
    collect_mnn(evaluations=evaluations, output=tmp_path)
    after = tables_of(tmp_path)["choice"].set_index("scope")
    columns = ["dataset_threshold", "switch_function", "parameter", "val_accuracy", "val_gain"]
    for scope in ("chosen", "chosen_threshold"):
        assert before.loc[scope, columns].equals(after.loc[scope, columns])
    assert before.loc["chosen", "accuracy"] > after.loc["chosen", "accuracy"] + 0.2  # the new labels are noise


def test_controls_at_the_chosen_cost(run: Path) -> None:
    tables = tables_of(run)
    for row in tables["choice"].query("scope == 'chosen'").itertuples():
        controls = tables["controls"].query("seed == @row.seed").set_index("control")
        prefix = read_prefix(run, row.seed, f"{row.dataset_threshold:.2f}").select("test")
        right_N = prefix.right(SwitchFunction.parse(f"{row.switch_function}({row.parameter})"))
        assert controls.loc["switch alone", "accuracy"] == prefix.correct_NJ[:, 0].mean()
        assert controls.loc["oracle, any cost", "accuracy"] == prefix.correct_NJ.any(axis=1).mean()
        assert controls.loc["oracle, same budget", "mean_experts"] <= row.mean_experts + 1e-9
        assert controls.loc["random prefix, same budget", "mean_experts"] == pytest.approx(row.mean_experts)
        wide = read_probabilities(run / "networks" / "wide" / f"seed_{row.seed}" / "probabilities.parquet", "test")
        paired = compare_paired(wide.p_NK.argmax(axis=1) == wide.label, right_N)
        found = controls.loc["wide"]
        assert (found["gain"], found["fixed"], found["broken"], found["mcnemar_p"]) == (paired.gain, paired.fixed, paired.broken, paired.p)
        assert found["mean_macs"] == 2.2e6


def test_curves_start_and_end_where_they_must(run: Path) -> None:
    curves = tables_of(run)["curves"]
    for (seed, threshold), mine in curves.groupby(["seed", "dataset_threshold"]):
        prefix = read_prefix(run, seed, f"{threshold:.2f}").select("test")
        exact = mine[mine["curve"] == "threshold"].sort_values("threshold")
        chance = mine[mine["curve"] == "random_prefix"].sort_values("threshold")
        oracle = mine[mine["curve"] == "oracle"].sort_values("mean_experts")
        base, every = prefix.correct_NJ[:, 0].mean(), prefix.correct_NJ[:, -1].mean()
        for curve in (exact, chance):
            assert curve["accuracy"].iloc[[0, -1]].tolist() == pytest.approx([every, base])
            assert curve["mean_experts"].iloc[[0, -1]].tolist() == [4, 0]
        assert oracle["accuracy"].iloc[[0, -1]].tolist() == pytest.approx([base, prefix.correct_NJ.any(axis=1).mean()])
        assert oracle["accuracy"].is_monotonic_increasing
        assert (exact["low"] <= exact["gain"]).all()
        assert (exact["gain"] <= exact["high"]).all()
        assert exact["gain"].to_numpy() == pytest.approx((exact["accuracy"] - base).to_numpy())


def test_mistakes_add_up(run: Path) -> None:
    tables = tables_of(run)
    for row in tables["choice"].query("scope == 'chosen'").itertuples():
        mine = tables["misclassified"].query("seed == @row.seed")
        wrong = round(row.n * (1 - row.baseline_accuracy))
        for by in ("top_probability", "second_probability", "rank"):
            bins = mine[mine["by"] == by]
            assert (bins["wrong"].sum(), bins["recovered"].sum(), bins["broken"].sum()) == (wrong, row.fixed, row.broken)
            assert (bins["missed_active"] <= bins["active"]).all()
            assert (bins["recovered"] + bins["missed_active"] <= bins["wrong"]).all()
        ranks = mine[mine["by"] == "rank"].set_index("low")
        assert ranks.loc[1, "wrong"] == 0
        assert ranks.loc[2:, "broken"].sum() == 0
        prefix = read_prefix(run, row.seed, "0.10").select("test")
        at = mine[(mine["by"] == "test_threshold") & (mine["dataset_threshold"] == 0.1)].set_index("low")
        true_N = prefix.switch_NK[np.arange(len(prefix)), prefix.label].astype(float)
        assert at.loc[0.2, "active"] == np.sum(~prefix.correct_NJ[:, 0] & (true_N >= 0.2))


def test_expert_sets_are_one_row_per_pair_of_classes(run: Path) -> None:
    sets = tables_of(run)["expert_sets"]
    assert len(sets) == 2 * 2 * 4 * 4
    facts = json.loads((expert_path(run, 3, 0.2, 1) / "expert_set.json").read_text())
    mine = sets.query("seed == 3 and dataset_threshold == 0.2 and `class` == 1")
    assert mine["images"].tolist() == facts["composition"]
    assert mine["size"].unique().tolist() == [facts["size"]]
    assert mine["true_name"].tolist() == ["class 0", "class 1", "class 2", "class 3"]


def test_same_inputs_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "tables")
    evaluations = sorted(copy.glob("mnn/*/*/evaluation"), reverse=True)
    controls = sorted(copy.glob("networks/wide/*/probabilities.parquet"))
    collect_mnn(evaluations=evaluations, output=copy, expert_sets=[copy / "mnn"], controls=controls)
    for name in ("mnn.md", *(f"tables/mnn_{table}.parquet" for table in TABLES)):
        assert (copy / name).read_bytes() == (run / name).read_bytes(), name


def test_without_macs_cost_is_unknown_and_not_zero(tmp_path: Path) -> None:
    tables = tables_of(make_run(tmp_path, macs=None, val=50, test=80, dataset_thresholds=(0.1,)))
    assert tables["results"]["mean_macs"].isna().all()
    assert tables["controls"]["mean_macs"].isna().all()


def test_many_classes_and_two(tmp_path: Path) -> None:
    for classes in (2, 12):
        folder = tmp_path / str(classes)
        mistakes = tables_of(make_run(folder, classes=classes, val=60, test=120, dataset_thresholds=(0.1,)))["misclassified"]
        assert mistakes.loc[mistakes["by"] == "rank", "high"].max() == classes


def test_bad_input_is_one_line(run: Path, tmp_path: Path) -> None:
    def fails(message: str, **arguments: object) -> None:
        with pytest.raises(MetannError, match=message) as error:
            collect_mnn(output=tmp_path / "out", **arguments)
        assert "\n" not in str(error.value)

    evaluations = sorted(run.glob("mnn/*/*/evaluation"))
    wide = run / "networks" / "wide" / "seed_3" / "probabilities.parquet"
    fails("no evaluation given", evaluations=[])
    fails(r"no table .*nothing.*prefix\.parquet", evaluations=[tmp_path / "nothing"])
    fails("seed 0 and dataset threshold 0.1 are given twice", evaluations=[evaluations[0], *evaluations])
    fails("seed 3 has no dataset threshold 0.2, other seeds have", evaluations=evaluations[:3])
    fails("control .* is of seed 3; the evaluations have 0", evaluations=evaluations[:2], controls=[wide])
    one = run / "networks" / "wide" / "seed_0" / "probabilities.parquet"
    fails("two tables are of a network 'wide': .*; give each network once", evaluations=evaluations[:2], controls=[one, one])
    odd = tmp_path / "expert_set.json"
    odd.write_text('{"class": 1}')
    fails("lacks", evaluations=evaluations, expert_sets=[odd])
    facts = json.loads((expert_path(run, 0, 0.1, 0) / "expert_set.json").read_text())
    odd.write_text(json.dumps(facts | {"composition": [1], "val_composition": [1]}))
    fails("counts 1 classes, the evaluations have 4", evaluations=evaluations, expert_sets=[odd])

    make_tables(tmp_path, dataset_thresholds=(0.1,), val=0, test=30)
    fails("has no val images; both are needed", evaluations=[evaluate(tmp_path, 0, 0.1)])
    make_tables(tmp_path, dataset_thresholds=(0.3,), val=30, test=30)
    fails("has another combine than", evaluations=[evaluations[0], evaluate(tmp_path, 0, 0.3, combine="replace")])
    fails("has another switch_functions than", evaluations=[evaluations[0], evaluate(tmp_path, 0, 0.3, test_thresholds=[0.5])])
    evaluation = evaluate(tmp_path, 0, 0.3)
    fails(
        "does not hold the images of", evaluations=[evaluation], controls=[run / "networks" / "wide" / "seed_0" / "probabilities.parquet"]
    )
    (evaluation / "cells" / "none.parquet").unlink()
    fails(r"no table .*none\.parquet", evaluations=[evaluation])
    assert not (tmp_path / "out").exists()
