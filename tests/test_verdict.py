"""The one rule of evidence: what it says, that every page says it, and how often it is wrong."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann.cascade import score_functions
from metann.cascade.summary import _answer
from metann.errors import MetannError
from metann.mnn.summary import answer
from metann.statistics.intervals import t_interval
from metann.statistics.paired import compare_counts, mcnemar_p
from metann.statistics.permutation import sign_flip_p
from metann.statistics.verdict import Verdict, verdict_of_chance, verdict_of_counts, verdict_over_seeds

N = 10_000
ALMOST = [40, 50, 60, 50, 40, -1]
"""Images gained over six seeds: t says a gain (from 0.17 to 0.62 points), the sign flips do not (p = 0.0625)."""


def counts(nets: list[int], changed: int = 30) -> tuple[np.ndarray, np.ndarray]:
    nets_S = np.array(nets)
    return np.maximum(nets_S, 0) + changed, np.maximum(-nets_S, 0) + changed


@pytest.mark.parametrize(
    ("fixed", "broken", "word", "start"),
    [
        (80, 20, "gain", "evidence of a gain: +0.60 points (95 % interval +0.40 to +0.80; 80 fixed and 20 broken of 10,000 images"),
        (20, 80, "loss", "evidence of a loss: -0.60 points"),
        (45, 40, "no evidence", "no evidence of a gain: +0.05 points"),
        (0, 0, "no evidence", "no evidence of a gain: +0.00 points"),
        (5, 0, "no evidence", "no evidence of a gain: +0.05 points"),  # the interval leaves 0 out, the exact test does not (p = 0.06)
        (0, 5, "no evidence", "no evidence of a gain: -0.05 points"),
    ],
)
def test_one_seed(fixed: int, broken: int, word: str, start: str) -> None:
    found, compared = verdict_of_counts(N, fixed, broken), compare_counts(N, fixed, broken)
    assert found.word == word
    assert found.sentence.startswith(start)
    assert (found.gain, found.low, found.high, found.p) == (compared.gain, compared.low, compared.high, compared.p)
    assert (found.n, found.seeds) == (N, 1)
    assert "exact McNemar p" in found.numbers


def test_six_seeds_of_which_one_does_not_gain() -> None:
    found = verdict_of_counts([N] * 6, *counts(ALMOST))
    assert t_interval(np.array(ALMOST) / N).low > 0
    assert found.p == sign_flip_p(np.array(ALMOST) / N) == 0.0625
    assert (found.word, found.n, found.seeds) == ("no evidence", N, 6)
    assert "mean of 6 seeds (95 % t interval +0.17 to +0.62; sign-flip p = 0.062, which cannot be below 0.031)" in found.numbers
    assert verdict_of_counts([N] * 6, *counts([40, 50, 60, 50, 40, 1])).word == "gain"


def cascade_page(nets: list[int]) -> list[str]:
    """The paragraphs that a cascade's page begins with."""
    fixed_S, broken_S = counts(nets)
    columns = {"n": N, "fixed": fixed_S, "broken": broken_S, "accuracy": 0.9, "first": "a", "second": "b", "score": "difference"}
    columns |= {
        "postcheck": False,
        "answer": "second",
        "threshold": 0.5,
        "use": 0.1,
        "macs": 1.0,
        "val_n": N,
        "better": "b",
        "better_accuracy": 0.9,
    }
    columns |= {"better_macs": 1.0, "best": "c", "best_accuracy": 0.9, "best_macs": 1.0, "best_fixed": fixed_S, "best_broken": broken_S}
    return _answer(pd.DataFrame(columns)).split("\n\n")


def pages(nets: list[int]) -> list[str]:
    """The first words of the pages of both families on the same counts."""
    fixed_S, broken_S = counts(nets)
    common = {"n": N, "fixed": fixed_S, "broken": broken_S, "accuracy": 0.9}
    of_mnn = {"baseline_accuracy": 0.9, "mean_experts": 1.0, "mean_macs": 2.0, "baseline_macs": 1.0, "switch_function": "threshold"}
    mnn = answer(pd.DataFrame(common | of_mnn), 0.95)
    return [mnn, *cascade_page(nets)[2:]]


def test_the_side_on_which_the_second_network_is_asked_is_the_score_functions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is asked when the difference of a is below the threshold" in cascade_page([60])[1]
    monkeypatch.setattr(score_functions.difference, "sure", "low")
    assert "is asked when the difference of a is above the threshold" in cascade_page([60])[1]


@pytest.mark.parametrize(
    ("nets", "says"),
    [
        (ALMOST, "no evidence of a gain"),
        ([-40, -50, -60, -50, -40, -30], "evidence of a loss"),
        ([40, 50, 60, 50, 40, 30], "evidence of a gain"),
        ([60], "evidence of a gain"),
        ([-60], "evidence of a loss"),
        ([2, 2], "no evidence of a gain"),
        ([60, 60, 62], "evidence of a gain"),
    ],
)
def test_every_page_says_the_same(nets: list[int], says: str) -> None:
    mnn, better, best = pages(nets)
    assert mnn.startswith(f"**{says.capitalize()} against")
    numbers = verdict_of_counts([N] * len(nets), *counts(nets)).numbers
    for text in (better, best):
        assert f": {says}: {numbers}." in text
    assert f": {numbers}." in mnn


