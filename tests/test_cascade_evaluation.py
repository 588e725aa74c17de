"""Pairs judged on tables, chains, savings, ranking and classification: each against counting by hand or scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from cascade_tables import made_up
from hypothesis import given, settings
from hypothesis import strategies as st

from metann.cascade.chain import search_chain
from metann.cascade.choice import chosen_rows, correlations, rank_pairs
from metann.cascade.evaluation import chain_row, complementarity_rows, curve_rows, in_sample_rows, pair_rows, single_rows
from metann.cascade.held_out import HeldOut, Network
from metann.cascade.memory import Memory
from metann.cascade.rule import decide
from metann.cascade.savings import savings_row
from metann.cascade.search import search_threshold
from metann.cascade.workload import build_workload
from metann.statistics.classification import classification_rows
from metann.statistics.paired import compare_paired

SCORES = ("max_probability", "difference", "entropy")
ANSWERS = ("second", "more_confident", "mean", "product")


@pytest.fixture(scope="module")
def held() -> HeldOut:
    generator = np.random.default_rng(3)
    labels_N = generator.integers(0, 4, 800)
    networks = [
        Network(name, macs, made_up(s, labels_N, 4, generator)) for name, s, macs in [("a", 2.0, 1e6), ("b", 2.6, 5e6), ("c", 2.3, 3e6)]
    ]
    return HeldOut(networks, labels_N, generator.random(800) < 0.4)


def rows_of(held: HeldOut, **changes: object) -> pd.DataFrame:
    settings = {"scores": SCORES, "answers": ANSWERS, "grid": 50, "target": 0.7, "budget": 4e6} | changes
    return pd.DataFrame([row for pair in held.pairs() for row in pair_rows(held, pair, **settings)])


def test_pairs_are_fitted_on_validation_and_judged_on_test(held: HeldOut) -> None:
    rows = rows_of(held)
    assert set(rows["objective"]) == {"accuracy", "target_accuracy", "budget", "bound"}
    for row in rows.sample(25, random_state=0).itertuples():
        a, b = held.named(row.first), held.named(row.second)
        val, test = held.val_N, ~held.val_N
        decisions = decide([a.p_NK, b.p_NK], [row.threshold], row.score, False, held.labels_N, answer=row.answer)
        right = decisions.prediction_N == held.labels_N
        sent = decisions.asked_N == 2
        assert (row.val_correct, row.val_sent) == (right[val].sum(), sent[val].sum())
        assert (row.correct, row.sent, row.n) == (right[test].sum(), sent[test].sum(), test.sum())
        assert row.macs == pytest.approx(a.macs + sent[test].mean() * b.macs)
        better = max((a, b), key=lambda network: held.right(network.name)[val].sum())
        compared = compare_paired(held.right(better.name)[test], right[test])
        assert (row.better, row.fixed, row.broken, row.mcnemar_p) == (better.name, compared.fixed, compared.broken, compared.p)
        if row.search == "exact" and row.objective == "accuracy":
            found = search_threshold(a.p_NK[val], b.p_NK[val], held.labels_N[val], row.score, answer=row.answer)
            assert (row.threshold, row.val_correct) == (found.threshold, found.correct)
        if row.search == "grid":
            assert row.threshold == np.linspace(0, 1, 50)[int(row.grid_index)]
        if row.objective == "budget":
            assert row.val_macs <= 4e6
        if row.objective == "target_accuracy":
            assert row.val_accuracy >= 0.7


def test_an_objective_out_of_reach_has_no_row(held: HeldOut) -> None:
    rows = rows_of(held, target=1.0, budget=0.5e6)
    assert set(rows["objective"]) == {"accuracy", "bound"}
    assert set(rows_of(held, budget=None)["objective"]) == {"accuracy", "target_accuracy", "bound"}


def test_oracle_bounds_every_pair(held: HeldOut) -> None:
    rows = rows_of(held)
    bound = rows[rows["objective"] == "bound"].set_index(["first", "second"])
    for row in rows.itertuples():
        assert row.correct <= bound.loc[(row.first, row.second), "correct"]
        assert bound.loc[(row.first, row.second), "sent"] == (~held.right(row.first)[~held.val_N]).sum()


def test_in_sample_is_searched_on_everything(held: HeldOut) -> None:
    rows = pd.DataFrame(in_sample_rows(held, ("a", "b"), SCORES, ANSWERS[:2], 2000))
    assert len(rows) == 2 * (6 + 1)
    for row in rows.itertuples():
        a, b = held.named("a").p_NK, held.named("b").p_NK
        found = search_threshold(a, b, held.labels_N, row.score, row.postcheck, 2000 if row.search == "grid" else None)
        assert (row.correct, row.sent, row.threshold, row.n) == (found.correct, found.sent, found.threshold, 800)


def test_curves(held: HeldOut) -> None:
    frame = pd.DataFrame(curve_rows(held, ("a", "c"), SCORES, ANSWERS[:2], 11))
    assert len(frame) == 66
    test = ~held.val_N
    for row in frame.sample(15, random_state=1).itertuples():
        both = [held.named("a").p_NK[test], held.named("c").p_NK[test]]
        decisions = decide(both, [row.threshold], row.score, answer=row.answer)
        assert row.accuracy == pytest.approx((decisions.prediction_N == held.labels_N[test]).mean())
        assert row.use == pytest.approx((decisions.asked_N == 2).mean())
        assert row.macs == pytest.approx(1e6 + 3e6 * row.use)


def test_singles_and_complementarity(held: HeldOut) -> None:
    singles = pd.DataFrame(single_rows(held)).set_index("network")
    assert singles.loc["b", "accuracy"] == held.right("b")[~held.val_N].mean()
    assert (singles["low"] < singles["accuracy"]).all()
    rows = pd.DataFrame(complementarity_rows(held)).set_index(["form", "images", "first", "second"])["value"]
    val = held.val_N
    assert rows["exactly_one_right", "val", "a", "c"] == pytest.approx((held.right("a") ^ held.right("c"))[val].mean())
    assert rows["balanced_one_right", "val+test", "b", "b"] == 0


@given(st.integers(0, 2**31), st.sampled_from([*SCORES, "oracle"]), st.sampled_from(ANSWERS), st.integers(2, 4))
def test_a_searched_chain_is_greedily_best(seed: int, score: str, answer: str, stages: int) -> None:
    """No threshold of the last stage does better on the images that reach it; with two networks it is the exact search."""
    generator = np.random.default_rng(seed)
    labels_N = generator.integers(0, 3, 40)
    tables = [made_up(1.5, labels_N, 3, generator) for _ in range(stages)]
    found = search_chain(tables, labels_N, score, answer=answer)
    assert len(found) == stages - 1
    if stages == 2:
        assert found == [search_threshold(*tables, labels_N, score, answer=answer).threshold]
    if answer == "more_confident":
        assert found == search_chain(tables, labels_N, score, True)

    def right(last: float) -> int:
        return int((decide(tables, [*found[:-1], last], score, labels_N=labels_N, answer=answer).prediction_N == labels_N).sum())

    so_far = decide(tables[:-1], found[:-1], score, labels_N=labels_N, answer=answer)
    assert right(found[-1]) == max(right(threshold) for threshold in [*so_far.score_N, -1, 2])


def test_chain_row(held: HeldOut) -> None:
    row = chain_row(held, ["a", "c", "b"], [0.9, 0.5], "difference", "more_confident")
    decisions = decide([held.named(name).p_NK for name in "acb"], [0.9, 0.5], "difference", "more_confident")
    test = ~held.val_N
    assert row["chain"] == "a > c > b"
    assert row["correct"] == (decisions.prediction_N == held.labels_N)[test].sum()
    costs = np.array([1e6, 4e6, 9e6])[decisions.asked_N[test] - 1]
    assert row["macs"] == pytest.approx(costs.mean())
    shares = [f"{(decisions.asked_N[test] > stage).mean():.4f}" for stage in range(3)]
    assert (row["use_by_stage"], row["score"], row["thresholds"]) == (", ".join(shares), "difference", "0.9, 0.5")
    tables = [held.named(name).p_NK[held.val_N] for name in "acb"]
    for answer in ("second", "product"):  # thresholds that nobody gives are searched, for this answer
        found = search_chain(tables, held.labels_N[held.val_N], "difference", answer=answer)
        row = chain_row(held, ["a", "c", "b"], [], "difference", answer)
        assert row == chain_row(held, ["a", "c", "b"], found, "difference", answer)
        assert row["val_accuracy"] >= held.right("a")[held.val_N].mean()


def test_a_stage_that_no_image_reaches_sends_nothing() -> None:
    """Where the first network is always right, the second is not asked, and the third not either."""
    labels_N = np.arange(9) % 3
    right, wrong = np.eye(3)[labels_N] * 0.7 + 0.1, np.eye(3)[(labels_N + 1) % 3] * 0.7 + 0.1
    for score in SCORES:
        found = search_chain([right, wrong, wrong], labels_N, score)
        assert (decide([right, wrong, wrong], found, score).asked_N == 1).all()
        assert (decide([right, wrong], found[1:], score).asked_N == 1).all()


# -- ranking -------------------------------------------------------------------------------------------------------------


def ranked(held: HeldOut, objective: str, **changes: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    frames = [rows_of(held, **changes), pd.DataFrame(complementarity_rows(held)), pd.DataFrame(single_rows(held))]
    for frame in frames:
        frame["seed"] = 0
    return frames[0], rank_pairs(*frames, "exact", objective)


def test_ranking_goes_by_validation(held: HeldOut) -> None:
    results, ranking = ranked(held, "accuracy")
    assert list(ranking["rank"]) == [1, 2, 3, 4, 5, 6]
    mine = results.query("search == 'exact' and objective == 'accuracy'")
    assert ranking["val_accuracy"].iloc[0] == mine["val_accuracy"].max()
    assert ranking["val_accuracy"].is_monotonic_decreasing
    results, ranking = ranked(held, "target_accuracy")
    assert ranking["val_macs"].is_monotonic_increasing
    picked = chosen_rows(results, ranking, "exact", "target_accuracy")
    assert len(picked) == 1
    assert picked["val_macs"].iloc[0] == results.query("search == 'exact' and objective == 'target_accuracy'")["val_macs"].min()


def test_pareto_by_hand(held: HeldOut) -> None:
    _, ranking = ranked(held, "accuracy")
    points = [(row.val_macs, row.val_accuracy) for row in ranking.itertuples()]
    points += [(row["macs"], row["val_accuracy"]) for row in single_rows(held)]
    for row, (cost, accuracy) in zip(ranking.itertuples(), points, strict=False):
        beaten = any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in points)
        assert row.pareto == (not beaten)


def test_an_objective_that_nothing_reaches_ranks_nothing(held: HeldOut) -> None:
    assert ranked(held, "target_accuracy", target=1.0)[1].empty


def test_correlations(held: HeldOut) -> None:
    _, ranking = ranked(held, "accuracy")
    found = correlations(ranking)
    assert found["exactly_one_right"] == pytest.approx(np.corrcoef(ranking["exactly_one_right"], ranking["gain"])[0, 1])
    assert np.isnan(correlations(ranking.head(2))["balanced_one_right"])


# -- memory and classification -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [None, 30])
def test_savings_image_by_image(held: HeldOut, capacity: int | None) -> None:
    n = 120
    labels_N = held.labels_N[:n]
    decisions = decide([held.named("a").p_NK[:n], held.named("b").p_NK[:n]], [0.7], "difference", True)
    work = build_workload(n, 1.5)
    keys_M = work.source_M // 2  # two images share a key: false hits
    row = savings_row(decisions, labels_N, [1.0, 10.0], work, keys_M, capacity)
    store: dict[int, int] = {}
    hits = first = second = right = false_hits = second_without = right_without = 0
    for key, source in zip(keys_M.tolist(), work.source_M.tolist(), strict=True):
        if key in store:
            hits += 1
            origin = store.pop(key)
            false_hits += origin != source
        else:
            origin = source
            first += 1
            second += int(decisions.asked_N[source] == 2)
        store[key] = origin
        if capacity is not None and len(store) > capacity:
            store.pop(next(iter(store)))
        right += int(decisions.prediction_N[origin] == labels_N[source])
        second_without += int(decisions.asked_N[source] == 2)
        right_without += int(decisions.prediction_N[source] == labels_N[source])
    assert 0 < second < second_without < len(work) == row["n"] == row["hits"] + row["misses"]
    assert (row["hit_rate"], row["use"]) == (hits / len(work), second / len(work))
    assert row["accuracy_without"] == pytest.approx(right_without / len(work))
    assert row["macs_without"] == pytest.approx((len(work) + 10 * second_without) / len(work))
    assert (row["hits"], row["misses"], row["second_calls"], row["false_hits"]) == (hits, first, second, false_hits)
    assert row["accuracy"] == pytest.approx(right / len(work))
    assert row["macs"] == pytest.approx((first + 10 * second) / len(work))
    assert row["expected_hit_rate"] == pytest.approx(0.6)


def test_published_memory_arithmetic() -> None:
    """d = 1 with an ideal memory: half of the stream hits, and every network runs as often as without duplicates."""
    decisions = decide([np.array([[0.6, 0.4]] * 10), np.array([[0.4, 0.6]] * 10)], [0.5], "difference", False)
    work = build_workload(10, 1)
    row = savings_row(decisions, np.ones(10, int), [1.0, 2.0], work, work.source_M, None)
    assert (row["hit_rate"], row["second_calls"], row["macs"], row["macs_without"]) == (0.5, 10, 1.5, 3.0)
    assert Memory().hits == 0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_classification_report_against_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import classification_report

    labels, predictions = (np.array(side) for side in zip(*pairs, strict=True))
    names = ["w", "x", "y", "z"]
    rows = {row["name"]: row for row in classification_rows(labels, predictions, names)}
    expected = classification_report(labels, predictions, labels=range(4), target_names=names, output_dict=True, zero_division=0)
    for name in [*names, "weighted avg"]:
        for mine, theirs in [("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"), ("support", "support")]:
            assert rows[name][mine] == pytest.approx(expected[name][theirs])
    present = classification_report(labels, predictions, output_dict=True, zero_division=0)  # classes that occur at all
    assert rows["macro avg"]["f1"] == pytest.approx(present["macro avg"]["f1-score"])
    assert rows["accuracy"]["recall"] == pytest.approx((labels == predictions).mean())
