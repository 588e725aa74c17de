"""The decision rule, against one image at a time in plain Python, and its ties."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metann.cascade.evidence import ADDED, combined, evidence_of
from metann.cascade.rule import decide, high_is_sure, needs_labels, score_of
from metann.errors import MetannError

SCORES = ["max_probability", "difference", "entropy", "oracle"]


ANSWERS = ["second", "more_confident", "mean", "product"]


def one_image(tables: list[np.ndarray], thresholds: list[float], score: str, answer_rule: str, labels_N: np.ndarray, row: int) -> tuple:
    """Prediction, answering stage and networks run for one image, from the text of the rule; products of fractions, without logarithms."""

    def judge(p: list[Fraction]) -> tuple[int, float]:
        as_table = np.array([[float(share / sum(p)) for share in p]], tables[0].dtype if len(seen) == 1 else np.float64)
        return max(range(len(p)), key=lambda c: (p[c], -c)), float(score_of(score, as_table, labels_N[row : row + 1])[0])

    def taken(stage: int) -> list[Fraction]:
        seen.append([Fraction(float(share)) for share in tables[stage][row]])
        if answer_rule == "mean" and stage:
            return [sum(shares) / len(seen) for shares in zip(*seen, strict=True)]
        if answer_rule == "product" and stage:
            return [math.prod(shares) for shares in zip(*seen, strict=True)]
        return seen[-1]

    surer = (lambda x, y: x > y) if high_is_sure(score) else (lambda x, y: x < y)
    seen: list[list[Fraction]] = []
    own = taken(0)
    answer, sureness = int(tables[0][row].argmax()), float(score_of(score, tables[0][row : row + 1], labels_N[row : row + 1])[0])
    assert answer == judge(own)[0]
    who, ran = 0, 1
    for stage, threshold in enumerate(thresholds, start=1):
        if not surer(threshold, sureness):
            break
        ran += 1
        p = taken(stage)
        if answer_rule in ("mean", "product"):
            answer, sureness, who = *judge(p), stage
            continue
        other = int(tables[stage][row].argmax())
        other_sureness = float(score_of(score, tables[stage][row : row + 1], labels_N[row : row + 1])[0])
        if answer_rule == "second" or needs_labels(score) or surer(other_sureness, sureness):
            answer, sureness, who = other, other_sureness, stage
    return answer, who, ran


def coarse_tables(stages: int, n: int, k: int) -> st.SearchStrategy[np.ndarray]:
    """Probabilities in quarters, so that ties are common."""
    return arrays(np.int64, (stages, n, k), elements=st.integers(0, 4)).map(
        lambda c: ((c + 1) / (c + 1).sum(-1, keepdims=True)).astype(np.float32)
    )


@settings(max_examples=300)
@given(st.data(), st.sampled_from(SCORES), st.sampled_from(ANSWERS), st.integers(1, 4))
def test_against_one_image_at_a_time(data: st.DataObject, score: str, answer: str, stages: int) -> None:
    n = 12
    tables = list(data.draw(coarse_tables(stages, n, 3)))
    labels_N = data.draw(arrays(np.int64, n, elements=st.integers(0, 2)))
    levels = sorted({float(s) for t in tables for s in score_of(score, t, labels_N)} | {0.0, 1.0})
    # a mean or a product is rounded otherwise than a fraction: no threshold on the very score, which has a test of its own
    levels = [level + 1e-5 for level in levels] if answer in ADDED else levels
    thresholds = data.draw(st.lists(st.sampled_from(levels), min_size=stages - 1, max_size=stages - 1))
    decisions = decide(tables, thresholds, score, labels_N=labels_N, answer=answer)
    expected = [one_image(tables, thresholds, score, answer, labels_N, row) for row in range(n)]
    assert list(zip(decisions.prediction_N, decisions.answered_N, decisions.asked_N, strict=True)) == expected
    assert decisions.calls_per_stage(stages).tolist() == [sum(ran > stage for _, _, ran in expected) for stage in range(stages)]


@pytest.mark.parametrize("score", ["max_probability", "difference", "entropy"])
def test_equality_stays_with_the_first(score: str) -> None:
    a, b = np.array([[0.6, 0.4]], np.float32), np.array([[0.4, 0.6]], np.float32)
    at = float(score_of(score, a)[0])
    assert decide([a, b], [at], score, False).asked_N[0] == 1
    beyond = np.nextafter(at, 2 if high_is_sure(score) else -1)
    assert decide([a, b], [beyond], score, False).prediction_N[0] == 1
    tied = decide([a, b], [beyond], score, True)
    assert (tied.prediction_N[0], tied.answered_N[0], tied.asked_N[0]) == (0, 0, 2)


def test_extreme_thresholds() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(5), 50).astype(np.float32)
    for score, never in [("max_probability", 0.0), ("difference", 0.0), ("entropy", 1.0)]:
        assert (decide([p, p], [never], score, False).asked_N == 1).all()
        assert (decide([p, p], [1 - never], score, False).asked_N == 2).all()


def test_oracle_ignores_the_postcheck_and_needs_labels() -> None:
    a, b = np.array([[0.9, 0.1, 0.0]]), np.array([[0.2, 0.5, 0.3]])
    assert decide([a, b], [1.0], "oracle", True, np.array([2])).prediction_N[0] == 1
    with pytest.raises(MetannError, match="true labels"):
        decide([a, b], [1.0], "oracle", True)


def test_wrong_shapes_are_told() -> None:
    p = np.full((3, 2), 0.5)
    with pytest.raises(MetannError, match="2 networks need 1 thresholds, 2 were given"):
        decide([p, p], [0.5, 0.5], "difference", False)
    with pytest.raises(MetannError, match="do not form a cascade"):
        decide([p, p[:2]], [0.5], "difference", False)
    with pytest.raises(MetannError, match="one label per image"):
        decide([p, p], [0.5], "difference", False, np.zeros(2, int))


@given(st.data(), st.sampled_from(["mean", "product"]), st.integers(2, 4))
def test_evidence_does_not_depend_on_the_order(data: st.DataObject, answer: str, networks: int) -> None:
    """To the last bit, so that a set of networks needs to be added up once for all its orders."""
    tables = data.draw(arrays(np.float32, (networks, 6, 4), elements=st.floats(0, 1, width=32)))
    order = data.draw(st.permutations(range(networks)))
    evidence = [evidence_of(answer, p_NK) for p_NK in tables]
    some, other = evidence[0] * 0, evidence[0] * 0
    for one, two in zip(evidence, [evidence[i] for i in order], strict=True):
        some, other = some + one, other + two
    assert some.tobytes() == other.tobytes()
    p_NK = combined(answer, some, networks)
    np.testing.assert_array_equal(p_NK[2:3], combined(answer, some[2:3], networks))  # nor a row on the rows beside it
    if answer == "mean":
        np.testing.assert_allclose(p_NK, tables.astype(np.float64).mean(axis=0), atol=1e-12)
        return
    plain_NK = tables.astype(np.float64).prod(axis=0)
    alive_N = (plain_NK.max(axis=1) > 1e-200) & (tables.astype(np.float64).min(axis=0).max(axis=1) > 0)
    np.testing.assert_allclose(p_NK[alive_N], (plain_NK / np.where(alive_N, plain_NK.sum(axis=1), 1)[:, None])[alive_N], atol=1e-8)


def test_zeros_of_a_product() -> None:
    """Nothing is lost where one class is left; where every class has a zero, the fewest zeros decide, then the other factors."""
    a, b, c = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 0.3, 0.7]]), np.array([[0.5, 0.5, 0.0]])
    assert decide([a, b], [2.0], "difference", answer="product").prediction_N[0] == 0  # each has one zero: 1, 0.3 and 0.7 are left
    evidence = evidence_of("product", a) + evidence_of("product", b) + evidence_of("product", c)
    np.testing.assert_allclose(combined("product", evidence, 3), [[0.5 / 0.65, 0.15 / 0.65, 0]], rtol=1e-8)
    assert np.isfinite(evidence).all()
    tied = decide([np.array([[0.6, 0.4]]), np.array([[0.4, 0.6]])], [1.0], "difference", answer="product")
    assert (tied.prediction_N[0], tied.score_N[0], tied.answered_N[0]) == (0, 0.0, 1)


@pytest.mark.parametrize("networks", [2, 3, 4])
def test_products_of_other_factors_tie_as_on_paper(networks: int) -> None:
    """A number of each network times powers of two, in another order for each class: logarithms that are rounded each for itself."""
    rng = np.random.default_rng(networks)
    factors_JNK = rng.permuted(np.tile(2.0 ** np.arange(networks), (500, 3, 1)), axis=2).transpose(2, 0, 1)
    tables = [(rng.uniform(0.01, 0.02, (500, 1)) * of_NK).astype(np.float32) for of_NK in factors_JNK]
    p_NK = combined("product", sum(evidence_of("product", p_NK) for p_NK in tables), networks)
    assert (p_NK == p_NK[:, :1]).all()
    step = np.float32(1 + 2.0**-22)  # what float32 tells apart stays apart
    p_NK = combined("product", sum(evidence_of("product", p_NK * np.float32([1, step, 1])) for p_NK in tables), networks)
    assert (p_NK.argmax(axis=1) == 1).all()


@pytest.mark.parametrize("answer", ["mean", "product"])
def test_the_next_threshold_judges_all_that_was_said(answer: str) -> None:
    """Two networks that agree are surer together; equality stays."""
    p = np.array([[0.6, 0.4]], np.float32)
    together = decide([p, p], [1.0], "difference", answer=answer).score_N[0]
    assert together == pytest.approx(0.2 if answer == "mean" else (0.36 - 0.16) / 0.52)
    assert decide([p, p, p], [1.0, together], "difference", answer=answer).asked_N[0] == 2
    assert decide([p, p, p], [1.0, np.nextafter(together, 1)], "difference", answer=answer).asked_N[0] == 3


def test_post_check_is_an_answer_by_another_name() -> None:
    tables = list(np.random.default_rng(1).dirichlet(np.ones(3), (3, 40)))
    by_name, by_answer = (
        decide(tables, [0.9, 0.9], "entropy", *how[0], **how[1]) for how in (((True,), {}), ((), {"answer": "more_confident"}))
    )
    np.testing.assert_array_equal(by_name.prediction_N, by_answer.prediction_N)
    with pytest.raises(MetannError, match="answer 'mean' puts them together; give one of them"):
        decide(tables, [0.9, 0.9], "entropy", True, answer="mean")
    with pytest.raises(MetannError, match="unknown answer 'sum'"):
        decide(tables, [0.9, 0.9], "entropy", answer="sum")
