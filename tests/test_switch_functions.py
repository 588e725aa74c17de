"""Every registered switch function keeps the contract; each against a loop that reads like its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metann import registry
from metann.errors import MetannError
from metann.mnn import switch_functions

NAMES = registry.switch_functions()
VALUES = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0]) | st.floats(0, 1)


@st.composite
def switches(draw):
    """Rows that sum to 1, as float32 or float64, with ties and exact zeros."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(2, 7)))
    weight = draw(arrays(float, shape, elements=st.sampled_from([0.0, 1.0, 2.0, 7.0]) | st.floats(1e-6, 10)))
    weight[weight.sum(axis=1) == 0] = 1
    return (weight / weight.sum(axis=1, keepdims=True)).astype(draw(st.sampled_from([np.float32, np.float64])))


def a_value(parameter):
    return st.integers(0, 9) if parameter == "k" else VALUES


def test_the_registry_knows_them():
    published = {
        "threshold": ("t",),
        "top_k": ("k",),
        "top_p": ("p",),
        "margin": ("m",),
        "only_if_unsure": ("t", "k"),
        "contested": ("t",),
        "unsure": ("u",),
        "none": (),
        "all": (),
    }
    assert published.items() <= NAMES.items()


@pytest.mark.parametrize("name", NAMES)
@given(switches(), st.data())
def test_contract(name, switch_NK, data):
    """For every registered name: whole numbers in 0..K, one per image, each image alone, any type of number, input untouched."""
    function = getattr(switch_functions, name)
    parameters = [data.draw(a_value(parameter)) for parameter in NAMES[name]]
    before = switch_NK.copy()
    lengths_N = function(switch_NK, *parameters)
    assert lengths_N.dtype == np.int64
    assert lengths_N.shape == (len(switch_NK),)
    assert ((lengths_N >= 0) & (lengths_N <= switch_NK.shape[1])).all()
    assert lengths_N.tolist() == [function(row[None], *parameters)[0] for row in switch_NK]
    assert lengths_N.tolist() == function(switch_NK.astype(float), *map(float, parameters)).tolist()
    np.testing.assert_array_equal(switch_NK, before)
    assert function(switch_NK[:0], *parameters).shape == (0,)
    with pytest.raises(MetannError, match="switch_NK"):
        function(switch_NK * np.nan, *parameters)


@given(switches(), VALUES)
def test_threshold(switch_NK, t):
    assert switch_functions.threshold(switch_NK, t).tolist() == [sum(float(s) >= t for s in row) for row in switch_NK]


@given(switches(), VALUES)
def test_top_p(switch_NK, p):
    for row, length in zip(switch_NK, switch_functions.top_p(switch_NK, p), strict=True):
        falling = sorted(map(float, row), reverse=True)
        reached = [j for j in range(len(row) + 1) if sum(falling[:j]) >= p - 1e-7 or j == len(row)]
        assert length == (reached[0] if p > 1e-7 else int(p > 0))


@given(switches(), VALUES)
def test_margin(switch_NK, m):
    assert switch_functions.margin(switch_NK, m).tolist() == [sum(float(max(row)) - float(s) <= m for s in row) for row in switch_NK]


@given(switches(), VALUES, st.integers(0, 9))
def test_only_if_unsure_and_top_k(switch_NK, t, k):
    classes = switch_NK.shape[1]
    assert switch_functions.top_k(switch_NK, k).tolist() == [min(k, classes)] * len(switch_NK)
    expected = [min(k, classes) if float(max(row)) < t else 0 for row in switch_NK]
    assert switch_functions.only_if_unsure(switch_NK, t, k).tolist() == expected


@given(switches(), VALUES, VALUES)
def test_contested_and_unsure(switch_NK, t, u):
    reached = [[k for k, s in enumerate(row) if float(s) >= t] for row in switch_NK]
    assert switch_functions.contested(switch_NK, t).tolist() == [len(classes) if len(classes) > 1 else 0 for classes in reached]
    assert switch_functions.unsure(switch_NK, u).tolist() == [1 if all(float(s) < u for s in row) else 0 for row in switch_NK]


def test_edges():
    switch_NK = np.array([[0.6, 0.3, 0.1], [0.4, 0.4, 0.2], [1.0, 0.0, 0.0]])
    assert switch_functions.threshold(switch_NK, 0).tolist() == [3, 3, 3]
    assert switch_functions.threshold(switch_NK, 1).tolist() == [0, 0, 1]
    assert switch_functions.top_p(switch_NK, 0).tolist() == [0, 0, 0]
    assert switch_functions.top_p(switch_NK, 0.9).tolist() == [2, 3, 1]  # 0.6 + 0.3 is 0.8999999999999999 in float64
    assert switch_functions.top_p(switch_NK, 1).tolist() == [3, 3, 1]
    assert switch_functions.margin(switch_NK, 0).tolist() == [1, 2, 1]
    assert switch_functions.margin(switch_NK, 1).tolist() == [3, 3, 3]
    assert switch_functions.only_if_unsure(switch_NK, 0.5, 2).tolist() == [0, 2, 0]
    assert switch_functions.only_if_unsure(switch_NK, 0.6, 2).tolist() == [0, 2, 0]  # at the threshold an image is sure
    assert switch_functions.contested(switch_NK, 0.3).tolist() == [2, 2, 0]
    assert switch_functions.contested(switch_NK, 0.4).tolist() == [0, 2, 0]  # at the threshold a class has reached it
    assert switch_functions.contested(switch_NK, 0).tolist() == [3, 3, 3]
    assert switch_functions.unsure(switch_NK, 0.6).tolist() == [0, 1, 0]  # at the threshold an image is sure
    assert switch_functions.unsure(switch_NK, 1).tolist() == [1, 1, 0]
    assert switch_functions.none(switch_NK).tolist() == [0, 0, 0]
    assert switch_functions.all(switch_NK).tolist() == [3, 3, 3]


def test_a_float32_table_is_compared_in_float64():
    """float32(0.7) is 0.69999998: below 0.7, though numpy compares the two as equal when left to itself."""
    switch_NK = np.array([[0.7, 0.3]], np.float32)
    assert (switch_NK >= 0.7)[0, 0]
    assert switch_functions.threshold(switch_NK, 0.7).tolist() == [0]
    assert switch_functions.only_if_unsure(switch_NK, 0.7, 1).tolist() == [1]
