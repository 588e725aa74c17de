"""metann.mixture.specialisation against naive loops, scikit-learn, and what must hold of any gate (conformance checks d, e, h, m)."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

import metann.mixture
from metann.errors import MetannError
from metann.mixture.metrics import class_shares, entropy, has_collapsed, most_information, mutual_information, specialisation

FIELDS = {"mutual_information", "mutual_information_predicted", "conditional_entropy", "sample_entropy", "usage_entropy", "usage_cv"}


@st.composite
def gates(draw):
    """(gate_NE, labels_N, predictions_N) with rows that are soft, one-hot, or hold zeros."""
    n, experts, classes = draw(st.integers(1, 60)), draw(st.integers(1, 7)), draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    gate_NE = generator.dirichlet(np.full(experts, draw(st.sampled_from([0.05, 0.5, 5.0]))), n)
    if draw(st.booleans()):
        gate_NE = np.eye(experts)[gate_NE.argmax(axis=1)]
    if draw(st.booleans()):
        gate_NE = gate_NE.astype(np.float32)
    return gate_NE, generator.integers(0, classes, n), generator.integers(0, classes, n)


def bits(values) -> float:
    return -sum(float(p) * math.log2(p) for p in values if p > 0)


def naive(gate_NE, labels_N, predictions_N) -> dict[str, float]:
    """The definitions of the issue, one image after the other."""
    n, experts = gate_NE.shape
    rows = [[float(value) / float(sum(row)) for value in row] for row in gate_NE.astype(np.float64)]
    expert = [row.tolist().index(max(row.tolist())) for row in gate_NE]

    def information(classes) -> float:
        joint: dict = {}
        for pair in zip(expert, classes.tolist(), strict=True):
            joint[pair] = joint.get(pair, 0) + 1 / n
        first, second = {}, {}
        for (e, c), p in joint.items():
            first[e], second[c] = first.get(e, 0) + p, second.get(c, 0) + p
        return bits(first.values()) + bits(second.values()) - bits(joint.values())

    conditional = []
    for c in sorted(set(labels_N.tolist())):
        mine = [row for row, label in zip(rows, labels_N, strict=True) if label == c]
        conditional.append(bits(sum(row[e] for row in mine) / len(mine) for e in range(experts)))
    usage = [sum(row[e] for row in rows) / n for e in range(experts)]
    mean = sum(usage) / experts
    return {
        "mutual_information": information(labels_N),
        "mutual_information_predicted": information(predictions_N),
        "conditional_entropy": sum(conditional) / len(conditional),
        "sample_entropy": sum(bits(row) for row in rows) / n,
        "usage_entropy": bits(usage),
        "usage_cv": math.sqrt(sum((u - mean) ** 2 for u in usage) / experts) / mean,
    }


@given(gates())
def test_every_measure_against_loops(case) -> None:
    found, expected = vars(specialisation(*case)), naive(*case)
    assert set(found) == FIELDS
    for name in FIELDS:
        assert found[name] == pytest.approx(expected[name], abs=1e-9), name


@given(gates())
def test_information_against_scikit_learn(case) -> None:
    gate_NE, labels_N, predictions_N = case
    found, expert_N = specialisation(*case), gate_NE.argmax(axis=1)
    assert found.mutual_information == pytest.approx(mutual_info_score(labels_N, expert_N) / math.log(2), abs=1e-9)
    assert found.mutual_information_predicted == pytest.approx(mutual_info_score(predictions_N, expert_N) / math.log(2), abs=1e-9)


@given(gates())
def test_mean_divergence_is_usage_minus_sample_entropy(case) -> None:
    """Check (h): mean over images of KL(p || mean p) = H(mean p) - H_s, here in nats."""
    gate_NE = case[0].astype(np.float64)
    gate_NE /= gate_NE.sum(axis=1, keepdims=True)
    mean_E = gate_NE.mean(axis=0)
    divergence = np.mean([sum(p * math.log(p / q) for p, q in zip(row, mean_E, strict=True) if p > 0) for row in gate_NE])
    found = specialisation(*case)
    assert (found.usage_entropy - found.sample_entropy) * math.log(2) == pytest.approx(divergence, abs=1e-9)


@given(gates(), st.randoms(use_true_random=False), st.integers(1, 20))
def test_order_and_batches_do_not_matter(case, random, size) -> None:
    """Check (m): the measures are of the whole set, however it is cut; batches are put together before anything is counted."""
    gate_NE, labels_N, predictions_N = case
    order = list(range(len(labels_N)))
    random.shuffle(order)
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    together = [np.concatenate([column[part] for part in parts]) for column in (gate_NE, labels_N, predictions_N)]
    whole, cut = vars(specialisation(*case)), vars(specialisation(*together))
    assert whole == pytest.approx(cut, abs=1e-12)


@given(gates())
def test_bounds(case) -> None:
    gate_NE, labels_N, _ = case
    found = specialisation(*case)
    most = math.log2(gate_NE.shape[1])
    assert 0 <= found.mutual_information <= most_information(gate_NE.shape[1], labels_N) + 1e-9
    assert -1e-12 <= found.sample_entropy <= found.usage_entropy + 1e-9  # entropy is concave
    assert found.usage_entropy <= most + 1e-9
    assert -1e-12 <= found.conditional_entropy <= most + 1e-9
    assert found.usage_cv >= 0


@given(st.integers(1, 50), st.integers(0, 2**32), st.sampled_from([np.float32, np.float64]))
def test_one_expert_gives_zero_everywhere(n, seed, kind) -> None:
    """Check (d); exactly 0, also where float32 left a row a little below one."""
    generator = np.random.default_rng(seed)
    gate_N1 = (1 - 1e-6 * generator.random((n, 1))).astype(kind)
    found = specialisation(gate_N1, generator.integers(0, 5, n), generator.integers(0, 5, n))
    assert set(vars(found).values()) == {0.0}


@pytest.mark.parametrize("experts", [2, 5, 10])
def test_one_hot_gate_that_follows_the_labels(experts: int) -> None:
    """Check (e), first half."""
    labels_N = np.arange(40 * experts) % experts
    found = specialisation(np.eye(experts)[labels_N], labels_N, labels_N)
    assert [found.mutual_information, found.mutual_information_predicted] == [pytest.approx(math.log2(experts), abs=1e-12)] * 2
    assert (found.conditional_entropy, found.sample_entropy) == (0, 0)
    assert found.usage_entropy == pytest.approx(math.log2(experts), abs=1e-12)
    assert found.usage_cv == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("experts", [2, 5, 10])
def test_uniform_gate(experts: int) -> None:
    """Check (e), second half; the first expert of equals answers everything, so I(E;Y) is 0."""
    labels_N = np.arange(60) % 3
    found = specialisation(np.full((60, experts), 1 / experts), labels_N, labels_N)
    most = pytest.approx(math.log2(experts), abs=1e-12)
    assert [found.sample_entropy, found.usage_entropy, found.conditional_entropy] == [most] * 3
    assert (found.mutual_information, found.usage_cv) == (0, pytest.approx(0, abs=1e-12))


def test_worked_by_hand() -> None:
    gate_NE = np.array([[1, 0], [0.5, 0.5], [0, 1], [0, 1]])
    found = specialisation(gate_NE, np.array([0, 0, 7, 7]), np.array([0, 0, 0, 7]))
    # experts 0 (a tie goes to the first), 0, 1, 1; class 0 is spread (3/4, 1/4), class 7 is not; usage (3/8, 5/8)
    assert found.mutual_information == pytest.approx(1)
    assert found.mutual_information_predicted == pytest.approx(1 + bits([3 / 4, 1 / 4]) - bits([1 / 2, 1 / 4, 1 / 4]))
    assert found.conditional_entropy == pytest.approx(bits([3 / 4, 1 / 4]) / 2)
    assert found.sample_entropy == pytest.approx(1 / 4)
    assert found.usage_entropy == pytest.approx(bits([3 / 8, 5 / 8]))
    assert found.usage_cv == pytest.approx((1 / 8) / (1 / 2))


def test_a_class_counts_once_however_many_images_it_has() -> None:
    gate_NE = np.array([[1.0, 0.0]] * 99 + [[0.5, 0.5]])
    labels_N = np.array([0] * 99 + [1])
    assert specialisation(gate_NE, labels_N, labels_N).conditional_entropy == pytest.approx(0.5)


def test_parts() -> None:
    assert entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist() == [1, 0]
    assert math.copysign(1, float(entropy(np.array([1.0])))) == 1
    assert class_shares(np.array([[1.0, 0], [0, 1], [0, 1]]), np.array([3, 3, 5])).tolist() == [[0.5, 0.5], [0, 1]]
    assert mutual_information(np.array([4, 4, 9]), np.array([-1, -1, 2])) == pytest.approx(bits([2 / 3, 1 / 3]))
    assert most_information(8, np.arange(12) % 3) == pytest.approx(math.log2(3))


@pytest.mark.parametrize(
    ("usage", "shares", "expected"),
    [
        (0.49, [0.9, 0.1], True),
        (0.51, [0.9, 0.1], False),
        (2.0, [0.5, 0.491, 0.009], True),
        (2.0, [0.5, 0.49, 0.01], False),
        (0.0, [1.0], False),  # one expert alone
    ],
)
def test_the_alarm(usage: float, shares: list[float], expected: bool) -> None:
    assert has_collapsed(usage, np.array(shares)) is expected


LABELS = np.array([0, 1])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((np.zeros((0, 2)), LABELS[:0], LABELS[:0]), r"shape \(0, 2\); needed: images x experts"),
        ((np.ones(2), LABELS, LABELS), r"shape \(2,\)"),
        ((np.array([[0.5, 0.5], [2.0, 3.0]]), LABELS, LABELS), "row 1 of gate_NE sums to 5"),
        ((np.array([[1.5, -0.5], [1.0, 0.0]]), LABELS, LABELS), "row 0 .* has a value below 0"),
        ((np.array([[np.nan, 1.0], [1.0, 0.0]]), LABELS, LABELS), "row 0"),
        ((np.eye(2), LABELS[:1], LABELS), "labels_N is .*needed: 2 whole numbers"),
        ((np.eye(2), LABELS, LABELS.astype(float)), "predictions_N is float64"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple, text: str) -> None:
    with pytest.raises(MetannError, match=text) as error:
        specialisation(*arguments)
    assert "\n" not in str(error.value)


def test_public_name_without_torch() -> None:
    assert metann.mixture.specialisation is specialisation
    code = "import metann.mixture, sys; metann.mixture.specialisation; print(*{'torch', 'pandas', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
