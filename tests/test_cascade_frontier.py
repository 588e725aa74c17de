"""Every chain of networks: the walk over sets against deciding each chain on its own, exact thresholds, and published tables."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cascade_tables import NETWORKS, made_up, write_tables
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metann.cascade import every_chain
from metann.cascade.every_chain import GRID, Found, States, exact_thresholds, frontier
from metann.cascade.frontier import choose_chain, frontier_rows
from metann.cascade.held_out import HeldOut, Network
from metann.cascade.inputs import read_cascade
from metann.cascade.rule import decide, high_is_sure
from metann.cascade.search import choose, sweep_thresholds
from metann.config.cascade import CascadeChoice, CascadeSearch, CascadeSection, ChainSection
from metann.config.section import flags, read_section
from metann.errors import MetannError
from metann.stages.choose_cascade import choose_cascade
from metann.stages.search_cascade import search_cascade
from metann.statistics.paired import compare_paired
from metann.statistics.temperature import apply_temperature, fit_temperature
from metann.tables.frames import read_frame
from metann.tables.probabilities import read_probabilities

TABLES = Path(__file__).parents[2] / "shared" / "data" / "probabilities"
PUBLISHED = {
    "mobilenet_v2": 88.0e6,
    "resnet18": 140.2e6,
    "densenet121": 223.4e6,
    "vgg11_bn": 272.3e6,
    "resnet34": 291.2e6,
    "resnet50": 325.8e6,
    "vgg19_bn": 517.7e6,
    "googlenet": 1337.1e6,
}
WAYS = st.sampled_from(["second", "more_confident", "mean", "product"])
SCORES = st.sampled_from(["max_probability", "difference", "entropy"])


def some_tables(seed: int, networks: int, n: int = 60) -> tuple[list[np.ndarray], np.ndarray, list[float]]:
    generator = np.random.default_rng(seed)
    labels_N = generator.integers(0, 4, n)
    tables = [made_up(1.2 + generator.random(), labels_N, 4, generator) for _ in range(networks)]
    return tables, labels_N, generator.integers(1, 50, networks).astype(float).tolist()


def as_decided(tables, labels_N, macs, chain, thresholds, score: str, answer: str) -> tuple[int, float]:
    """Right answers and cost of all images."""
    decisions = decide([tables[i] for i in chain], thresholds, score, answer=answer)
    cost_N = np.cumsum([macs[i] for i in chain])[decisions.asked_N - 1]
    return int((decisions.prediction_N == labels_N).sum()), float(cost_N.sum())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), SCORES, WAYS)
def test_a_walk_is_every_chain_decided_on_its_own(seed: int, score: str, answer: str) -> None:
    tables, labels_N, macs = some_tables(seed, 4)
    threshold = 0.8 if high_is_sure(score) else 0.4
    found = list(every_chain._every(States(tables, labels_N, score, answer), macs, 3, threshold))
    chains = {chain for _, _, chain in found}
    assert len(chains) == len(found)
    for correct, cost, chain in found:
        assert (correct, cost) == as_decided(tables, labels_N, macs, chain, [threshold] * (len(chain) - 1), score, answer), chain
    for length in (1, 2, 3):  # one that is missing would have asked its last network of no image
        for chain in set(permutations(range(4), length)) - chains:
            so_far = decide([tables[i] for i in chain], [threshold] * (length - 1), score, answer=answer)
            assert (so_far.asked_N < length).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), SCORES, WAYS)
def test_nothing_beats_the_frontier(seed: int, score: str, answer: str) -> None:
    tables, labels_N, macs = some_tables(seed, 3, 40)
    kept, tried = frontier(States(tables, labels_N, score, answer), macs, 3)
    points = []
    for given_threshold in GRID:
        threshold = given_threshold if high_is_sure(score) else 1 - given_threshold
        for length in (1, 2, 3):
            for chain in permutations(range(3), length):
                points.append(as_decided(tables, labels_N, macs, chain, [threshold] * (length - 1), score, answer))
    assert 0 < tried <= len(points)
    best: dict[int, float] = {}
    for correct, cost in points:
        best[correct] = min(cost, best.get(correct, np.inf))
    by_hand = [(c, cost) for c, cost in best.items() if not any(o > c and best[o] <= cost for o in best)]
    np.testing.assert_allclose([(f.correct, f.macs * 40) for f in kept], sorted(by_hand, reverse=True))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), SCORES, WAYS)
def test_exact_thresholds_never_cost_more_and_are_what_is_decided(seed: int, score: str, answer: str) -> None:
    tables, labels_N, macs = some_tables(seed, 4)
    states = States(tables, labels_N, score, answer)
    # in the order of the tables, because two equally confident answers are the earlier table's in a state
    for chain in [(0, 1, 2, 3), (1, 3)]:
        start = (0.7 if high_is_sure(score) else 0.5,) * (len(chain) - 1)
        correct, cost = as_decided(tables, labels_N, macs, chain, start, score, answer)
        found = exact_thresholds(states, macs, Found(chain, start, correct, cost / 60))
        assert (found.correct, found.macs * 60) == pytest.approx(as_decided(tables, labels_N, macs, chain, found.thresholds, score, answer))
        assert found.correct >= correct
        assert found.macs * 60 <= cost * (1 + 1e-9)
        if len(chain) == 2:
            sweep = sweep_thresholds(*(tables[i] for i in chain), labels_N, score, answer=answer)
            within = choose(sweep, "budget", macs=(macs[1], macs[3]), budget=cost / 60 * (1 + 1e-9))
            assert (found.correct, found.macs) == (within.correct, pytest.approx(macs[1] + macs[3] * within.use))


def test_a_beam_walks_fewer_chains_and_finds_as_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    tables, labels_N, macs = some_tables(3, 6, 200)
    states = States(tables, labels_N, "difference", "product")
    every, all_tried = frontier(states, macs, 4)
    monkeypatch.setattr(every_chain, "MOST_EXACT", 5)
    assert frontier(states, macs, 4) == (every, all_tried)  # wide enough for all of them
    monkeypatch.setattr(every_chain, "BEAM", 1)
    narrow, tried = frontier(states, macs, 4)
    assert tried < all_tried / 2
    assert narrow[0].correct >= every[0].correct - 2
    for found in narrow:
        again = as_decided(tables, labels_N, macs, found.chain, found.thresholds, "difference", "product")
        assert (found.correct, found.macs * 200) == pytest.approx(again)


# -- published tables ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> HeldOut:
    if not TABLES.is_dir():
        pytest.skip(f"published tables are not beside this checkout ({TABLES})")
    networks = [Network(name, macs, np.load(TABLES / f"{name}_test.npy")) for name, macs in PUBLISHED.items()]
    return HeldOut(networks, np.load(TABLES / "labels_test.npy"), np.arange(10_000) < 5000)


@pytest.mark.parametrize(
    ("chain", "threshold", "accuracy", "macs"),
    [
        ("mobilenet_v2 > resnet18 > densenet121", 0.9, 93.70, 134),
        ("resnet18 > mobilenet_v2 > vgg19_bn > densenet121 > googlenet", 0.98, 94.80, 316),
    ],
)
def test_measured_chains(published: HeldOut, chain: str, threshold: float, accuracy: float, macs: float) -> None:
    names = chain.split(" > ")
    tables = [published.named(name).p_NK for name in names]
    decisions = decide(tables, [threshold] * (len(names) - 1), "difference", answer="product")
    assert round(100 * (decisions.prediction_N == published.labels_N)[5000:].mean(), 2) == accuracy
    assert round(np.cumsum([PUBLISHED[name] for name in names])[decisions.asked_N[5000:] - 1].mean() / 1e6) == macs


def test_chains_of_the_published_tables(published: HeldOut) -> None:
    """The whole ensemble's accuracy at a tenth of its cost, also by what validation alone says."""
    rows, tried = frontier_rows(published, ["difference"], ["product"], 5, False, 0)
    assert 90_000 < tried <= 96_800
    frame = pd.DataFrame(rows)
    assert round(100 * frame["ensemble_accuracy"].iloc[0], 2) == 94.64
    assert round(frame["ensemble_macs"].iloc[0] / 1e6) == 3196
    measured = frame[(frame["chain"] == "mobilenet_v2 > resnet18 > densenet121") & (frame["thresholds"] == "0.9, 0.9")]
    assert round(100 * measured["accuracy"].iloc[0], 2) == 93.70
    cheap = choose_chain(frame, "exact", "budget", 1.0, 320e6)
    assert cheap["macs"] < 330e6
    assert cheap["ensemble_gain_low"] > -0.005
    assert cheap["best_gain_low"] > 0.01
    for row in frame.sample(12, random_state=0).itertuples():
        chain, thresholds = row.chain.split(" > "), [float(text) for text in row.thresholds.split(", ") if text]
        decisions = decide([published.named(name).p_NK for name in chain], thresholds, "difference", answer="product")
        right_N = decisions.prediction_N == published.labels_N
        assert (row.judged_correct, row.val_correct, row.correct) == (right_N[:5000].sum(), right_N[:5000].sum(), right_N[5000:].sum())
        compared = compare_paired(published.right("vgg19_bn")[5000:], right_N[5000:])
        assert (row.best, row.best_fixed, row.best_broken) == ("vgg19_bn", compared.fixed, compared.broken)
        mean_right_N = np.mean([network.p_NK.astype(np.float64) for network in published.networks], axis=0).argmax(1) == published.labels_N
        compared = compare_paired(mean_right_N[5000:], right_N[5000:])
        assert (row.ensemble_fixed, row.ensemble_broken) == (compared.fixed, compared.broken)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), SCORES, WAYS)
