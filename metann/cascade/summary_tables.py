"""Sections of the summary that are mostly a table: chains, memory, real runs, and the published search on its own terms."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from metann.config.cascade_answers import way
from metann.report.text import macs, markdown_table, p_value, percent, points

_MOST_PAIRS = 120  # rows of the last table
_MARKS = {"second": "-", "more_confident": "+", "mean": "mean", "product": "product"}


def chains_table(chains: pd.DataFrame) -> str:
    if chains.empty:
        return ""
    rows = [
        [
            row.chain,
            f"{row.score}, {way(row.answer)}",
            row.thresholds,
            percent(row.accuracy),
            row.use_by_stage,
            macs(row.macs),
            points(row.gain),
            p_value(row.mcnemar_p, bare=True),
        ]
        for row in chains.itertuples()
    ]
    header = ["chain", "score", "thresholds", "test", "share asked, by stage", "MACs", "gain (points)", "p"]
    return "## More than two networks\n\n" + markdown_table(header, rows)


def memory_table(memory: pd.DataFrame) -> str:
    mean = memory.groupby(["key", "duplicates"], sort=False).mean(numeric_only=True).reset_index()
    rows = [
        [
            row.key,
            f"{row.duplicates:g}",
            percent(row.hit_rate),
            percent(row.expected_hit_rate),
            f"{row.false_hits:g}",
            percent(row.use),
            macs(row.macs),
            macs(row.macs_without),
            points(row.accuracy - row.accuracy_without),
        ]
        for row in mean.itertuples()
    ]
    header = ["key", "duplicates", "hits", "expected", "false hits", "second used", "MACs", "MACs without", "accuracy change"]
    turned = memory["rotations"].iloc[0]
    note = f" {100 * turned:g} % of the duplicates are turned; those are counted as if judged like their originals." if turned else ""
    ideal = "" if memory["key"].nunique() > 1 else " There are no images here, so only an ideal memory is replayed."
    return f"## Memory\n\n{markdown_table(header, rows)}\n\nReplayed from tables.{note}{ideal}"


def runs_table(runs: Sequence[Mapping[str, Any]]) -> str:
    if not runs:
        return ""
    rows = []
    for run in runs:
        latency, joules = run["latency_ms"], run["joules_per_image"]
        counts = [percent(run["second_network_use"] or 0.0), f"{run['memory_hits']:,}", macs(run["macs_per_image"])]
        times_ms = f"{latency['mean']:.3f} / {latency['p95']:.3f} / {latency['p99']:.3f}"
        measured = [times_ms, "unknown" if joules is None else f"{joules:.4g}"]
        differ = "" if None in (run["disagreements"], run["compared"]) else f"{run['disagreements']} of {run['compared']:,}"
        rows.append([str(run["seed"]), f"{run['images']:,}", percent(run["accuracy"]), *counts, *measured, differ])
    header = [
        "seed",
        "images",
        "accuracy",
        "second used",
        "memory hits",
        "MACs",
        "latency ms (mean / p95 / p99)",
        "joules",
        "differ from tables",
    ]
    first = runs[0]
    why = (
        f" Joules are unknown: {first['energy']['reason']}."
        if first["joules_per_image"] is None
        else f" Joules: {first['energy']['source']}."
    )
    size = "one image" if first["batch_size"] == 1 else f"{first['batch_size']} images"
    note = f"Really run on {first['device']}, {size} at a time; {first['stream']}.{why}"
    return f"## The chosen cascade, run\n\n{markdown_table(header, rows)}\n\n{note}"


def in_sample_table(frame: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    """The published search on its own terms, for comparison with published tables."""
    one = frame[(frame["seed"] == frame["seed"].iloc[0])]
    exact, grid = one[one["search"] == "exact"], one[one["search"] == "grid"]
    found = grid[grid["score"] != "oracle"]
    columns = list(dict.fromkeys(zip(found["score"], found["answer"], strict=True)))
    by = ["first", "second", "score", "answer"]
    lost = exact.merge(grid, on=by, suffixes=("", "_grid"))
    lost = lost[lost["score"] != "oracle"]
    difference = (lost["correct"] - lost["correct_grid"]).to_numpy()
    rows = []
    for (first, second), mine in grid.groupby(["first", "second"], sort=False):
        cells = [mine[(mine["score"] == score) & (mine["answer"] == answer)].iloc[0] for score, answer in columns]
        bound = mine[mine["score"] == "oracle"].iloc[0]
        texts = [f"{cell.grid_index:.0f}, {cell.correct}, {cell.sent}" for cell in cells]
        rows.append([f"{first} > {second}", *texts, f"{bound.correct}, {bound.sent}"])
    cut = (
        f"\n\nThe first {_MOST_PAIRS} of {len(rows)} pairs; all stand in tables/cascade_in_sample.parquet."
        if len(rows) > _MOST_PAIRS
        else ""
    )
    header = ["pair", *(f"{score} {_MARKS[answer]}" for score, answer in columns), "oracle"]
    text = (
        f"As published: {metadata['grid']} thresholds, all {one['n'].iloc[0]:,} held-out images (validation and test) both to search and to"
        " judge. Too good to be true, and here only to compare with published tables. Cells: index in the grid, right, sent to the second;"
        " - without, + with post-check. Trying every distinct score instead finds"
        f" {difference.mean():.2f} more right answers on average, {difference.max()} at most."
    )
    return f"## Searched and judged on the same images\n\n{text}\n\n{markdown_table(header, rows[:_MOST_PAIRS])}{cut}"
