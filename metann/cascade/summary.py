"""The page that says which cascade to use at which threshold, what it gains with which certainty, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.cascade.complementarity import FORMS
from metann.cascade.ranking import chosen_rows, correlations, rank_pairs
from metann.report.text import macs, markdown_table, p_value, percent, points, times
from metann.statistics import compare_counts, sign_flip_p, t_interval, verdict

_OBJECTIVES = {
    "accuracy": "the best accuracy",
    "target_accuracy": "the target accuracy at least cost",
    "budget": "the best accuracy within the budget",
}
_MOST_PAIRS = 120  # rows of the last table


def _way(postcheck: bool) -> str:
    return "with post-check" if postcheck else "without post-check"


def _name(row: Any) -> str:
    return f"{row.first} > {row.second}"


def summarise(
    tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], figures: Sequence[str]
) -> str:
    """The summary in Markdown.

    Args:
        tables: results, networks, complementarity, in_sample, chains, ranking, choice as choose-cascade wrote them, and memory.
        metadata: of these tables.
        runs: reports of run-cascade; may be empty.
        figures: names of figures to link to.
    """
    parts = [
        f"# Cascades of {metadata['run']}",
        _answer(tables["choice"]),
        _objectives(tables, metadata),
        _networks(tables["networks"]),
        _matrices(tables["ranking"]),
        _chains(tables["chains"]),
        _memory(tables["memory"]),
        _runs(runs),
        "\n\n".join(f"![{name}](figures/{name}.png)" for name in figures),
        _in_sample(tables["in_sample"], metadata),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(choice: pd.DataFrame) -> str:
    """The first paragraph: everything a reader needs who reads no further."""
    row = next(choice.itertuples())
    seeds = len(choice)
    mean = choice[["accuracy", "use", "macs", "better_accuracy", "better_macs"]].mean()
    thresholds = ", ".join(f"{threshold:.6g}" for threshold in choice["threshold"])
    asks = "above" if row.score == "entropy" else "below"
    lines = [
        f"**Use {_name(row)}, score {row.score}, {_way(row.postcheck)}, threshold {thresholds}"
        f"{' (one for each seed)' if seeds > 1 else ''}: {percent(mean.accuracy)} of {row.n:,} test images"
        f" at {macs(mean.macs)} multiply-accumulates an image.**",
        f"{row.second} is asked when the {row.score.replace('_', ' ')} of {row.first} is {asks} the threshold, on"
        f" {percent(mean.use)} of the images. All of this was chosen on {row.val_n:,} validation images; the test images were looked at once.",
    ]
    for what, name, gain, p, accuracy, cost in (
        ("its better network", "better", "gain", "mcnemar_p", mean.better_accuracy, mean.better_macs),
        ("the best of all networks", "best", "best_gain", "best_p", choice["best_accuracy"].mean(), choice["best_macs"].mean()),
    ):
        names = " / ".join(dict.fromkeys(choice[name]))
        relation = f"{times(mean.macs / cost)} its cost" if np.isfinite(cost) else "cost unknown"
        if name == "best" and list(choice["best"]) == list(choice["better"]):
            continue
        lines.append(
            f"Against {what}, {names} alone ({percent(accuracy)}), at {relation}: {_certainty(choice, gain, p, name == 'better')}."
        )
    return "\n\n".join(lines)


def _certainty(choice: pd.DataFrame, gain: str, p: str, counted: bool) -> str:
    row, confidence = next(choice.itertuples()), choice.attrs.get("confidence", 0.95)
    if len(choice) > 1:
        interval = t_interval(choice[gain].to_numpy(), confidence)
        word = "a gain" if interval.low > 0 else "no evidence of a gain"
        flip = sign_flip_p(choice[gain].to_numpy())
        ends = f"{100 * confidence:g} % t interval {points(interval.low)} to {points(interval.high)}"
        return f"{word}: {points(interval.mean)} points, mean of {len(choice)} seeds ({ends}, sign-flip {p_value(flip)})"
    if counted:
        return verdict(compare_counts(row.n, row.fixed, row.broken, confidence))
    low, high = getattr(row, f"{gain}_low"), getattr(row, f"{gain}_high")
    word = "a gain" if low > 0 and getattr(row, p) <= 1 - confidence else "no evidence of a gain"
    ends = f"{100 * confidence:g} % interval {points(low)} to {points(high)}"
    return f"{word}: {points(getattr(row, gain))} points ({ends}, exact McNemar {p_value(getattr(row, p))})"


def _objectives(tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any]) -> str:
    """The best pair for every objective, by both searches."""
    results, rows = tables["results"], []
    for objective, text in _OBJECTIVES.items():
        for search in ("exact", "grid"):
            ranked = rank_pairs(results, tables["complementarity"], tables["networks"], search, objective)
            if ranked.empty:
                if objective in set(results["objective"]) and search == "exact":
                    rows.append([text, search, "no pair reaches it", *[""] * 8])
                continue
            found = chosen_rows(results, ranked, search, objective)
            row = next(found.itertuples())
            how = f"{row.score}, {_way(row.postcheck)}"
            numbers = [f"{found['threshold'].mean():.4f}", percent(found["val_accuracy"].mean()), percent(found["accuracy"].mean())]
            cost = [percent(found["use"].mean()), macs(found["macs"].mean())]
            gain = [points(found["gain"].mean()), p_value(row.mcnemar_p, bare=True) if len(found) == 1 else ""]
            rows.append([text, search, _name(row), how, *numbers, *cost, *gain])
    header = ["for", "search", "pair", "score", "threshold", "validation", "test", "second used", "MACs", "gain (points)", "p"]
    target = ", ".join(percent(target) for target in metadata["target"])
    note = f"Target: {target} on validation. The gain is over the pair's better network on test; p is McNemar's."
    return f"## Which pair for what\n\n{markdown_table(header, rows)}\n\n{note}"


def _networks(networks: pd.DataFrame) -> str:
    mean = networks.groupby("network", sort=False)[["val_accuracy", "accuracy", "low", "high", "macs"]].mean()
    rows = [
        [name, percent(row.val_accuracy), percent(row.accuracy), f"{100 * row.low:.2f} to {100 * row.high:.2f}", macs(row.macs)]
        for name, row in mean.iterrows()
    ]
    return "## The networks alone\n\n" + markdown_table(["network", "validation", "test", "interval (%)", "MACs"], rows)


def _matrices(ranking: pd.DataFrame) -> str:
    """The ranking, and what the matrices would have picked."""
    rows = [
        [
            f"{row.rank}. {_name(row)}",
            f"{row.score}, {_way(row.postcheck)}",
            percent(row.val_accuracy),
            percent(row.accuracy),
            macs(row.macs),
        ]
        + [f"{getattr(row, form):.4f} ({getattr(row, f'rank_{form}')})" for form in FORMS]
        for row in ranking.head(10).itertuples()
    ]
    table = markdown_table(["pair", "score", "validation", "test", "MACs", "exactly one right (rank)", "balanced (rank)"], rows)
    lines, r = [], correlations(ranking)
    for form in FORMS:
        top = next(ranking.sort_values(f"rank_{form}", kind="stable").itertuples())
        known = f"r = {r[form]:.2f} with the gain" if np.isfinite(r[form]) else "too few pairs for a correlation with the gain"
        lines.append(
            f"- `{form}` ({known}) would pick {_name(top)}: place {top.rank} of {len(ranking)}, {percent(top.val_accuracy)} on validation;"
            f" the chosen pair stands at place {ranking[f'rank_{form}'].iloc[0]} there."
        )
    return f"## Pairs, ranked on validation\n\n{table}\n\nComplementarity alone does not pick the pair:\n\n" + "\n".join(lines)


def _chains(chains: pd.DataFrame) -> str:
    if chains.empty:
        return ""
    rows = [
        [
            row.chain,
            f"{row.score}, {_way(row.postcheck)}",
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


def _memory(memory: pd.DataFrame) -> str:
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


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    if not runs:
        return ""
    rows = []
    for run in runs:
        latency, joules = run["latency_ms"], run["joules_per_image"]
        counts = [percent(run["second_network_use"] or 0.0), f"{run['memory_hits']:,}", macs(run["macs_per_image"])]
        times_ms = f"{latency['mean']:.3f} / {latency['p95']:.3f} / {latency['p99']:.3f}"
        measured = [times_ms, "unknown" if joules is None else f"{joules:.4g}"]
        differ = "" if run["disagreements"] is None else f"{run['disagreements']} of {run['compared']:,}"
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


def _in_sample(frame: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    """The published search on its own terms, for comparison with published tables."""
    one = frame[(frame["seed"] == frame["seed"].iloc[0])]
    exact, grid = one[one["search"] == "exact"], one[one["search"] == "grid"]
    found = grid[grid["score"] != "oracle"]
    columns = list(dict.fromkeys(zip(found["score"], found["postcheck"], strict=True)))
    by = ["first", "second", "score", "postcheck"]
    lost = exact.merge(grid, on=by, suffixes=("", "_grid"))
    lost = lost[lost["score"] != "oracle"]
    difference = (lost["correct"] - lost["correct_grid"]).to_numpy()
    rows = []
    for (first, second), mine in grid.groupby(["first", "second"], sort=False):
        cells = [mine[(mine["score"] == score) & (mine["postcheck"] == way)].iloc[0] for score, way in columns]
        bound = mine[mine["score"] == "oracle"].iloc[0]
        texts = [f"{cell.grid_index:.0f}, {cell.correct}, {cell.sent}" for cell in cells]
        rows.append([f"{first} > {second}", *texts, f"{bound.correct}, {bound.sent}"])
    cut = (
        f"\n\nThe first {_MOST_PAIRS} of {len(rows)} pairs; all stand in tables/cascade_in_sample.parquet."
        if len(rows) > _MOST_PAIRS
        else ""
    )
    header = ["pair", *(f"{score} {'+' if way else '-'}" for score, way in columns), "oracle"]
    text = (
        f"As published: {metadata['grid']} thresholds, all {one['n'].iloc[0]:,} held-out images (validation and test) both to search and to"
        " judge. Too good to be true, and here only to compare with published tables. Cells: index in the grid, right, sent to the second;"
        " - without, + with post-check. Trying every distinct score instead finds"
        f" {difference.mean():.2f} more right answers on average, {difference.max()} at most."
    )
    return f"## Searched and judged on the same images\n\n{text}\n\n{markdown_table(header, rows[:_MOST_PAIRS])}{cut}"
