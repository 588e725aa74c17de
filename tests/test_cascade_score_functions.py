"""Every registered score function, against definitions worked out per image in plain Python."""

import math

import numpy as np
import pytest
from scipy import stats

from metann import registry
from metann.cascade import rowwise, rule, score_functions
from metann.cascade.rowwise import first_argmax, top_two
from metann.errors import MetannError

NAMES = registry.functions("cascade/score_functions.py")


def plain(name: str, p: list[float], label: int) -> float:
    """One image, no vectors, from the definition."""
    if name == "max_probability":
        return max(p)
    if name == "difference":
        first, second = sorted(p, reverse=True)[:2]
        return first - second
    if name == "entropy":
        return -sum(x * math.log(x) for x in p if x > 0) / math.log(len(p))
    assert name == "oracle", f"no definition of {name} in this test; add one"
    return float(p.index(max(p)) == label)


def arguments(name: str, p_NK: np.ndarray) -> tuple[np.ndarray, ...]:
    return (p_NK, np.zeros(len(p_NK), int)) if NAMES[name] else (p_NK,)


def table(n: int = 200, k: int = 10) -> np.ndarray:
    generator = np.random.default_rng(0)
    p_NK = generator.dirichlet(np.full(k, 0.2), n).astype(np.float32)
    p_NK[0] = np.eye(k)[0]
    p_NK[1] = 1 / k
    p_NK[2] = 0
    p_NK[2, :2] = 0.5
    return p_NK


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    function = getattr(score_functions, name)
    assert function.sure in ("high", "low")
    assert function.__doc__
    p_NK = table()
    before = p_NK.copy()
    s_N = function(*arguments(name, p_NK))
    assert s_N.shape == (len(p_NK),)
    assert s_N.dtype == np.float64
    assert np.array_equal(p_NK, before)
    assert ((s_N >= 0) & (s_N <= 1)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [2, 3, 10])
def test_definition(name: str, k: int) -> None:
    p_NK = table(k=k)
    expected = [plain(name, [float(x) for x in row], 0) for row in p_NK]
    np.testing.assert_allclose(
        getattr(score_functions, name)(*arguments(name, p_NK)), expected, rtol=0, atol=1e-7 if name == "entropy" else 0
    )


def test_ends() -> None:
    certain, uniform = np.eye(4, dtype=np.float32)[:1], np.full((1, 4), 0.25, np.float32)
    assert (score_functions.entropy(certain)[0], score_functions.entropy(uniform)[0]) == (0.0, 1.0)
    assert (score_functions.difference(certain)[0], score_functions.difference(uniform)[0]) == (1.0, 0.0)
    assert (score_functions.max_probability(certain)[0], score_functions.max_probability(uniform)[0]) == (1.0, 0.25)


def test_entropy_bears_underflow_and_denormals() -> None:
    p_NK = np.array([[1, 0, 0], [1, 1.4e-45, 0]], np.float32)
    assert np.isfinite(score_functions.entropy(p_NK)).all()
    assert score_functions.entropy(p_NK)[0] == 0


def test_difference_in_double_precision() -> None:
    p_NK = np.array([[0.7, 0.2, 0.1]], np.float32)
    assert score_functions.difference(p_NK)[0] == float(np.float32(0.7)) - float(np.float32(0.2))


def test_unknown_score_names_the_known_ones() -> None:
    with pytest.raises(
        MetannError, match=r"unknown score function 'margn'; known: difference, entropy, max_probability, oracle; add one in"
    ):
        rule.needs_labels("margn")


def test_oracle_needs_labels() -> None:
    with pytest.raises(MetannError, match="true labels"):
        rule.score_of("oracle", table())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [2, 10, 100])
def test_a_row_alone_scores_the_same_bits(name: str, k: int) -> None:
    """The runtime at batch 1 and the search over whole tables must never disagree about a threshold."""
    p_NK = table(300, k)
    whole_N = getattr(score_functions, name)(*arguments(name, p_NK))
    for rows in (slice(i, i + step) for step in (1, 7) for i in range(0, 300, step)):
        assert (getattr(score_functions, name)(*arguments(name, p_NK[rows])) == whole_N[rows])[: 1 if NAMES[name] else None].all()


@pytest.mark.parametrize("k", [2, 5, 63, 64, 65, 300])
def test_rows_of_narrow_and_wide_tables(k: int) -> None:
    p_NK = np.random.default_rng(0).integers(0, 3, (200, k)).astype(np.float32)
    assert (first_argmax(p_NK) == p_NK.argmax(axis=1)).all()
    assert (first_argmax(p_NK[:1]) == p_NK[:1].argmax(axis=1)).all()
    assert (np.stack(top_two(p_NK)) == np.sort(p_NK, axis=1)[:, :-3:-1].T).all()


@pytest.mark.parametrize("classes", [2, 10, 64, 65, 300])
def test_many_rows_of_few_and_many_classes(classes: int) -> None:
    """On both sides of the number of classes, and over several blocks of rows; no row depends on the rows beside it."""
    n = rowwise._BLOCK + 7
    p_NK = np.random.default_rng(classes).dirichlet(np.full(classes, 0.3), n).astype(np.float32)
    p_NK[0], p_NK[0, 0] = 0, 1
    expected_N = stats.entropy(p_NK.astype(np.float64), axis=1)
    found_N = rowwise.sum_p_log_p(p_NK)
    np.testing.assert_allclose(found_N, -expected_N * p_NK.sum(axis=1, dtype=np.float64), atol=1e-6)
    assert (found_N.dtype, found_N[0]) == (np.float64, 0)
    np.testing.assert_allclose(rowwise.row_sum(p_NK), p_NK.astype(np.float64).sum(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(first_argmax(p_NK), p_NK.argmax(axis=1))
    np.testing.assert_array_equal(np.stack(top_two(p_NK)), np.sort(p_NK, axis=1)[:, :-3:-1].T)
    for row in (0, 5, rowwise._BLOCK, n - 1):
        for function in (rowwise.sum_p_log_p, rowwise.row_sum):
            assert function(p_NK[row : row + 1])[0] == function(p_NK)[row]