def test_few_seeds_that_agree_need_the_images_too() -> None:
    """Two seeds that happen to gain two images each have a t interval of no width."""
    alike = verdict_of_counts([N] * 2, *counts([2, 2]))
    assert alike.low == alike.high == pytest.approx(2 / N)
    assert (alike.word, alike.p) == ("no evidence", 1.0)
    fixed_S, broken_S = counts([60, 62, 61])
    found = verdict_of_counts([N] * 3, fixed_S, broken_S)
    assert found.word == "gain"
    assert found.p == pytest.approx(3 * mcnemar_p(fixed_S, broken_S).min())
    assert "sign-flip p = 0.25, which cannot be below 0.25, so that the images decide" in found.numbers
    # and the seeds have to agree, however sure each is of itself
    assert verdict_of_counts([N] * 3, *counts([60, -62, 61])).word == "no evidence"
    assert verdict_of_counts([N] * 6, *counts([9, 9, 9, 9, 9, 9]), 0.99).word == "no evidence"  # 0.01 is out of six seeds' reach


def test_few_seeds_alone_are_no_evidence() -> None:
    found = verdict_over_seeds([0.010, 0.011, 0.012])
    assert (found.word, found.n) == ("no evidence", None)
    assert np.isnan(found.p)
    assert "which cannot be below 0.25: too few seeds for it" in found.numbers
    assert verdict_over_seeds([0.010, 0.011, 0.012], p_of_seeds=[0.3, 0.01, 0.2]).word == "gain"
    assert verdict_over_seeds([0.010, 0.011, 0.012], p_of_seeds=[0.3, 0.02, 0.2]).word == "no evidence"
    assert verdict_over_seeds([0.01] * 6).word == "gain"
    # Five seeds cannot be below 0.0625, which is enough at a confidence of 0.9375 and at none above.
    five = [0.010, 0.011, 0.012, 0.011, 0.010]
    assert [verdict_over_seeds(five, confidence).word for confidence in (0.9375, 0.938)] == ["gain", "no evidence"]
    wide = verdict_over_seeds([0.01, 0.02, 0.04, 0.01, 0.03, 0.02], 0.5)
    assert (wide.gain, wide.low, wide.high) == pytest.approx(t_interval([0.01, 0.02, 0.04, 0.01, 0.03, 0.02], 0.5))
    one = verdict_over_seeds([0.3], p_of_seeds=[0.001])
    assert (one.word, one.numbers) == ("no evidence", "+30.00 points (one seed, no interval)")


def test_a_choice_against_chance() -> None:
    assert verdict_of_chance(0.01, 0.005, 0.015).word == "gain"
    assert verdict_of_chance(0.01, 0.005, 0.015).p == pytest.approx(8.85e-5, rel=1e-2)  # 3.92 standard errors
    assert verdict_of_chance(0.01, 0.0, 0.02).p == pytest.approx(0.05)
    assert verdict_of_chance(-1e-14, -1e-14, -1e-14).word == "no evidence"  # rounding
    one = verdict_of_chance(0.01, 0.005, 0.015)
    assert (one.gain, one.low, one.high, one.n, one.seeds) == (0.01, 0.005, 0.015, None, 1)
    assert one.numbers == "+1.00 points (95 % interval +0.50 to +1.50)"
    many = verdict_of_chance([0.01, 0.011], [0.005, 0.006], [0.015, 0.016])
    assert (many.word, many.seeds) == ("gain", 2)
    assert verdict_of_chance([0.01, 0.011], [-0.05, -0.05], [0.07, 0.072]).word == "no evidence"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=9), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_mirror_image_of_a_gain_is_a_loss(pairs: list[tuple[int, int]], confidence: float) -> None:
    fixed_S, broken_S = np.array(pairs).T
    found = verdict_of_counts([200] * len(pairs), fixed_S, broken_S, confidence)
    mirror = verdict_of_counts([200] * len(pairs), broken_S, fixed_S, confidence)
    assert mirror.word == {"gain": "loss", "loss": "gain"}.get(found.word, found.word)
    assert mirror.gain == pytest.approx(-found.gain)
    if found.word != "no evidence":
        assert found.p <= 1 - confidence
        assert found.low > 0 or found.high < 0
        assert found.head.endswith(found.word)
        assert found.sentence.startswith(f"evidence of a {found.word}: ")
    else:
        assert found.sentence.startswith("no evidence of a gain: ")


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 6, 8])
def test_chance_alone_is_seldom_a_gain_or_a_loss(seeds: int) -> None:
    """Differing images of a fair coin: at most 5 % of 2,000 such runs may pass for one.

    Where the images decide, half of them are the same in all seeds; six seeds or more are asked about trainings, not about images.
    """
    rng = np.random.default_rng(seeds)
    wrong = 0
    for _ in range(2000):
        shared = rng.binomial(20, 0.5) if seeds < 6 else 10
        fixed_S = shared + rng.binomial(20, 0.5, seeds)
        wrong += verdict_of_counts([N] * seeds, fixed_S, 40 - fixed_S).word != "no evidence"
    assert wrong / 2000 <= 0.06


def test_bad_input() -> None:
    for call, says in [
        (lambda: verdict_of_counts([N, N], [1], [1]), "one count for each seed"),
        (lambda: verdict_of_counts(N, 0.5, 0), "whole numbers"),
        (lambda: verdict_of_counts(N, np.nan, 0), "finite"),
        (lambda: verdict_of_counts(10, 8, 8), "8 fixed and 8 broken of 10 images"),
        (lambda: verdict_over_seeds([]), "finite"),
        (lambda: verdict_over_seeds([0.1, 0.2], p_of_seeds=[0.1]), "2 gains and 1 p"),
        (lambda: verdict_of_counts(N, 3, 1, 1.0), "confidence 1.0"),
    ]:
        with pytest.raises(MetannError, match=says):
            call()


def test_a_verdict_is_data() -> None:
    found = verdict_of_counts(N, 80, 20)
    assert isinstance(found, Verdict)
    with pytest.raises(AttributeError):
        found.word = "loss"
