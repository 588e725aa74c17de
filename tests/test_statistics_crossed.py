"""The interval over units and seeds: a table by hand, its two edges, and how often it holds the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metann.errors import MetannError
from metann.statistics.crossed import crossed_interval
from metann.statistics.intervals import t_interval

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 9), st.sampled_from([0.9, 0.95]))
def test_one_seed_or_one_unit_is_students_interval(seed: int, n: int, confidence: float) -> None:
    values = np.random.default_rng(seed).normal(size=n)
    for table in (values[:, None], values[None]):
        assert crossed_interval(table, confidence) == pytest.approx(t_interval(values, confidence))


@given(SEEDS, st.integers(2, 6), st.integers(2, 5))
def test_mean_squares_of_a_two_way_table(seed: int, units: int, seeds: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(units, 1)) * rng.choice([0, 3]) + rng.normal(size=seeds) * rng.choice([0, 3]) + rng.normal(size=(units, seeds))
    m = y.mean()
    ms_u = sum(seeds * (y[u].mean() - m) ** 2 for u in range(units)) / (units - 1)
    ms_s = sum(units * (y[:, s].mean() - m) ** 2 for s in range(seeds)) / (seeds - 1)
    rest = sum((y[u, s] - y[u].mean() - y[:, s].mean() + m) ** 2 for u in range(units) for s in range(seeds))
    ms_e = rest / ((units - 1) * (seeds - 1))
    total = ms_u + ms_s - ms_e
    freedom = total**2 / (ms_u**2 / (units - 1) + ms_s**2 / (seeds - 1) + ms_e**2 / ((units - 1) * (seeds - 1)))
    if total <= max(ms_u, ms_s):
        total, freedom = max((ms_u, units - 1), (ms_s, seeds - 1))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(total / y.size)
    assert crossed_interval(y) == pytest.approx((m, m - half, m + half))


@given(SEEDS, st.integers(2, 6), st.integers(2, 5), st.floats(-3, 3), st.floats(0.1, 10))
def test_it_moves_and_grows_with_the_values(seed: int, units: int, seeds: int, shift: float, factor: float) -> None:
    values_US = np.random.default_rng(seed).normal(size=(units, seeds))
    expected = [shift + factor * end for end in crossed_interval(values_US)]
    assert list(crossed_interval(shift + factor * values_US)) == pytest.approx(expected)
    assert list(crossed_interval(values_US[::-1, ::-1])) == pytest.approx(list(crossed_interval(values_US)))


@pytest.mark.parametrize(
    ("unit", "seed", "units", "seeds"),
    [(0, 0, 10, 3), (1, 0, 10, 3), (0, 1, 10, 3), (1, 1, 10, 3), (0, 0, 4, 3), (1, 0, 4, 3), (0, 1, 4, 3), (1, 1, 4, 3), (1, 0, 20, 1)],
)
def test_it_holds_the_truth_as_often_as_it_says(unit: float, seed: float, units: int, seeds: int) -> None:
    """Of 95 % intervals, by simulation; treating all values as independent would hold it in 60 % where seeds differ."""
    rng = np.random.default_rng(5)
    held = []
    for _ in range(1500):
        values = unit * rng.normal(size=(units, 1)) + seed * rng.normal(size=seeds) + rng.normal(size=(units, seeds))
        _, low, high = crossed_interval(values)
        held.append(low <= 0 <= high)
    assert 0.935 <= np.mean(held) <= 0.999


def test_no_spread_and_a_single_value() -> None:
    assert crossed_interval(np.full((3, 2), 0.25)) == (0.25, 0.25, 0.25)
    mean, low, high = crossed_interval([[0.5]])
    assert mean == 0.5
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize("wrong", [[], [1.0, 2.0], [[]], [[1.0, np.nan]]])
def test_what_is_no_table_is_refused(wrong: list) -> None:
    with pytest.raises(MetannError, match="units by seeds"):
        crossed_interval(wrong)
