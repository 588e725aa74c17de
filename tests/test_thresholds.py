import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann.errors import MetannError
from metann.thresholds import expand_thresholds, format_threshold, parse_threshold


@given(st.integers(0, 1_000_000))
def test_text_and_number_are_one_to_one(millionths: int) -> None:
    threshold = millionths / 1_000_000
    assert parse_threshold(format_threshold(threshold)) == threshold


@pytest.mark.parametrize(
    ("threshold", "text"), [(0, "0.00"), (0.1, "0.10"), (1, "1.00"), (0.175, "0.175"), (1e-3, "0.001"), (0.1 + 0.2, "0.30")]
)
def test_spelling(threshold: float, text: str) -> None:
    assert format_threshold(threshold) == text


def test_ranges_are_counted_in_decimal() -> None:
    thresholds = expand_thresholds("0..1 step 0.05")
    assert len(thresholds) == 21
    assert thresholds[6] == 0.3
    assert thresholds[-1] == 1.0
    assert len(expand_thresholds(["0..1 step 0.05", "0.1..0.3 step 0.01"])) == 21 + 21 - 5
    assert len(expand_thresholds("0..0.6 step 0.001")) == 601


def test_yaml_text_numbers() -> None:
    assert expand_thresholds(["1e-3", 0.5, "0.5"]) == (0.001, 0.5)


@pytest.mark.parametrize(
    "bad", ["x", 1.5, -0.1, "nan", float("nan"), None, True, "0..2 step 0.5", "0..1", "0..1 step 0", "1..0 step 0.1", "0..1 step 1e-9"]
)
def test_bad_thresholds(bad: object) -> None:
    with pytest.raises(MetannError) as error:
        expand_thresholds([bad])
    assert "\n" not in str(error.value)
