"""Thresholds as numbers and as text, in one place, so that a file name and a table never disagree."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from metann.errors import MetannError

DECIMALS = 6


def parse_threshold(given: object) -> float:
    """One threshold in [0, 1]; a number or its text (YAML reads `1e-3` as text), rounded to the decimals that its name keeps.

    Raises:
        MetannError: not a number, outside [0, 1], or one that rounding would make 0 or 1.
    """
    try:
        number = Decimal(str(given))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(given, bool) or not number.is_finite() or not 0 <= number <= 1:
        raise MetannError(f"threshold {given!r} is not a number in [0, 1]; write one such as 0.17")
    if rounds_away(number):
        raise MetannError(f"threshold {given!r} would be {_rounded(number):f}, as names keep {DECIMALS} decimals; write that, or another")
    return float(_rounded(number))


def rounds_away(number: Decimal | float) -> bool:
    """Whether rounding makes 0 of a threshold that is none, at which every class is active, or 1 of one below."""
    number = Decimal(str(number))
    return _rounded(number) in (0, 1) and abs(number - _rounded(number)) > Decimal("1e-15")  # the noise of floats is no difference


def _rounded(number: Decimal) -> Decimal:
    return round(number, DECIMALS).normalize()


def expand_thresholds(given: object) -> tuple[float, ...]:
    """A threshold, a range `"0..1 step 0.05"` (both ends included), or a list of these -> sorted, unique thresholds.

    Ranges are counted in decimal, so that 0.30 is 0.3 and not 0.30000000000000004.

    Raises:
        MetannError: as `parse_threshold`, or two that differ and would be one.
    """
    found: dict[float, Decimal] = {}
    for item in given if isinstance(given, list | tuple) else [given]:
        for number in _range(item) if isinstance(item, str) and ".." in item else [item]:
            threshold = parse_threshold(number)
            exact = Decimal(str(number))
            if abs(found.setdefault(threshold, exact) - exact) > Decimal("1e-15"):
                raise MetannError(
                    f"thresholds {found[threshold]} and {exact} would both be {format_threshold(threshold)}: names keep {DECIMALS} decimals"
                )
    return tuple(sorted(found))


def _range(text: str) -> Iterable[Decimal]:
    try:
        span, step_text = text.split("step")
        start, stop, step = (Decimal(part.strip()) for part in (*span.split(".."), step_text))
        if not step.is_finite() or step <= 0 or stop < start or (stop - start) / step > 1_000_000:
            raise ValueError
        count = int((stop - start) / step)
    except (ValueError, InvalidOperation):
        raise MetannError(f"threshold range {text!r} is not of the form '0.1..0.3 step 0.01'") from None
    return [start + index * step for index in range(count + 1)]


def format_threshold(threshold: float) -> str:
    """The one spelling of a threshold in paths and flags: at least two decimals, more only where they are needed.

    0.1 -> '0.10', 0.175 -> '0.175'. Injective on what `parse_threshold` returns.
    """
    text = f"{threshold:.{DECIMALS}f}".rstrip("0")
    whole, decimals = text.split(".")
    return f"{whole}.{decimals:0<2}"