def test_every_row_says_what_its_chain_does(seed: int, score: str, answer: str) -> None:
    """On the images that judge and on test, against the whole ensemble and the best single network; decided anew."""
    tables, labels_N, macs = some_tables(seed, 3)
    val_N = np.random.default_rng(seed).random(len(labels_N)) < 0.5
    assume(4 < val_N.sum() < len(val_N) - 4)
    networks = [Network(name, cost, table) for name, cost, table in zip("abc", macs, tables, strict=True)]
    held = HeldOut(networks, labels_N, val_N, confidence=0.9)
    rows, tried = frontier_rows(held, [score], [answer], 3, False, 0)
    assert tried >= len(rows) > 0
    all_right = np.mean([table.astype(np.float64) for table in tables], axis=0).argmax(axis=1) == labels_N
    best = max("abc", key=lambda name: (held.right(name)[val_N].sum(), -macs["abc".index(name)]))
    for row in rows:
        chain = ["abc".index(name) for name in row["chain"].split(" > ")]
        thresholds = [float(text) for text in row["thresholds"].split(", ") if text]
        decisions = decide([tables[i] for i in chain], thresholds, score, answer=answer)
        right_N, cost_N = decisions.prediction_N == labels_N, np.cumsum([macs[i] for i in chain])[decisions.asked_N - 1]
        assert (row["judged_n"], row["judged_correct"], row["networks"]) == (val_N.sum(), right_N[val_N].sum(), len(chain))
        assert (row["correct"], row["n"]) == (right_N[~val_N].sum(), (~val_N).sum())
        assert row["judged_macs"] == pytest.approx(cost_N[val_N].mean())
        assert row["macs"] == pytest.approx(cost_N[~val_N].mean())
        assert row["asked"] == pytest.approx(decisions.asked_N[~val_N].mean())
        assert row["best_judged_accuracy"] == held.right(best)[val_N].mean()
        compared = compare_paired(all_right[~val_N], right_N[~val_N], 0.9)
        assert (row["ensemble_accuracy"], row["ensemble_macs"]) == (all_right[~val_N].mean(), sum(macs))
        assert (row["ensemble_fixed"], row["ensemble_broken"], row["ensemble_p"]) == (compared.fixed, compared.broken, compared.p)
        assert (row["ensemble_gain"], row["ensemble_gain_low"], row["ensemble_gain_high"]) == (compared.gain, compared.low, compared.high)


