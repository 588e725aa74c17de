"""metann.mnn.mistakes against a loop over images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mnn_combination import tables

from metann.errors import MetannError
from metann.mnn.evaluation import evaluate_lengths
from metann.mnn.mistakes import broken_images, misclassified_images
from metann.mnn.prefix_table import prefix_correct


@given(tables(rows=8), st.data())
def test_against_a_loop(drawn, data):
    switch_NK, expert_NK, _ = drawn
    n, classes = switch_NK.shape
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    lengths = data.draw(st.lists(st.integers(0, classes), min_size=n, max_size=n))
    correct_NJ = prefix_correct(switch_NK, expert_NK, labels)
    wrong, spoilt = [], []
    for i, (s, label, length) in enumerate(zip(switch_NK, labels, lengths, strict=True)):
        order = sorted(range(classes), key=lambda k, s=s: (-s[k], k))
        right, recoverable = correct_NJ[i, length], any(correct_NJ[i])
        rank = order.index(label) + 1
        row = [i, label, order[0], s[order[0]], s[order[1]], s[label], rank, length, rank <= length, right, recoverable]
        if order[0] != label:
            wrong.append(row)
        elif not right:
            spoilt.append(row)
    got, bad = (f(switch_NK, labels, correct_NJ, lengths) for f in (misclassified_images, broken_images))
    assert [list(row) for row in zip(*got.values(), strict=True)] == wrong
    assert [list(row) for row in zip(*bad.values(), strict=True)] == spoilt
    counts = evaluate_lengths(correct_NJ, lengths)
    assert (got["right"].sum(), len(bad["row"])) == (counts.fixed, counts.broken)


def test_by_hand():
    switch_NK = [[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]
    correct_NJ = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 1, 1]], bool)
    got = misclassified_images(switch_NK, [1, 2, 1], correct_NJ, [2, 2, 1])
    assert {name: values.tolist() for name, values in got.items()} == {
        "row": [0, 1],
        "label": [1, 2],
        "predicted": [0, 0],
        "top_probability": [0.6, 0.6],
        "second_probability": [0.3, 0.3],
        "true_probability": [0.3, 0.1],
        "rank": [2, 3],
        "experts": [2, 2],
        "active": [True, False],
        "right": [True, False],
        "recoverable": [True, False],
    }
    assert broken_images(switch_NK, [1, 2, 1], correct_NJ, [2, 2, 1])["row"].tolist() == [2]


def test_bad_input():
    with pytest.raises(MetannError, match="labels_N"):
        misclassified_images([[0.5, 0.5]], [2], np.zeros((1, 3), bool), [0])
    empty = misclassified_images(np.zeros((0, 2)), [], np.zeros((0, 3), bool), [])
    assert all(len(column) == 0 for column in empty.values())
