"""Frontiers: chosen on validation, told on test; against naive loops, scipy and published numbers."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metann.report.frontier import against_plain, both_splits, frontiers, own, sentences
from metann.statistics.frontier import best_within, difference_interval, fisher_p, unbeaten
from metann.statistics.intervals import wilson_interval

POINTS = st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0, float("nan")]), st.integers(0, 6)), min_size=1, max_size=12)


@given(POINTS)
def test_unbeaten_is_what_nobody_beats(points: list[tuple[float, int]]) -> None:
    cost, accuracy = (np.array(values, float) for values in zip(*points, strict=True))
    for i, here in enumerate(unbeaten(cost, accuracy)):
        beaten = any(
            (cost[j] < cost[i] and accuracy[j] >= accuracy[i])
            or (cost[j] <= cost[i] and accuracy[j] > accuracy[i])
            or (cost[j] == cost[i] and accuracy[j] == accuracy[i] and j < i)
            for j in range(len(points))
        )
        assert here == (not beaten and np.isfinite(cost[i]))


@given(POINTS, st.lists(st.floats(0, 10), min_size=1, max_size=5))
def test_best_within_a_budget(points: list[tuple[float, int]], budgets: list[float]) -> None:
    cost, accuracy = (np.array(values, float) for values in zip(*points, strict=True))
    for budget, found in zip(budgets, best_within(cost, accuracy, budgets), strict=True):
        able = [i for i in range(len(points)) if cost[i] <= budget]
        assert found == (min(able, key=lambda i: (-accuracy[i], cost[i], i)) if able else -1)


def test_difference_of_newcombe() -> None:
    # Newcombe 1998, table II, method 10: (a) 56/70 - 48/80, (h) 10/10 - 0/10, (f) 10/10 - 0/20
    assert difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference_interval(10, 10, 0, 10) == pytest.approx((0.6075, 1.0), abs=5e-5)
    assert difference_interval(10, 10, 0, 20) == pytest.approx((0.6791, 1.0), abs=5e-5)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_fisher_against_scipy(n_a: int, n_b: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    expected = stats.fisher_exact([[a, n_a - a], [b, n_b - b]]).pvalue
    assert fisher_p(a, n_a, b, n_b) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def rows(
    family: str,
    setting: str,
    macs: float,
    val: float,
    test: float,
    *,
    role: str = "setting",
    seed: int = 0,
    chosen: bool = False,
    n: int = 1000,
) -> list[dict[str, object]]:
    found = []
    for split, share in (("val", val), ("test", test)):
        low, high = wilson_interval(round(share * n), n)
        row = {"family": family, "setting": setting, "role": role, "seed": seed, "split": split, "n": n, "correct": round(share * n)}
        row |= {"accuracy": share, "low": float(low), "high": float(high), "macs": macs, "chosen": chosen, "load": json.dumps({})}
        found.append(row)
    return found


def plain(name: str, macs: float, val: float, test: float, **more: object) -> list[dict[str, object]]:
    return rows("network", name, macs, val, test, role="network", **more)


NETWORKS = plain("small", 1e6, 0.80, 0.80) + plain("wide", 4e6, 0.90, 0.88)


def test_the_frontier_is_chosen_on_validation_and_told_on_test() -> None:
    """The best on test was not the best on validation, and is not on the line."""
    results = pd.DataFrame(NETWORKS + rows("mnn", "lucky on val", 2e6, 0.87, 0.81) + rows("mnn", "lucky on test", 2e6, 0.86, 0.95))
    line = frontiers(results, 0.95).query("of == 'all'")
    assert line["settings"].tolist() == ["small", "lucky on val", "wide"]
    assert line["accuracy"].tolist() == [0.80, 0.81, 0.88]
    assert line["plain_accuracy"].tolist() == [0.80, 0.80, 0.88]
    assert frontiers(results, 0.95).query("of == 'plain'")["settings"].tolist() == ["small", "wide"]
    low, high = wilson_interval(810, 1000)
    assert (line["low"].iloc[1], line["high"].iloc[1]) == pytest.approx((low, high))


def test_a_plain_network_in_disguise_is_no_merit_of_a_family() -> None:
    results = pd.DataFrame(NETWORKS + rows("mnn", "none", 1e6, 0.80, 0.80) + rows("mnn", "top_k(1)", 1.5e6, 0.82, 0.79))
    assert own(both_splits(results))["setting"].tolist() == ["top_k(1)"]
    only = pd.DataFrame(NETWORKS + rows("mnn", "none", 1e6, 0.80, 0.80, chosen=True))
    assert "run plain networks alone" in sentences(only, frontiers(only, 0.95), "mnn", 0.95)[0]


def test_a_bound_and_an_unknown_cost_are_on_no_line() -> None:
    results = pd.DataFrame(
        NETWORKS + rows("cascade", "oracle", 1.5e6, 0.99, 0.99, role="bound") + rows("cascade", "table", float("nan"), 0.98, 0.98)
    )
    fronts = frontiers(results, 0.95)
    assert set(fronts["of"]) == {"all", "plain"}
    assert fronts.query("of == 'all'")["settings"].tolist() == ["small", "wide"]
    assert "are unknown" in sentences(pd.DataFrame(rows("cascade", "table", float("nan"), 0.98, 0.98)), fronts, "cascade", 0.95)[0]


def test_seeds_choose_on_their_own() -> None:
    """A cascade has a threshold for each seed: no setting is common, and the line is the mean of what each seed takes."""
    results = pd.DataFrame(
        [
            *(row for seed, test in ((0, 0.80), (1, 0.82)) for row in plain("small", 1e6, 0.8, test, seed=seed)),
            *rows("cascade", "threshold 0.71", 2e6, 0.9, 0.86, seed=0, chosen=True),
            *rows("cascade", "threshold 0.73", 2.2e6, 0.9, 0.90, seed=1, chosen=True),
        ]
    )
    line = frontiers(results, 0.95).query("of == 'cascade'")
    assert line["budget"].tolist() == [2.2e6]
    assert line["accuracy"].tolist() == pytest.approx([0.88])
    assert line["macs"].tolist() == pytest.approx([2.1e6])
    assert line["plain_accuracy"].tolist() == pytest.approx([0.81])
    half = stats.t.ppf(0.975, 1) * np.std([0.86, 0.90], ddof=1) / np.sqrt(2)
    assert line["high"].tolist() == pytest.approx([0.88 + half])


def test_tables_without_a_seed_stand_in_every_seed() -> None:
    results = pd.DataFrame(
        plain("table", 1e6, 0.8, 0.8, seed=-1) + rows("mnn", "a", 2e6, 0.9, 0.9, seed=0) + rows("mnn", "a", 2e6, 0.9, 0.9, seed=1)
    )
    assert frontiers(results, 0.95).query("of == 'mnn'")["plain_accuracy"].tolist() == [0.8]


def test_a_family_below_all_plain_networks_is_told_so() -> None:
    results = pd.DataFrame(NETWORKS + rows("mixture", "a", 2e6, 0.7, 0.75, chosen=True) + rows("mixture", "b", 6e6, 0.85, 0.87))
    said = sentences(results, frontiers(results, 0.95), "mixture", 0.95)
    assert said[0].startswith("**`mixture` never reaches the frontier of plain networks:**")
    assert "nearest lies 1.00 points above it, at 6 M" in said[0]
    assert "Evidence of a loss" in said[1] or "evidence of a loss" in said[1]
    assert "`small`, 80.00 %" in said[1]
    assert sentences(results, frontiers(results, 0.95), "mixture", 0.95, ["other"]) == said
    assert sentences(results, frontiers(results, 0.95), "mixture", 0.95, ["small"]) == said[:1], "its page compares them image by image"


def test_a_family_above_is_told_so_and_with_evidence_only_where_there_is_some() -> None:
    results = pd.DataFrame(NETWORKS + rows("cascade", "a", 2e6, 0.88, 0.88, chosen=True))
    said = sentences(results, frontiers(results, 0.95), "cascade", 0.95)
    assert "1 lie on or above" in said[0]
    verdict, mine, beside = against_plain(results, "cascade", 0.95)
    assert (verdict.word, mine["setting"].tolist(), beside["setting"].tolist()) == ("gain", ["a"], ["small"])
    few = pd.DataFrame(plain("small", 1e6, 0.8, 0.8, n=50) + rows("cascade", "a", 2e6, 0.88, 0.88, chosen=True, n=50))
    assert against_plain(few, "cascade", 0.95)[0].word == "no evidence"


def test_a_family_cheaper_than_every_plain_network() -> None:
    results = pd.DataFrame(NETWORKS + rows("hypernetwork", "a", 1e5, 0.6, 0.6, chosen=True))
    assert "costs more" in sentences(results, frontiers(results, 0.95), "hypernetwork", 0.95)[0]
    assert against_plain(results, "hypernetwork", 0.95) is None