def test_a_choice_at_its_bounds() -> None:
    """What is as accurate as the target, or as dear as the budget, is in; of equals the cheaper, or the more accurate; singles never."""
    frame = pd.DataFrame(
        {
            "networks": [1, 2, 2, 2, 3],
            "search": ["grid", "grid", "exact", "grid", "grid"],
            "judged_accuracy": [0.99, 0.75, 0.8, 0.8, 0.9],
            "judged_macs": [1.0, 5.0, 6.0, 7.0, 9.0],
        }
    )

    def choice(search: str, objective: str, target: float = 0.0, budget: float | None = None) -> int | None:
        found = choose_chain(frame, search, objective, target, budget)
        return None if found is None else int(found.name)

    assert choice("exact", "accuracy") == choice("grid", "accuracy") == 4
    assert [choice("exact", "target_accuracy", target) for target in (0.75, 0.76, 0.8, 0.9, 0.91)] == [1, 2, 2, 4, None]
    assert [choice("grid", "target_accuracy", target) for target in (0.75, 0.76, 0.8)] == [1, 3, 3]
    assert [choice("exact", "budget", budget=budget) for budget in (4.9, 5.0, 6.0, 8.9, 9.0, None)] == [None, 1, 2, 2, 4, 4]
    frame["judged_macs"] = 5.0
    assert choice("exact", "target_accuracy", 0.7) == 4
    frame["judged_accuracy"], frame["judged_macs"] = 0.8, [1.0, 5.0, 4.0, 3.0, 9.0]
    assert choice("exact", "accuracy") == choice("exact", "budget", budget=5.0) == 3


