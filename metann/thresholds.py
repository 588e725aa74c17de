"""Thresholds as numbers and as text, in one place, so that a file name and a table never disagree."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from metann.errors import MetannError

DECIMALS = 6
NOISE = Decimal("1e-15")  # 0.1 + 0.2 is 4e-17 off


def parse_threshold(given: object) -> float:
    """One threshold in [0, 1]; a number or its text (YAML reads `1e-3` as text).

    Raises:
        MetannError: not a number, outside [0, 1], or of more decimals than its name in paths and tables has.
    """
    try:
        number = Decimal(str(given))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(given, bool) or not number.is_finite() or not 0 <= number <= 1:
        raise MetannError(f"threshold {given!r} is not a number in [0, 1]; write one such as 0.17")
    if has_more_decimals(number):
        raise MetannError(
            f"threshold {given!r} has more than {DECIMALS} decimals; write {format_threshold(round(number, DECIMALS))}, or another"
        )
    return float(round(number, DECIMALS))


def has_more_decimals(number: Decimal | float) -> bool:
    """Whether a number would be another one when it is rounded to what names keep of it; the noise of floats does not count."""
    number = Decimal(str(number))
    rounded = round(number, DECIMALS)
    return abs(number - rounded) > NOISE or (number > 0) != (rounded > 0)


def expand_thresholds(given: object) -> tuple[float, ...]:
    """A threshold, a range `"0..1 step 0.05"` (both ends included), or a list of these -> sorted, unique thresholds.

    Ranges are counted in decimal, so that 0.30 is 0.3 and not 0.30000000000000004.
    """
    found: set[float] = set()
    for item in given if isinstance(given, list | tuple) else [given]:
        found.update(_range(item) if isinstance(item, str) and ".." in item else [parse_threshold(item)])
    return tuple(sorted(found))


def _range(text: str) -> Iterable[float]:
    try:
        span, step_text = text.split("step")
        start, stop, step = (Decimal(part.strip()) for part in (*span.split(".."), step_text))
        if not step.is_finite() or step <= 0 or stop < start or (stop - start) / step > 1_000_000:
            raise ValueError
        count = int((stop - start) / step)
    except (ValueError, InvalidOperation):
        raise MetannError(f"threshold range {text!r} is not of the form '0.1..0.3 step 0.01'") from None
    return [parse_threshold(start + index * step) for index in range(count + 1)]


def format_threshold(threshold: Decimal | float) -> str:
    """The one spelling of a threshold in paths and flags: at least two decimals, more only where they are needed.

    0.1 -> '0.10', 0.175 -> '0.175'. Injective on what `parse_threshold` returns.
    """
    text = f"{threshold:.{DECIMALS}f}".rstrip("0")
    whole, decimals = text.split(".")
    return f"{whole}.{decimals:0<2}"
