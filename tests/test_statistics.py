"""metann.statistics against scipy.stats, naive loops and published values."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metann.errors import MetannError
from metann.statistics.intervals import over_seeds, t_interval, wilson_interval
from metann.statistics.paired import compare_counts, compare_paired, mcnemar_p
from metann.statistics.permutation import maximum_permutation_p, sign_flip_p


@given(st.integers(1, 500), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_against_scipy(n, data, confidence):
    k = data.draw(st.integers(0, n))
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_on_arrays_and_ends():
    low, high = wilson_interval([0, 81, 263, 10, 0], [10, 263, 263, 10, 0])
    assert low.shape == (5,)
    assert (low[0], high[2], high[3], low[4], high[4]) == (0, 1, 1, 0, 1)
    # Newcombe 1998, table I, method 3: 81/263 -> 0.2553..0.3662
    assert (low[1], high[1]) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert np.ndim(wilson_interval(3, 4)[0]) == 0


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_against_scipy(fixed, broken):
    expected = stats.binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    assert mcnemar_p(fixed, broken) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_on_arrays():
    np.testing.assert_allclose(mcnemar_p([0, 3, 5], [0, 1, 0]), [1, 0.625, 0.0625])
    assert mcnemar_p(np.array([5, 6], np.int16), 0).tolist() == pytest.approx([0.0625, 0.03125])
    assert mcnemar_p(np.array([30_000], np.int16), np.array([30_000], np.int16)) == 1
    assert mcnemar_p([], []).shape == (0,)


def test_the_report_gain_of_39_images():
    """93.21 -> 93.60 % of 10,000: the 95 % interval leaves 0 out up to 396 differing images (395 and 397 are the odd ones)."""
    assert compare_counts(10_000, 217, 178).low > 0
    assert compare_counts(10_000, 218, 179).low < 0
    # the exact test is stricter: up to 375
    assert mcnemar_p([207, 208], [168, 169]) == pytest.approx([0.0496, 0.0502], abs=1e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_compare_paired_against_the_differences(pairs):
    a, b = np.array(pairs).T
    c = compare_paired(a, b)
    d = b.astype(float) - a
    assert (c.n, c.fixed, c.broken) == (len(d), (d == 1).sum(), (d == -1).sum())
    assert c.gain == pytest.approx(d.mean())
    assert c.standard_error == pytest.approx(d.std() / np.sqrt(len(d)), abs=1e-12)
    assert (c.high - c.low) / 2 == pytest.approx(1.959964 * c.standard_error, rel=1e-6)
    assert c.p == mcnemar_p(c.fixed, c.broken)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-6))
def test_t_interval_against_scipy(values):
    low, high = stats.t.interval(0.9, len(values) - 1, np.mean(values), stats.sem(values))
    assert t_interval(values, 0.9) == pytest.approx((np.mean(values), low, high))


def test_the_interval_of_one_seed_is_its_own_and_of_several_goes_over_them() -> None:
    assert over_seeds([0.5], [0.3], [0.6]) == (0.5, 0.3, 0.6)
    assert over_seeds([0.5, 0.7], [0.4, 0.6], [0.6, 0.8]) == t_interval([0.5, 0.7])
    assert over_seeds([0.5, 0.7, 0.6], [0.4, 0.6, 0.5], [0.6, 0.8, 0.7], 0.9) == t_interval([0.5, 0.7, 0.6], 0.9)
    with pytest.raises(MetannError, match="one per seed"):
        over_seeds([], [], [])


def test_t_interval_of_one_or_equal_values():
    assert t_interval([0.5]) == pytest.approx((0.5, np.nan, np.nan), nan_ok=True)
    assert t_interval([0.5, 0.5]) == pytest.approx((0.5, 0.5, 0.5))


@given(st.lists(st.integers(-5, 5).map(lambda v: v / 7), min_size=1, max_size=8))
def test_sign_flip_against_all_patterns(values):
    sums = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in itertools.product([1, -1], repeat=len(values))]
    expected = np.mean([abs(s) >= abs(sum(values)) - 1e-9 for s in sums])
    assert sign_flip_p(values) == expected


def test_sign_flip_floor_and_many_values():
    assert [sign_flip_p([1.0] * n) for n in (1, 5, 6)] == [1.0, 2 / 2**5, 2 / 2**6]
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 1, 20)
    sampled = sign_flip_p([*values, 0.0])  # a 21st value of 0 changes nothing but forces sampling
    assert sampled == pytest.approx(sign_flip_p(values), abs=0.005)
    assert sign_flip_p([1.0] * 25) == pytest.approx(1 / 100_001, rel=3)


def naive_maximum_p(baseline, cells, patterns):
    """All exchanges, spelled out: swap baseline and cells of the chosen images, count the best gain in units of its noise."""

    def best(swap):
        gains = []
        for cell in cells.T:
            one, other = np.where(swap, cell, baseline), np.where(swap, baseline, cell)
            fixed, broken = (other & ~one).sum(), (one & ~other).sum()
            gains.append((fixed - broken) / max(fixed + broken, 1) ** 0.5)
        return max(gains)

    observed = best(np.zeros(len(baseline), bool))
    return np.mean([best(np.array(swap, bool)) >= observed - 1e-9 for swap in patterns])


@pytest.mark.parametrize("seed", range(4))
def test_maximum_p_against_all_exchanges(seed):
    rng = np.random.default_rng(seed)
    baseline, cells = rng.random(8) < 0.5, rng.random((8, 3)) < 0.6
    exact = naive_maximum_p(baseline, cells, list(itertools.product([0, 1], repeat=8)))
    assert maximum_permutation_p(baseline, cells, 20_000, seed) == pytest.approx(exact, abs=0.02)


@settings(max_examples=10)
@given(st.integers(1, 30), st.integers(0, 5))
def test_one_cell_is_a_one_sided_mcnemar(fixed, broken):
    baseline = np.repeat([False, True, True], [fixed, broken, 50])
    cells = np.repeat([True, False, True], [fixed, broken, 50])[:, None]
    expected = stats.binomtest(fixed, fixed + broken, alternative="greater").pvalue
    assert maximum_permutation_p(baseline, cells, 4000) == pytest.approx(expected, abs=0.04)


def test_maximum_p_is_reproducible_and_never_zero():
    baseline, cells = np.zeros(40, bool), np.ones((40, 2), bool)
    assert maximum_permutation_p(baseline, cells, 999) == 1 / 1000
    assert maximum_permutation_p(baseline, cells, 1) == 1 / 2
    rng = np.random.default_rng(1)
    baseline, cells = rng.random(200) < 0.5, rng.random((200, 30)) < 0.5
    assert maximum_permutation_p(baseline, cells, 300, 7) == maximum_permutation_p(baseline, cells, 300, 7)
    assert maximum_permutation_p(baseline, np.repeat(baseline[:, None], 3, 1), 50) == 1
    # many cells make a large best gain likely: the p of the maximum exceeds the p of the best cell alone
    best = cells[:, [cells.sum(axis=0).argmax()]]
    assert maximum_permutation_p(baseline, cells, 500) > 3 * maximum_permutation_p(baseline, best, 500)


BOOL = np.zeros(3, bool)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: wilson_interval(5, 4), "0..n"),
        (lambda: wilson_interval(1, 4, 1.0), "confidence 1.0 is not between 0 and 1"),
        (lambda: mcnemar_p(-1, 3), "counts"),
        (lambda: mcnemar_p(1.5, 3), "counts"),
        (lambda: compare_counts(0, 0, 0), "0 images"),
        (lambda: compare_counts(5, 4, 3), "4 fixed and 3 broken of 5 images"),
        (lambda: compare_paired(BOOL, np.zeros(4, bool)), "one length"),
        (lambda: compare_paired([0, 1], [1, 1]), "bool"),
        (lambda: t_interval([]), "finite values"),
        (lambda: sign_flip_p([np.nan]), "finite values"),
        (lambda: maximum_permutation_p(BOOL, np.zeros((3, 0), bool)), "bool"),
        (lambda: maximum_permutation_p(BOOL, np.zeros((3, 2))), "bool"),
        (lambda: maximum_permutation_p(BOOL, np.zeros((3, 2), bool), 0), "permutations"),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(MetannError, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)