# -- stages --------------------------------------------------------------------------------------------------------------


def searched(folder: Path, seed: int = 0, objective: str = "accuracy", **options: object) -> pd.DataFrame:
    wanted = {"chains": "all", "scores": ["difference"], "answers": ["product"], "budget": 2.5e7, "target": 0.75} | options
    search_cascade(
        probabilities=write_tables(folder / "networks", seed), output=folder / f"s{seed}", options=read_section(CascadeSearch, wanted)
    )
    choose_cascade(searches=[folder / f"s{seed}"], output=folder, options=CascadeChoice(objective=objective))
    return read_frame(folder / "tables/cascade_frontier.parquet", "cascade_frontier")


@pytest.mark.parametrize("objective", ["accuracy", "target_accuracy", "budget"])
@pytest.mark.parametrize("cross_fit", [False, True])
def test_the_chosen_chain_is_that_of_the_objective(tmp_path: Path, objective: str, cross_fit: bool) -> None:
    frame = searched(tmp_path, objective=objective, cross_fit=cross_fit)
    (picked,) = frame[frame["chosen"]].itertuples()
    able = frame[frame["networks"] > 1]
    if objective == "budget":
        able = able[able["judged_macs"] <= 2.5e7]
    if objective == "target_accuracy":
        able = able[able["judged_accuracy"] >= 0.75]
        assert picked.judged_macs == able["judged_macs"].min()
    else:
        assert picked.judged_accuracy == able["judged_accuracy"].max()
    described = read_cascade(tmp_path / "s0/cascade.json")
    assert " > ".join(described.networks) == picked.chain
    assert described.answer == "product"
    assert ", ".join(map(repr, described.thresholds)) == picked.thresholds
    meet = read_frame(tmp_path / "tables/cascade_settings.parquet", "cascade_settings")
    chosen = meet[meet["chosen"]]
    assert len(chosen) == 2
    assert set(chosen["setting"].str.startswith(picked.chain)) == {True}
    assert chosen[chosen["split"] == "test"]["correct"].iloc[0] == picked.correct
    assert not meet.duplicated(["setting", "seed", "split"]).any()


