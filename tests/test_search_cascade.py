"""Stages search_cascade and choose_cascade: tables in, thresholds and one choice out."""

from pathlib import Path

import numpy as np
import pytest
from cascade_tables import write_tables

from metann.cascade.inputs import read_cascade
from metann.cascade.rule import decide
from metann.cascade.search import search_threshold
from metann.config.cascade import CascadeChoice, CascadeSearch
from metann.config.section import read_section
from metann.errors import MetannError
from metann.stages.choose_cascade import choose_cascade
from metann.stages.search_cascade import TABLES, search_cascade
from metann.tables.frames import read_frame
from metann.tables.probabilities import read_probabilities


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for seed in (0, 1):
        search_cascade(
            probabilities=write_tables(folder, seed),
            output=folder / f"cascade/seed_{seed}",
            seed=seed,
            options=CascadeSearch(grid=100, budget=4e7),
        )
    choose_cascade(searches=[folder / f"cascade/seed_{seed}" for seed in (1, 0)], output=folder)
    return folder


def test_all_tables_are_written(searched: Path) -> None:
    for name in TABLES:
        frame = read_frame(searched / "cascade/seed_1" / f"{name}.parquet", f"cascade_{name}")
        assert frame.empty == (name in ("chains", "frontier"))
        assert frame.empty or set(frame["seed"]) == {1}
        assert frame.attrs["networks"] == ["small", "middle", "large"]


def test_results_are_those_of_the_library_on_the_right_rows(searched: Path) -> None:
    """Images are joined by sample_id and split by the tables' own column."""
    results = read_frame(searched / "cascade/seed_0/results.parquet", "cascade_results")
    a, b = (read_probabilities(searched / f"{name}/seed_0/probabilities.parquet") for name in ("small", "large"))
    val, test = a.rows("val"), a.rows("test")
    row = results.query("first == 'small' and second == 'large' and score == 'entropy' and postcheck and search == 'exact'").iloc[0]
    found = search_threshold(a.p_NK[val], b.p_NK[val], a.label[val], "entropy", True)
    assert (row["threshold"], row["val_correct"], row["val_sent"]) == (found.threshold, found.correct, found.sent)
    decisions = decide([a.p_NK[test], b.p_NK[test]], [found.threshold], "entropy", True)
    assert row["correct"] == (decisions.prediction_N == a.label[test]).sum()
    assert row["macs"] == pytest.approx(10e6 + 90e6 * (decisions.asked_N == 2).mean())


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    from dataclasses import replace

    from metann.tables.probabilities import write_probabilities

    paths = write_tables(tmp_path)
    search_cascade(probabilities=paths, output=tmp_path / "a")
    table = read_probabilities(paths[1])
    order = np.random.default_rng(0).permutation(len(table))
    mixed = {name: value[order] for name, value in vars(table).items() if isinstance(value, np.ndarray)}
    write_probabilities(paths[1], replace(table, **mixed))
    search_cascade(probabilities=paths, output=tmp_path / "b")
    assert (tmp_path / "a/results.parquet").read_bytes() == (tmp_path / "b/results.parquet").read_bytes()


def test_the_choice_is_one_cascade_with_a_threshold_for_each_seed(searched: Path) -> None:
    choice = read_frame(searched / "tables/cascade_choice.parquet", "cascade_choice")
    ranking = read_frame(searched / "tables/cascade_ranking.parquet", "cascade_ranking")
    results = read_frame(searched / "tables/cascade_results.parquet", "cascade_results")
    assert list(choice["seed"]) == [0, 1]
    assert choice[["first", "second", "score", "postcheck"]].nunique().max() == 1
    means = (
        results.query("search == 'exact' and objective == 'accuracy'")
        .groupby(["first", "second", "score", "postcheck"])["val_accuracy"]
        .mean()
    )
    assert ranking["val_accuracy"].iloc[0] == pytest.approx(means.max())
    assert len(read_frame(searched / "tables/cascade_pairs.parquet", "cascade_pairs")) == 6
    for row in choice.itertuples():
        described = read_cascade(searched / f"cascade/seed_{row.seed}/cascade.json")
        assert described.networks == (row.first, row.second)
        assert described.thresholds == (row.threshold,)
        assert (described.score, described.postcheck) == (row.score, row.postcheck)


def test_the_seed_is_that_of_the_tables(tmp_path: Path) -> None:
    search_cascade(probabilities=write_tables(tmp_path, seed=4), output=tmp_path / "a")
    assert set(read_frame(tmp_path / "a/results.parquet", "cascade_results")["seed"]) == {4}


