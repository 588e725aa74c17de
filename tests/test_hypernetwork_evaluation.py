"""What is made of a generator's tables, against loops written out; what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypernetwork_synthetic import adapted, write_generator
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from metann.errors import MetannError
from metann.hypernetwork.choice import both_ways, difference_rows, generator_rows, reliance_interval, setting_rows, unit_means
from metann.hypernetwork.evaluation import MEASURES, accuracy_matrix, multiclass_rows
from metann.hypernetwork.inputs import read_evaluated, read_generated, read_networks
from metann.hypernetwork.measures import reliance
from metann.hypernetwork.verdicts import state, verdict_rows
from metann.report.overview import COLUMNS
from metann.stages.evaluate_hypernetwork import TABLES, evaluate_hypernetwork
from metann.statistics.intervals import t_interval
from metann.statistics.permutation import sign_flip_p
from metann.tables.frames import read_frame, write_frame
from metann.tables.probabilities import read_probabilities

FEW = {name: (0.5, 0.9, numbers) for name, numbers in (("zero_shot", 0), ("z_adapt", 8), ("finetune_net", 1209))}
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generator(tmp_path_factory.mktemp("generator") / "E2b_mlp")


@pytest.fixture(scope="module")
def evaluated(generator: Path) -> Path:
    evaluate_hypernetwork(
        generator=generator, adapted=adapted(generator), output=generator / "evaluation", multiclass=generator / "multiclass.parquet"
    )
    return generator / "evaluation"


def frame(folder: Path, name: str) -> pd.DataFrame:
    return read_frame(folder / f"{name}.parquet", f"hypernetwork_{name}")


def test_arms_are_means_over_draws(generator: Path, evaluated: Path) -> None:
    results = frame(evaluated, "results")
    tasks = read_frame(generator / "tasks.parquet", "hypernetwork_tasks")
    held_out = tasks.loc[tasks["set"] == "test", "task"]
    assert len(results) == (10 * 3 + 2) * len(held_out)
    for arm, shots in (("z_adapt", 5), ("zero_shot", 0), ("repo_bug", 25)):
        table = read_frame(generator / f"adapt/{arm}_{shots}.parquet", "hypernetwork_adapt")
        for task in held_out:
            draws = [row for row in table.to_dict("records") if row["task"] == task]
            found = results[(results["arm"] == arm) & (results["shots"] == shots) & (results["task"] == task)].iloc[0]
            assert found["draws"] == len(draws)
            assert found["accuracy"] == pytest.approx(sum(row["correct"] / row["n"] for row in draws) / len(draws))
            sides = []
            for row in draws:
                negative = (row["correct"] - row["correct_positive"]) / (row["n"] - row["n_positive"])
                sides.append((row["correct_positive"] / row["n_positive"] + negative) / 2)
            assert found["balanced_accuracy"] == pytest.approx(sum(sides) / len(sides))
            assert found["cross_entropy"] == pytest.approx(np.mean([row["cross_entropy"] for row in draws]))
            assert found["frozen"] == (arm != "repo_bug")
            of_task = tasks.set_index("task").loc[task]
            assert set(found["unit"].split("/")) == {str(of_task["negative"]), str(of_task["positive"])}


def test_a_task_and_its_mirror_are_one_unit(evaluated: Path) -> None:
    results = frame(evaluated, "results")
    assert results["task"].nunique() == 6
    assert results["unit"].nunique() == 3


def test_curves_are_means_over_tasks_and_draws(generator: Path, evaluated: Path) -> None:
    curve = read_frame(generator / "adapt/z_adapt_5_curve.parquet", "hypernetwork_curve")
    found = frame(evaluated, "curves").query("arm == 'z_adapt' and shots == 5")
    assert list(found["step"]) == list(range(0, 101, 10))
    for row in found.itertuples():
        at = curve[curve["step"] == row.step]
        assert row.test_loss == pytest.approx(sum(at["test_loss"]) / len(at))
        assert row.support_loss == pytest.approx(sum(at["support_loss"]) / len(at))


def test_reliance_matrix(generator: Path, evaluated: Path) -> None:
    raw = read_frame(generator / "reliance.parquet", "hypernetwork_reliance")
    tasks_T, accuracy_TT = accuracy_matrix(frame(evaluated, "reliance"), "test")
    for row in raw[raw["split"] == "test"].itertuples():
        i, j = list(tasks_T).index(row.task_i), list(tasks_T).index(row.z_j)
        assert accuracy_TT[i, j] == row.correct / row.n


def test_all_tables_are_written(evaluated: Path) -> None:
    assert {path.stem for path in evaluated.glob("*.parquet")} == set(TABLES)
    codes = frame(evaluated, "codes")
    assert len(codes) == 4
    assert codes[["x", "y"]].abs().max().min() > 0
    assert (frame(evaluated, "interpolation").groupby("task")["position"].agg(["min", "max"]).to_numpy() == [0, 1]).all()


def test_classifier_for_all_classes(generator: Path) -> None:
    table = read_probabilities(generator / "multiclass.parquet")
    rows = multiclass_rows(table, 0.95).set_index("split")
    for split in ("val", "test"):
        part = table.select(split)
        assert rows.loc[split, "accuracy"] == pytest.approx(accuracy_score(part.label, part.p_NK.argmax(axis=1)))
        assert rows.loc[split, "low"] < rows.loc[split, "accuracy"] < rows.loc[split, "high"]
    assert rows.loc["test", "macs"] == 123_450
    assert rows.loc["test", "classes"] == 10
    same = read_networks([generator / "multiclass.parquet"], table.metadata, 0.95)
    assert list(same["accuracy"]) == list(rows["accuracy"])
    assert multiclass_rows(None, 0.95).empty


def changed(path: Path, kind: str, **columns: object) -> None:
    table = read_frame(path, f"hypernetwork_{kind}")
    write_frame(path, table.assign(**columns), f"hypernetwork_{kind}", table.attrs)


def told(path: Path, kind: str, **metadata: object) -> None:
    table = read_frame(path, f"hypernetwork_{kind}")
    write_frame(path, table, f"hypernetwork_{kind}", table.attrs | metadata)


def cut(path: Path, kind: str, rows: int) -> None:
    table = read_frame(path, f"hypernetwork_{kind}")
    write_frame(path, table.iloc[:rows], f"hypernetwork_{kind}", table.attrs)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "reliance.parquet").unlink(), r"no table .*reliance\.parquet"),
        (lambda f: told(f / "codes.parquet", "codes", generator_digest="x"), "another generator_digest"),
        (lambda f: told(f / "adapt/finetune_net_5.parquet", "adapt", seed=7), "another seed"),
        (lambda f: told(f / "adapt/z_adapt_5.parquet", "adapt", generator_digest="x", generator_digest_after="x"), "another generator_"),
        (lambda f: told(f / "adapt/z_adapt_5.parquet", "adapt", generator_digest_after="moved"), "frozen and moved"),
        (lambda f: cut(f / "adapt/z_adapt_5.parquet", "adapt", 5), "lacks held-out task"),
        (lambda f: cut(f / "adapt/z_adapt_5.parquet", "adapt", 0), "one arm"),
        (lambda f: changed(f / "adapt/z_adapt_5.parquet", "adapt", shots=[1] + [5] * 17), "one arm with one number of shots"),
        (lambda f: changed(f / "tasks.parquet", "tasks", set="test"), "lacks held-out task"),
        (lambda f: changed(f / "tasks.parquet", "tasks", set="train"), "holds a task that is not held out"),
        (lambda f: (f / "adapt/z_adapt_5_curve.parquet").unlink(), r"no table .*z_adapt_5_curve\.parquet"),
    ],
)
def test_what_does_not_belong_together_is_one_line(spoil, message: str, tmp_path: Path) -> None:
    folder = write_generator(tmp_path, arms=FEW, shots=(5,), multiclass=False)
    read_generated(folder, adapted(folder))
    spoil(folder)
    with pytest.raises(MetannError, match=message) as error:
        read_generated(folder, adapted(folder))
    assert "\n" not in str(error.value)


def test_missing_columns_twice_given_and_no_arms(tmp_path: Path) -> None:
    folder = write_generator(tmp_path, arms=FEW, shots=(5,), multiclass=False)
    with pytest.raises(MetannError, match="no adapted arm"):
        read_generated(folder, [])
    with pytest.raises(MetannError, match="given twice"):
        read_generated(folder, [*adapted(folder), folder / "adapt/z_adapt_5.parquet"])
    layers = read_frame(folder / "layers.parquet", "hypernetwork_layers")
    write_frame(folder / "layers.parquet", layers.drop(columns="saturation"), "hypernetwork_layers", layers.attrs)
    with pytest.raises(MetannError, match="no column 'saturation'"):
        read_generated(folder, adapted(folder))


def test_evaluations_of_different_runs_do_not_meet(tmp_path: Path) -> None:
    def made(name: str, **how: object) -> Path:
        folder = write_generator(tmp_path / name, multiclass=False, **({"arms": FEW, "shots": (5,)} | how))
        evaluate_hypernetwork(generator=folder, adapted=adapted(folder), output=folder / "evaluation")
        return folder / "evaluation"

    first = made("a")
    for second, message in (
        (made("b", digest="other", seed=1), "another digest"),
        (made("c"), "given twice"),
        (made("d", seed=1, shots=(1,)), "differ in arm"),
        (made("e", seed=1, test=2), "differ in arm"),
    ):
        with pytest.raises(MetannError, match=message):
            read_evaluated([first, second])
    with pytest.raises(MetannError, match="no evaluation"):
        read_evaluated([])
    tables, metadata = read_evaluated([first, made("f", seed=1)])
    assert sorted(tables["results"]["seed"].unique()) == [0, 1]
    assert list(metadata) == ["E2b/mlp"]


def made_up_results(seed: int, units: int = 4, seeds: int = 3, mirrored: bool = True) -> pd.DataFrame:
    """Rows as `arm_rows` writes them, of z_adapt with 5 shots, finetune_net with 5 and zero_shot with 0."""
    rng = np.random.default_rng(seed)
    rows = []
    for arm, shots in (("z_adapt", 5), ("finetune_net", 5), ("zero_shot", 0)):
        for unit in range(units):
            for way in range(1 + mirrored):
                for s in range(seeds):
                    row = {"experiment": "E", "generator": "g", "seed": s, "arm": arm, "shots": shots, "task": unit + units * way}
                    rows.append(row | {"unit": f"{unit}/x"} | dict(zip(MEASURES, rng.uniform(size=5), strict=True)))
    frame = pd.DataFrame(rows).assign(trained_numbers=1, steps=1, learning_rate=0.1)
    return frame.sample(frac=1, random_state=seed % 1000)  # the order of rows means nothing


@settings(max_examples=30)
@given(SEEDS, st.integers(2, 5), st.integers(1, 3), st.booleans())
def test_differences_are_paired_by_task_and_seed(seed: int, units: int, seeds: int, mirrored: bool) -> None:
    results = made_up_results(seed, units, seeds, mirrored)
    value = {(r["arm"], r["task"], r["seed"]): r["auc"] for r in results.to_dict("records")}
    value_of = {(r["arm"], r["task"], r["seed"]): r["accuracy"] for r in results.to_dict("records")}
    found = difference_rows(results, 0.95).set_index(["other", "measure"])
    for other in ("finetune_net", "zero_shot"):
        by_unit = [
            [
                np.mean([value["z_adapt", u + units * w, s] - value[other, u + units * w, s] for w in range(1 + mirrored)])
                for s in range(seeds)
            ]
            for u in range(units)
        ]
        row = found.loc[(other, "auc")]
        assert row["difference"] == pytest.approx(np.mean(by_unit))
        assert (row["units"], row["seeds"]) == (units, seeds)
        if seeds == 1:
            assert [row["low"], row["high"]] == pytest.approx(list(t_interval(np.ravel(by_unit))[1:]))
    assert np.isnan(found.loc[("zero_shot", "auc"), "p"])
    mean = [
        np.mean(
            [
                value_of["z_adapt", u + units * w, s] - value_of["finetune_net", u + units * w, s]
                for w in range(1 + mirrored)
                for s in range(seeds)
            ]
        )
        for u in range(units)
    ]
    row = found.loc[("finetune_net", "accuracy")]
    assert row["p"] == pytest.approx(sign_flip_p(mean))
    assert row["margin_p"] == pytest.approx(sign_flip_p(np.add(mean, 0.02)))


def test_a_copy_of_every_task_does_not_narrow_an_interval() -> None:
    results = made_up_results(3, mirrored=False)
    twice = pd.concat([results, results.assign(task=results["task"] + 100)], ignore_index=True)
    one, two = (difference_rows(frame, 0.95) for frame in (results, twice))
    pd.testing.assert_frame_equal(one, two)


def test_an_unknown_measure_has_no_row() -> None:
    results = made_up_results(3)
    results.loc[results["arm"] == "zero_shot", "auc"] = np.nan
    found = difference_rows(results, 0.95)
    assert set(found.loc[found["other"] == "zero_shot", "measure"]) == set(MEASURES) - {"auc"}
    assert set(found.loc[found["other"] == "finetune_net", "measure"]) == set(MEASURES)


def test_unit_means_of_every_arm() -> None:
    means = unit_means(made_up_results(0))
    assert set(means) == {("z_adapt", 5), ("finetune_net", 5), ("zero_shot", 0)}
    assert means["z_adapt", 5].shape == (4, 3, 5)


TASKS = pd.DataFrame({"task": range(6), "unit": ["a", "b", "c"] * 2, "mirror": [3, 4, 5, 0, 1, 2], "experiment": "E", "generator": "g"})


def reliance_of(accuracy_TT: np.ndarray, seed: int = 0) -> pd.DataFrame:
    i, j = np.indices(accuracy_TT.shape)
    frame = pd.DataFrame({"task_i": i.ravel(), "z_j": j.ravel(), "accuracy": accuracy_TT.ravel(), "split": "test"})
    return frame.assign(experiment="E", generator="g", seed=seed)


@settings(max_examples=30)
@given(SEEDS)
def test_any_fixed_network_is_right_on_half_of_a_task_and_its_mirror(seed: int) -> None:
    """Trap 14 of the arithmetic: whatever a network without z learned, the mirror test has to say no."""
    right = np.random.default_rng(seed).uniform(size=3)
    by_task = np.concatenate([right, 1 - right])
    fixed = reliance_of(np.repeat(by_task[:, None], 6, axis=1))
    above = both_ways(made_up_results(0).iloc[:0], fixed, TASKS, None)
    assert len(above) == 3
    assert np.abs(above["above"]).max() < 1e-12


def test_mirror_test_mixes_new_flips_with_their_trained_mirrors() -> None:
    trained = reliance_of(np.diag([0.9, 0.8, 0.7]))
    new = pd.DataFrame({"arm": "z_adapt", "shots": 5, "task": [3, 4], "seed": 0, "accuracy": [0.6, 0.3]})
    above = both_ways(new, trained, TASKS, 5).set_index("unit")["above"]
    assert above.to_dict() == pytest.approx({"a": (0.9 + 0.6) / 2 - 0.5, "b": (0.8 + 0.3) / 2 - 0.5})
    assert both_ways(new, trained, TASKS, None).empty
    assert both_ways(new, trained, TASKS, 25).empty
    assert both_ways(new, trained, TASKS.assign(mirror=-1), 5).empty


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 4))
def test_reliance_over_seeds(seed: int, seeds: int) -> None:
    matrices = np.random.default_rng(seed).uniform(size=(seeds, 6, 6))
    table = pd.concat([reliance_of(matrix, s) for s, matrix in enumerate(matrices)])
    found = reliance_interval(table, TASKS, 0.95)
    values = [reliance(matrix) for matrix in matrices]
    assert found.mean == pytest.approx(np.mean(values))
    if seeds > 1:
        assert list(found) == pytest.approx(list(t_interval(values)))
    else:
        assert found.low < found.mean < found.high


def test_validation_chooses_the_generator() -> None:
    good, bad = np.full((6, 6), 0.8), np.full((6, 6), 0.7)
    parts = [
        reliance_of(matrix).assign(generator=name, split=split)
        for name, split, matrix in (("a", "val", bad), ("a", "test", good), ("b", "val", good), ("b", "test", bad))
    ]
    rows = generator_rows(pd.concat(parts), made_up_results(0)).set_index("generator")
    assert rows["chosen"].to_dict() == {"a": False, "b": True}
    assert rows.loc["b", ["val_accuracy", "accuracy"]].tolist() == pytest.approx([0.8, 0.7])
    assert np.isnan(rows.loc["b", "held_out_accuracy"])
    equal = generator_rows(pd.concat([reliance_of(good).assign(generator=name, split="val") for name in ("b", "a")]), made_up_results(0))
    assert equal.set_index("generator")["chosen"].to_dict() == {"a": True, "b": False}


def test_settings_as_all_families_have_them(generator: Path) -> None:
    table = multiclass_rows(read_probabilities(generator / "multiclass.parquet"), 0.95)
    both = [table.assign(experiment="E1", generator="mlp", seed=0), table.assign(experiment="E2b", generator="mlp", seed=0)]
    both[1].loc[both[1]["split"] == "val", "accuracy"] += 0.1
    rows = setting_rows(pd.concat(both, ignore_index=True))
    assert list(rows.columns) == list(COLUMNS)
    assert set(rows.loc[rows["chosen"], "setting"]) == {"E2b_mlp, all classes"}
    none = setting_rows(multiclass_rows(None, 0.95).assign(experiment="", generator="", seed=0))
    assert none.empty
    assert list(none.columns) == list(COLUMNS)


@pytest.mark.parametrize(
    ("low", "high", "line", "expected"),
    [(-0.019, 0.1, -0.02, "yes"), (-0.02, 0.1, -0.02, "open"), (-0.5, -0.021, -0.02, "no"), (np.nan, np.nan, 0, "open"), (0, 0, 0, "open")],
)
def test_state(low: float, high: float, line: float, expected: str) -> None:
    assert state(low, high, line) == expected


def judged(p: float = 0.01, **ends: tuple[float, float]) -> dict[str, str]:
    """States of the questions for differences with these ends, by question."""
    rows = [
        {"experiment": "E", "generator": "g", "shots": 5, "other": other, "measure": "accuracy"}
        | {"difference": (low + high) / 2, "low": low, "high": high, "p": p, "margin_p": p}
        for other, (low, high) in ends.items()
    ]
    matrix = np.full((6, 6), 0.8)
    tables = {
        "results": made_up_results(0, 3).query("arm == 'z_adapt'"),
        "reliance": pd.concat([reliance_of(matrix, seed) for seed in range(3)]),
        "tasks": TASKS.assign(mirror=-1),
        "differences": pd.DataFrame(rows),
    }
    found = verdict_rows(tables, 0.95)
    return found.set_index("question")["state"].to_dict()


def test_rules_of_the_verdicts() -> None:
    rivals = ("zero_shot", "random_subspace", "z_adapt_random_generator")
    assert judged(finetune_net=(-0.019, 0.05))["whole_network"] == "yes"
    assert judged(finetune_net=(-0.021, 0.05))["whole_network"] == "open"
    assert judged(finetune_net=(-0.021, -0.001))["whole_network"] == "no"  # worse for sure, and not shown to be so by less than 2 points
    assert judged(finetune_net=(-0.5, -0.1))["whole_network"] == "no"
    assert judged(finetune_net=(-0.019, -0.001))["whole_network"] == "yes"  # worse for sure, but by less than the margin
    assert judged(**dict.fromkeys(rivals, (0.01, 0.1)))["helps"] == "yes"
    assert judged(zero_shot=(-0.01, 0.1), random_subspace=(0.1, 0.2), z_adapt_random_generator=(0.1, 0.2))["helps"] == "open"
    assert judged(zero_shot=(0.3, 0.4), random_subspace=(-0.3, -0.2), z_adapt_random_generator=(0.1, 0.2))["helps"] == "no"
    assert "helps" not in judged(zero_shot=(0.3, 0.4))
    # The interval alone is no evidence: the test has to agree.
    assert judged(p=0.25, zero_shot=(0.3, 0.4))["zero_shot"] == "open"
    assert judged(p=0.25, finetune_net=(-0.019, 0.05))["whole_network"] == "open"
    assert judged(p=0.25, finetune_net=(-0.5, -0.1))["whole_network"] == "open"
    assert judged(p=0.25, **dict.fromkeys(rivals, (0.01, 0.1)))["helps"] == "open"
    assert judged(zero_shot=(0.3, 0.4))["zero_shot"] == "yes"
    assert judged(zero_shot=(0.3, 0.4))["general_network"] == "yes"
    assert "mirror_trained" not in judged(zero_shot=(0.3, 0.4))
