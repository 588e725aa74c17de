"""The tables of a run's page, from the tables of the run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from metann.report.frontier import ALL
from metann.report.latency import with_costs
from metann.report.overview import SIDE_BY_SIDE, side_by_side
from metann.report.page import Cell, Table
from metann.report.text import macs, percent

MOST = 500
"""Rows of the table of all settings; `results.parquet` has the others."""
_ROLES = {"network": "plain network", "control": "plain, trained by the family", "bound": "bound, looks at the true class"}


def macs_cell(value: float) -> Cell:
    """Multiply-accumulates, sorted by number; the unknown behind all others."""
    return Cell(macs(value), float(value) if np.isfinite(value) else 1e30)


def chosen_table(results: pd.DataFrame, confidence: float) -> Table:
    """What validation chose in each family, and the plain networks."""
    return Table.of(SIDE_BY_SIDE, side_by_side(results, confidence), texts=(0, 1))


def budget_table(fronts: pd.DataFrame) -> Table:
    """What a budget buys, beside what it buys of plain networks; budgets at which either changes."""
    rows = []
    for row in fronts[fronts["of"] == ALL].sort_values("budget").itertuples():
        gain = 100 * (row.accuracy - row.plain_accuracy)
        beside = [Cell(percent(row.plain_accuracy)), Cell(f"{gain:+.2f}", gain)] if np.isfinite(gain) else [Cell("none so cheap"), Cell("")]
        interval = "" if not np.isfinite(row.low) else f"{100 * max(row.low, 0):.2f} to {100 * min(row.high, 1):.2f}"
        rows.append([macs_cell(row.budget), row.settings, percent(row.val_accuracy), percent(row.accuracy), interval, *beside])
    header = ("budget (MACs)", "setting", "validation", "test", "interval (%)", "plain networks, test", "difference (points)")
    return Table.of(header, rows, texts=(1,))


def settings_table(results: pd.DataFrame, milliseconds: pd.DataFrame | None = None) -> tuple[Table, int]:
    """Every setting, means over its seeds, the most accurate on validation first; and how many there are.

    Args:
        results: of `meet`.
        milliseconds: family, setting, and ms of one image alone; None where nothing was measured.
    """
    keys = ["family", "setting", "role"]
    names = {"val": ["accuracy"], "test": ["accuracy", "macs", "n"]}
    means = [results[results["split"] == split].groupby(keys, sort=False)[columns].mean() for split, columns in names.items()]
    frame = means[1].join(means[0].add_prefix("val_"))
    frame["seeds"] = results.groupby(keys)["seed"].nunique()
    frame["chosen"] = results.groupby(keys)["chosen"].any()
    frame = frame.reset_index().sort_values(["val_accuracy", "macs"], ascending=[False, True], kind="stable")
    if milliseconds is not None:
        frame = frame.merge(milliseconds, on=["family", "setting"], how="left")
    rows = []
    for row in frame.head(MOST).itertuples():
        cells = ["network" if row.family == "network" else row.family, row.setting]
        cells += ["chosen" if row.chosen else _ROLES.get(row.role, ""), str(row.seeds), percent(row.val_accuracy), percent(row.accuracy)]
        cells += [macs_cell(row.macs)]
        if milliseconds is not None:
            cells += [Cell("", 1e30) if np.isnan(row.ms) else Cell(f"{row.ms:.3g}", row.ms)]
        rows.append(cells)
    header = ["family", "setting", "", "seeds", "validation", "test", "MACs", *(["ms, one image"] if milliseconds is not None else [])]
    return Table.of(header, rows, texts=(0, 1, 2)), len(frame)


def latency_table(latency: pd.DataFrame, results: pd.DataFrame) -> Table:
    """Measured settings by multiply-accumulates, with the place that each has by milliseconds."""
    measured = with_costs(latency, results)
    sizes = sorted(int(size) for size in measured["batch_size"].unique())
    places = {size: rows.set_index(["family", "setting"])["ms"].rank() for size, rows in measured.groupby("batch_size")}
    by_size = {size: rows.set_index(["family", "setting"]) for size, rows in measured.groupby("batch_size")}
    first = measured[measured["batch_size"] == sizes[0]].sort_values("macs", kind="stable")
    rows = []
    for number, row in enumerate(first.itertuples(), start=1):
        cells: list[str | Cell] = [row.family, row.setting, percent(row.accuracy), macs_cell(row.macs), Cell(str(number), number)]
        for size in sizes:
            one, place = by_size[size].loc[(row.family, row.setting)], places[size][row.family, row.setting]
            cells += [Cell(f"{one['ms']:.3g} ({one['low']:.3g} to {one['high']:.3g})", one["ms"]), Cell(f"{place:g}", place)]
        rows.append(cells)
    header = ["family", "setting", "test", "MACs", "place"]
    header += [text for size in sizes for text in (f"ms, {'alone' if size == 1 else f'{size} at once'}", "place")]
    return Table.of(header, rows, texts=(0, 1))


def times_table(jobs: Sequence[tuple[str, float, float]]) -> Table:
    """Seconds and memory of each rule.

    Args:
        jobs: (rule, seconds, peak memory in MB or NaN) of every timed job.
    """
    frame = pd.DataFrame(jobs, columns=["rule", "seconds", "memory"])
    rows = []
    for rule, mine in sorted(frame.groupby("rule"), key=lambda group: -group[1]["seconds"].sum()):
        total, longest, memory = mine["seconds"].sum(), mine["seconds"].max(), mine["memory"].max()
        peak = Cell(f"{memory:,.0f}") if np.isfinite(memory) else Cell("", -1.0)
        rows.append([str(rule), str(len(mine)), Cell(f"{total:,.1f}"), Cell(f"{longest:,.1f}"), peak])
    return Table.of(("rule", "jobs", "seconds in all", "longest", "peak memory (MB)"), rows)


def made_table(facts: Mapping[str, object]) -> Table:
    """Names and values."""
    return Table.of(("", ""), [[name, str(value)] for name, value in facts.items()], texts=(0, 1))
