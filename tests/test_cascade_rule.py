"""The decision rule, against one image at a time in plain Python, and its ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metann.cascade.rule import decide, high_is_sure, needs_labels, score_of
from metann.errors import MetannError

SCORES = ["max_probability", "difference", "entropy", "oracle"]


def one_image(tables: list[np.ndarray], thresholds: list[float], score: str, postcheck: bool, labels_N: np.ndarray, row: int) -> tuple:
    """Prediction, answering stage and networks run for one image, from the text of the rule."""

    def ask(stage: int) -> tuple[int, float]:
        p = tables[stage][row : row + 1]
        return int(p[0].argmax()), float(score_of(score, p, labels_N[row : row + 1])[0])

    surer = (lambda x, y: x > y) if high_is_sure(score) else (lambda x, y: x < y)
    answer, sureness = ask(0)
    who, ran = 0, 1
    for stage, threshold in enumerate(thresholds, start=1):
        if not surer(threshold, sureness):
            break
        ran += 1
        other, other_sureness = ask(stage)
        if not postcheck or needs_labels(score) or surer(other_sureness, sureness):
            answer, sureness, who = other, other_sureness, stage
    return answer, who, ran


def coarse_tables(stages: int, n: int, k: int) -> st.SearchStrategy[np.ndarray]:
    """Probabilities in quarters, so that ties are common."""
    return arrays(np.int64, (stages, n, k), elements=st.integers(0, 4)).map(
        lambda c: ((c + 1) / (c + 1).sum(-1, keepdims=True)).astype(np.float32)
    )


@given(st.data(), st.sampled_from(SCORES), st.booleans(), st.integers(1, 4))
def test_against_one_image_at_a_time(data: st.DataObject, score: str, postcheck: bool, stages: int) -> None:
    n = 12
    tables = list(data.draw(coarse_tables(stages, n, 3)))
    labels_N = data.draw(arrays(np.int64, n, elements=st.integers(0, 2)))
    levels = sorted({float(s) for t in tables for s in score_of(score, t, labels_N)} | {0.0, 1.0})
    thresholds = data.draw(st.lists(st.sampled_from(levels), min_size=stages - 1, max_size=stages - 1))
    decisions = decide(tables, thresholds, score, postcheck, labels_N)
    expected = [one_image(tables, thresholds, score, postcheck, labels_N, row) for row in range(n)]
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
