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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (1e-7, "1e-07 would be 0,"),
        ("1e-7", "'1e-7' would be 0,"),
        (0.9999999, "0.9999999 would be 1,"),
        (1e-13, "would be 0,"),
        ("0.9999995", "would be 1,"),
        ([0.1234567, "0.1234568"], "thresholds 0.1234567 and 0.1234568 would both be 0.123457:"),
        ("0..0.001 step 0.0000001", "would be 0,"),
        ("0.5..0.6 step 0.0000004", "thresholds 0.5000000 and 0.5000004 would both be 0.50:"),
    ],
)
def test_what_rounding_would_make_another(given: object, said: str) -> None:
    """1e-7 would ask every expert."""
    with pytest.raises(MetannError, match=said):
        expand_thresholds(given)


@pytest.mark.parametrize("given", [0.1 + 0.2, 0.123456, 1e-6, "0.999999", 1 - 1e-16, 0.1 * 3, "1.0000000", 1 / 3, 0.1234567])
def test_six_decimals_are_kept(given: object) -> None:
    assert expand_thresholds(given) == (round(float(given), 6),)
    assert expand_thresholds([given, given]) == expand_thresholds(given)


def test_yaml_text_numbers() -> None:
    assert expand_thresholds(["1e-3", 0.5, "0.5"]) == (0.001, 0.5)


@pytest.mark.parametrize(
    "bad", ["x", 1.5, -0.1, "nan", float("nan"), None, True, "0..2 step 0.5", "0..1", "0..1 step 0", "1..0 step 0.1", "0..1 step 1e-9"]
)
def test_bad_thresholds(bad: object) -> None:
    with pytest.raises(MetannError) as error:
        expand_thresholds([bad])
    assert "\n" not in str(error.value)
