"""Both forms of complementarity: counted image by image, and the published values."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metann.cascade.complementarity import balanced_one_right, exactly_one_right

TABLES = Path(__file__).parents[2] / "shared" / "data" / "probabilities"


@given(arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 20))))
def test_against_counting(correct_MN: np.ndarray) -> None:
    count, n = correct_MN.shape
    one, balanced = exactly_one_right(correct_MN), balanced_one_right(correct_MN)
    for a in range(count):
        for b in range(count):
            union = sum(x or y for x, y in zip(correct_MN[a], correct_MN[b], strict=True))
            both = sum(x and y for x, y in zip(correct_MN[a], correct_MN[b], strict=True))
            gap = abs(int(correct_MN[a].sum()) - int(correct_MN[b].sum()))
            assert one[a, b] == pytest.approx((union - both) / n)
            assert balanced[a, b] == pytest.approx((union - both - gap) / n)
    assert (one == one.T).all()
    assert (np.diag(balanced) == 0).all()


@pytest.mark.parametrize(
    ("first", "second", "one", "balanced"),
    [("mobilenet_v2", "vgg19_bn", 0.0984, 0.0648), ("resnet18", "resnet34", 0.0657, 0.0654), ("vgg11_bn", "googlenet", 0.0945, 0.0864)],
)
def test_reference_values(first: str, second: str, one: float, balanced: float) -> None:
    if not TABLES.is_dir():
        pytest.skip(f"LOUD: the published tables are not at {TABLES}; the reference values of complementarity are NOT checked")
    labels = np.load(TABLES / "labels_test.npy")
    correct_MN = np.stack([np.load(TABLES / f"{name}_test.npy").argmax(1) == labels for name in (first, second)])
    assert round(exactly_one_right(correct_MN)[0, 1], 4) == one
    assert round(balanced_one_right(correct_MN)[0, 1], 4) == balanced