@pytest.mark.parametrize("objective", ["target_accuracy", "budget"])
def test_other_objectives(tmp_path: Path, objective: str) -> None:
    copies = []
    for seed in (0, 1):
        copies.append(tmp_path / f"seed_{seed}")
        search_cascade(
            probabilities=write_tables(tmp_path / "tables", seed),
            output=copies[-1],
            seed=seed,
            options=CascadeSearch(target=0.8, budget=4e7),
        )
    choose_cascade(searches=copies, output=tmp_path, options=CascadeChoice(objective=objective, search="grid"))
    choice = read_frame(tmp_path / "tables/cascade_choice.parquet", "cascade_choice")
    assert (choice["val_macs"] <= 4e7).all() if objective == "budget" else (choice["val_accuracy"] >= 0.8).all()


def test_pairs_scores_and_chains_can_be_given(tmp_path: Path) -> None:
    chain = {"networks": ["small", "middle", "large"], "thresholds": [0.9, 0.5], "score": "entropy", "postcheck": True}
    search_cascade(
        probabilities=write_tables(tmp_path),
        output=tmp_path / "a",
        options=CascadeSearch(
            pairs=["small:large"], scores=["difference"], postcheck="with", chains=[chain, {"networks": ["middle", "small", "large"]}]
        ),
    )
    results = read_frame(tmp_path / "a/results.parquet", "cascade_results")
    assert set(zip(results["first"], results["second"], strict=True)) == {("small", "large")}
    assert set(results["score"]) == {"difference", "oracle"}
    chains = read_frame(tmp_path / "a/chains.parquet", "cascade_chains")
    assert list(chains["chain"]) == ["small > middle > large", "middle > small > large"]
    assert chains["thresholds"][0] == "0.9, 0.5"


def test_unknown_macs_leave_the_cost_open(tmp_path: Path) -> None:
    search_cascade(probabilities=write_tables(tmp_path, macs=False), output=tmp_path / "a", options=CascadeSearch(budget=1e6))
    choose_cascade(searches=[tmp_path / "a"], output=tmp_path)
    results = read_frame(tmp_path / "a/results.parquet", "cascade_results")
    assert results["macs"].isna().all()
    assert set(results["objective"]) == {"accuracy", "target_accuracy", "bound"}
    assert not read_frame(tmp_path / "tables/cascade_ranking.parquet", "cascade_ranking")["pareto"].any()


def test_bad_input_is_one_line(tmp_path: Path, searched: Path) -> None:
    paths = write_tables(tmp_path)

    def fails(message: str, stage=search_cascade, **arguments: object) -> None:
        options = {key: arguments.pop(key) for key in ("pairs", "scores", "chains") if key in arguments}
        with pytest.raises(MetannError, match=message) as error:
            stage(**({"probabilities": paths, "output": tmp_path / "x", "options": read_section(CascadeSearch, options)} | arguments))
        assert "\n" not in str(error.value)

    fails("1 tables given", probabilities=paths[:1])
    fails("given? each network once|two tables are of a network 'small'", probabilities=[paths[0], paths[1], paths[0]])
    fails("has no val images, which are needed to choose thresholds", probabilities=write_tables(tmp_path / "t", splits=("train", "test")))
    fails("has no test images", probabilities=write_tables(tmp_path / "v", splits=("train", "val")))
    fails("pair 'small:tiny'", pairs=["small:tiny"])
    fails("pairs.* = 'small'", pairs=["small"])
    fails("the oracle looks at the true class", scores=["oracle"])
    fails("unknown score function 'margn'", scores=["margn"])
    fails("valid dictionary", chains=["{"])
    fails("names a network without a table", chains=[{"networks": ["small", "tiny", "large"]}])
    fails("3 networks need 2 thresholds", chains=[{"networks": ["small", "middle", "large"], "thresholds": [1]}])
    fails("small.*is of seed 0, not 3; give the tables of one seed", seed=3)
    fails("middle.*is of seed 1, not 0", probabilities=[paths[0], write_tables(tmp_path / "other", seed=1)[1]])
    fails("disagree|does not hold the images", probabilities=[paths[0], write_tables(tmp_path / "o", n=500)[1]])

    def chooses(message: str, **arguments: object) -> None:
        with pytest.raises(MetannError, match=message):
            choose_cascade(**({"searches": [searched / "cascade/seed_0"], "output": tmp_path / "x"} | arguments))

    chooses("no search given", searches=[])
    chooses("of one seed", searches=[searched / "cascade/seed_0"] * 2)
    search_cascade(probabilities=paths, output=tmp_path / "hard", options=CascadeSearch(target=1.0))
    chooses("no pair meets the target of 1.0000", searches=[tmp_path / "hard"], options=CascadeChoice(objective="target_accuracy"))
    chooses("no pair meets a budget of None", searches=[tmp_path / "hard"], options=CascadeChoice(objective="budget"))
    chooses("another grid", searches=[searched / "cascade/seed_0", tmp_path / "hard"])