def test_cross_fit_judges_by_images_that_found_nothing(tmp_path: Path) -> None:
    frame = searched(tmp_path, cross_fit=True)
    assert set(frame["found_on"]) == {"first half", "second half"}
    assert (frame["judged_n"] == frame["val_n"] / 2).all()
    plain = searched(tmp_path / "plain")
    assert set(plain["found_on"]) == {"val"}
    assert (plain["judged_accuracy"] == plain["val_accuracy"]).all()
    # each chain's two halves make up its validation images
    assert ((frame["val_correct"] >= frame["judged_correct"]) & (frame["val_correct"] - frame["judged_correct"] <= frame["judged_n"])).all()


def test_chains_need_costs_and_are_told_apart_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="'small' has no multiply-accumulates; give its `macs`"):
        search_cascade(
            probabilities=write_tables(tmp_path, macs=False), output=tmp_path / "x", options=read_section(CascadeSearch, {"chains": "all"})
        )
    section = read_section(CascadeSection, {"chains": "all", "max_length": 3, "cross_fit": True})
    words = flags("", section, CascadeSearch)
    assert {"--every-chain", "--max-length=3", "--cross-fit"} <= set(words)
    assert section.figures[-1] == "cascade_frontier"
    assert "cascade_frontier" not in CascadeSection().figures
    assert read_section(CascadeSection, {"chains": "all", "figures": ["cascade_cost"]}).figures == ("cascade_cost",)
    with pytest.raises(MetannError, match="max_length"):
        read_section(CascadeSection, {"chains": "all", "max_length": 1})
    assert len(NETWORKS) == 3


# -- temperatures --------------------------------------------------------------------------------------------------------


def test_networks_are_calibrated_on_validation_first(tmp_path: Path) -> None:
    """All that follows is what calibrated tables say; test images take no part in the temperatures, which cascade.json keeps."""
    paths = write_tables(tmp_path / "networks")
    tables = [read_probabilities(path) for path in paths]
    val, test = tables[0].rows("val"), tables[0].rows("test")
    wanted = {"temperature": "validation", "scores": ["difference"], "answers": ["product"]}
    search_cascade(probabilities=paths, output=tmp_path / "s0", options=read_section(CascadeSearch, wanted))
    choose_cascade(searches=[tmp_path / "s0"], output=tmp_path)
    described = read_cascade(tmp_path / "s0/cascade.json")
    heated = {}
    for name, table in zip(NETWORKS, tables, strict=True):
        temperature = fit_temperature(table.p_NK[val], table.label[val].astype(int))
        assert temperature != 1
        heated[name] = temperature, apply_temperature(table.p_NK, temperature).astype(np.float32)
    assert described.temperatures == tuple(heated[name][0] for name in described.networks)
    decisions = decide([heated[name][1] for name in described.networks], described.thresholds, "difference", answer="product")
    choice = read_frame(tmp_path / "tables/cascade_choice.parquet", "cascade_choice")
    assert choice["correct"].iloc[0] == (decisions.prediction_N == tables[0].label)[test].sum()
    assert choice["sent"].iloc[0] == (decisions.asked_N[test] == 2).sum()
    # and without, nothing of it is written
    search_cascade(probabilities=paths, output=tmp_path / "plain", options=CascadeSearch(scores=("difference",)))
    choose_cascade(searches=[tmp_path / "plain"], output=tmp_path / "other")
    assert read_cascade(tmp_path / "plain/cascade.json").temperatures == ()
    with pytest.raises(MetannError, match="2 networks and 1 temperatures; give one for each"):
        read_section(ChainSection, {"networks": ["a", "b"], "temperatures": [2.0]})
