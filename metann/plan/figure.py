"""The figure of `metann plan`: makespan and use over the number of devices. Not one of a run's figures, hence the underscore."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from metann.figures._style import BLUE, GREY, VERMILION, new_figure, styled
from metann.plan.forecast import Forecast

STEPS = (1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400, 365 * 86400)
BETWEEN = (2, 5, 20, 30, 120, 300, 1200, 1800, 2 * 3600, 12 * 3600, 2 * 86400, 4 * 86400, 14 * 86400, 90 * 86400, 180 * 86400)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():,.2f}", f"{values.max():,.2f}"
    return low if low == high else f"{low} to {high}"


def frame_of(forecasts: Sequence[Forecast], shortest: float, price: float | None, title: str) -> pd.DataFrame:
    """The table that `draw` takes."""
    frame = pd.DataFrame([vars(f) for f in forecasts])
    frame.attrs = {"shortest": shortest, "price": price, "title": title}
    return frame


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """`tables['plan']` has the columns of `metann.plan.Forecast`; its attrs hold the title, the price and the longest chain's seconds."""
    plan = tables["plan"].sort_values("devices")
    devices, seconds = plan["devices"].to_numpy(), plan["makespan"].to_numpy()
    work = 3600 * plan["device_hours"].to_numpy()
    spread = bool((plan["makespan_high"] > plan["makespan"]).any())
    price, hours = plan.attrs.get("price"), plan["device_hours"]
    cost = f"; {_range(hours * price)} at {price:g} a device hour" if price is not None else ""
    amount = f"{_range(hours)} device hours"
    footnote = f"{plan.attrs['title']}; {amount}{cost}. List scheduling, simulated; percentages: share of the devices' time in use."
    figure = new_figure(7, 4, "Makespan over the number of devices", footnote)
    axes = figure.subplots()
    axes.plot(devices, work / devices, "--", color=GREY, linewidth=1, label="all work, perfectly spread")
    axes.axhline(plan.attrs["shortest"], color=VERMILION, linewidth=1, linestyle=":", label="longest chain of jobs")
    axes.plot(devices, seconds, "o-", color=BLUE, markersize=4, label="makespan" + (" (mean)" if spread else ""))
    if spread:
        axes.fill_between(devices, seconds, plan["makespan_high"], color=BLUE, alpha=0.2, linewidth=0, label="to the 95th percentile")
    for x, y, used in zip(devices, seconds, plan["utilisation"], strict=True):
        axes.annotate(f"{100 * used:.0f} %", (x, y), (4, 4), textcoords="offset points", fontsize=7, color=GREY)
    axes.set(xscale="log", yscale="log", xlabel="devices", xlim=(devices[0] / 1.4, devices[-1] * 1.9))
    low, high = min(plan.attrs["shortest"], seconds.min()), max(seconds.max(), plan["makespan_high"].max())
    axes.set_ylim(low / 1.6, high * 1.8)
    wide = [step for step in STEPS if low / 1.6 <= step <= high * 1.8]
    ticks = wide if len(wide) > 2 else [step for step in sorted(STEPS + BETWEEN) if low / 1.6 <= step <= high * 1.8]
    axes.set_yticks(ticks or [float(np.sqrt(low * high))])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _duration(value)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else ""))
    axes.legend(loc="upper right")
    return figure
