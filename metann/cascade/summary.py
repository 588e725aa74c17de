"""The page that says which cascade to use at which threshold, what it gains with which certainty, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.cascade.choice import chosen_rows, correlations, rank_pairs
from metann.cascade.complementarity import FORMS
from metann.cascade.frontier_summary import frontier_answer, frontier_table
from metann.cascade.rule import high_is_sure
from metann.cascade.summary_tables import chains_table, in_sample_table, memory_table, runs_table
from metann.config.cascade_answers import way
from metann.report.text import macs, markdown_table, p_value, percent, points, times
from metann.statistics.intervals import over_seeds
from metann.statistics.verdict import verdict_of_counts

_OBJECTIVES = {
    "accuracy": "the best accuracy",
    "target_accuracy": "the target accuracy at least cost",
    "budget": "the best accuracy within the budget",
}


def _name(row: Any) -> str:
    return f"{row.first} > {row.second}"


def summarise(
    tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], figures: Sequence[str]
) -> str:
    """The summary in Markdown.

    Args:
        tables: results, networks, complementarity, in_sample, chains, frontier, pairs, choice as choose-cascade wrote them, and memory.
        metadata: of these tables.
        runs: reports of run-cascade; may be empty.
        figures: names of figures to link to.
    """
    parts = [
        f"# Cascades of {metadata['run']}",
        frontier_answer(tables["frontier"], metadata),
        ("" if tables["frontier"].empty else "## Two networks alone\n\n")
        + _answer(tables["choice"], "Use" if tables["frontier"].empty else "The best pair is"),
        frontier_table(tables["frontier"], metadata),
        _objectives(tables, metadata),
        _networks(tables["networks"], metadata),
        _matrices(tables["pairs"], tables["choice"]),
        chains_table(tables["chains"]),
        memory_table(tables["memory"]),
        runs_table(runs),
        "\n\n".join(f"![{name}](figures/{name}.png)" for name in figures),
        in_sample_table(tables["in_sample"], metadata),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(choice: pd.DataFrame, use: str = "Use") -> str:
    """The first paragraph: everything a reader needs who reads no further."""
    row = next(choice.itertuples())
    seeds = len(choice)
    mean = choice[["accuracy", "use", "macs"]].mean()
    thresholds = ", ".join(f"{threshold:.6g}" for threshold in choice["threshold"])
    asks = "below" if high_is_sure(row.score) else "above"
    lines = [
        f"**{use} {_name(row)}, score {row.score}, {way(row.answer)}, threshold {thresholds}"
        f"{' (one for each seed)' if seeds > 1 else ''}: {percent(mean.accuracy)} of {row.n:,} test images"
        f" at {macs(mean.macs)} multiply-accumulates an image.**",
        f"{row.second} is asked when the {row.score.replace('_', ' ')} of {row.first} is {asks} the threshold, on"
        f" {percent(mean.use)} of the images. All of this was chosen on {row.val_n:,} validation images;"
        " the test images were looked at once.",
    ]
    confidence = choice.attrs.get("confidence", 0.95)
    for what, name, counts in (
        ("its better network", "better", ("n", "fixed", "broken")),
        ("the best of all networks", "best", ("n", "best_fixed", "best_broken")),
    ):
        accuracy, cost = choice[f"{name}_accuracy"].mean(), choice[f"{name}_macs"].mean()
        names = " / ".join(dict.fromkeys(choice[name]))
        relation = f"{times(mean.macs / cost)} its cost" if np.isfinite(cost) else "cost unknown"
        if name == "best" and list(choice["best"]) == list(choice["better"]):
            continue
        found = verdict_of_counts(*(choice[column] for column in counts), confidence)
        lines.append(f"Against {what}, {names} alone ({percent(accuracy)}), at {relation}: {found.sentence}.")
    return "\n\n".join(lines)


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
            how = f"{row.score}, {way(row.answer)}"
            numbers = [f"{found['threshold'].mean():.4f}", percent(found["val_accuracy"].mean()), percent(found["accuracy"].mean())]
            cost = [percent(found["use"].mean()), macs(found["macs"].mean())]
            gain = [points(found["gain"].mean()), p_value(row.mcnemar_p, bare=True) if len(found) == 1 else ""]
            rows.append([text, search, _name(row), how, *numbers, *cost, *gain])
    header = ["for", "search", "pair", "score", "threshold", "validation", "test", "second used", "MACs", "gain (points)", "p"]
    target = ", ".join(percent(target) for target in metadata["target"])
    note = f"Target: {target} on validation. The gain is over the pair's better network on test; p is McNemar's."
    return f"## Which pair for what\n\n{markdown_table(header, rows)}\n\n{note}"


def _networks(networks: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    rows = []
    for name, mine in networks.groupby("network", sort=False):
        mean, low, high = over_seeds(mine["accuracy"], mine["low"], mine["high"], metadata["confidence"])
        rows.append(
            [name, percent(mine["val_accuracy"].mean()), percent(mean), f"{100 * low:.2f} to {100 * high:.2f}", macs(mine["macs"].mean())]
        )
    text = "## The networks alone\n\n" + markdown_table(["network", "validation", "test", "interval (%)", "MACs"], rows)
    fitted = (metadata.get("temperatures") or [None])[0]
    if fitted:
        said = ", ".join(f"{name} {fitted[name]:.3f}" for name in metadata["networks"])
        text += f"\n\nAll scores are of calibrated networks; their temperatures, fitted on validation{_first_of(metadata)}: {said}."
    return text


def _first_of(metadata: Mapping[str, Any]) -> str:
    return ", of the first seed" if len(metadata["temperatures"]) > 1 else ""


def _matrices(pairs: pd.DataFrame, choice: pd.DataFrame) -> str:
    """The ranking, and what the matrices would have picked."""
    rows = [
        [
            f"{row.rank}. {_name(row)}",
            f"{row.score}, {way(row.answer)}",
            percent(row.val_accuracy),
            percent(row.accuracy),
            macs(row.macs),
        ]
        + [f"{getattr(row, form):.4f} ({getattr(row, f'rank_{form}')})" for form in FORMS]
        for row in pairs.head(10).itertuples()
    ]
    table = markdown_table(["pair", "score", "validation", "test", "MACs", "exactly one right (rank)", "balanced (rank)"], rows)
    lines, r = [], correlations(pairs)
    chosen = pairs[(pairs["first"] == choice["first"].iloc[0]) & (pairs["second"] == choice["second"].iloc[0])].iloc[0]
    for form in FORMS:
        top = next(pairs.sort_values(f"rank_{form}", kind="stable").itertuples())
        known = f"r = {r[form]:.2f} with the gain" if np.isfinite(r[form]) else "too few pairs for a correlation with the gain"
        lines.append(
            f"- `{form}` ({known}) would pick {_name(top)}: place {top.rank} of {len(pairs)}, {percent(top.val_accuracy)} on validation;"
            f" the chosen pair stands at place {chosen[f'rank_{form}']} there."
        )
    return (
        f"## Pairs at their best accuracy, ranked on validation\n\n{table}\n\nComplementarity alone does not pick the pair:\n\n"
        + "\n".join(lines)
    )
