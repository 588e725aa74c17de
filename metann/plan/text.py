"""A plan as text, and the checks of what it is asked for."""

import math
from collections.abc import Mapping

from metann.errors import MetannError
from metann.plan.forecast import Forecast
from metann.report.text import aligned_table


def check_arguments(interruptions: float, checkpoint: float, restart: float, repeats: int, per_job: int, devices: list[int] | None) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        MetannError: a probability, a time or a count out of its range.
    """
    if not 0 <= interruptions < 1:
        raise MetannError(f"--interruptions {interruptions} is not a probability in [0, 1)")
    if not 0 < checkpoint < math.inf or not 0 <= restart < math.inf:
        raise MetannError(
            f"--checkpoint-seconds {checkpoint} and --restart-seconds {restart}: the first is above 0, the second not below it, both finite"
        )
    if repeats < 1 or per_job < 1 or (devices is not None and min(devices, default=1) < 1):
        raise MetannError("--repeats, --devices-per-job and --devices are at least 1")


def check_times(given: Mapping[str, float | None]) -> None:
    """Refuse prices and times, by the names of their flags, that are not finite or below 0; the scheduling would never end.

    Raises:
        MetannError: naming the flag.
    """
    for flag, number in given.items():
        if number is not None and not 0 <= number < math.inf:
            raise MetannError(f"--{flag} {number} is {'negative' if number < 0 else 'no finite number'}; give one from 0 on")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 179.3 -> '0:02:59'."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def table(forecasts: list[Forecast], price: float | None, disturbed: bool) -> str:
    """The forecasts as aligned text."""
    head = ["devices", "makespan", *(["95 % of runs"] if disturbed else []), "device hours", "in use", *([] if price is None else ["cost"])]
    rows = [
        [
            f"{f.devices:,}",
            clock(f.makespan),
            *([clock(f.makespan_high)] if disturbed else []),
            f"{f.device_hours:,.2f}",
            f"{100 * f.utilisation:.1f} %",
            *([] if price is None else [f"{f.device_hours * price:,.2f}"]),
        ]
        for f in forecasts
    ]
    return aligned_table(head, rows)
