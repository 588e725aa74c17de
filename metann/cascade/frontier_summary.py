"""The part of the summary that is about the frontier of all chains: which one to use, what it is worth, and what else there is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from metann.cascade.frontier import how_searched
from metann.config.cascade_answers import way
from metann.report.text import macs, markdown_table, p_value, percent, points, times
from metann.statistics.verdict import verdict_of_counts

_MOST_ROWS = 15


def frontier_answer(frontier: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    """The first paragraph where all chains were searched: the chosen chain, on validation and on test, against one network and all."""
    if frontier.empty:
        return ""
    chosen = frontier[frontier["chosen"]]
    names = " / ".join(
        dict.fromkeys(f"{row.chain}, score {row.score}, {way(row.answer)}, {_thresholds(row)}" for row in chosen.itertuples())
    )
    mean = chosen[["judged_accuracy", "accuracy", "macs"]].mean()
    row = next(chosen.itertuples())
    judges = "the half of the validation images that had no part in finding it" if metadata["cross_fit"] else "the validation images"
    good = "" if metadata["cross_fit"] else ", the best of so many settings there and so too good to be true"
    seeds = " A chain of its own for each seed." if len(chosen) > 1 else ""
    lines = [
        f"**Use {names}: {percent(mean.accuracy)} of {row.n:,} test images at {macs(mean.macs)} multiply-accumulates an image.**",
        f"Found among {sum(metadata['tried']):,} settings of {how_searched(len(metadata['networks']), metadata['max_length'])}."
        f" It was right on {percent(mean.judged_accuracy)} of {judges}{good}; on the test images, looked at once, on"
        f" {percent(mean.accuracy)}.{seeds}",
    ]
    confidence = frontier.attrs.get("confidence", 0.95)
    for what, name, counts in (
        (f"the best single network, {' / '.join(dict.fromkeys(chosen['best']))}", "best", ("n", "best_fixed", "best_broken")),
        (
            f"the whole ensemble, the mean of all {len(metadata['networks'])} networks",
            "ensemble",
            ("n", "ensemble_fixed", "ensemble_broken"),
        ),
    ):
        found = verdict_of_counts(*(chosen[column] for column in counts), confidence)
        accuracy, cost = chosen[f"{name}_accuracy"].mean(), chosen[f"{name}_macs"].mean()
        lines.append(f"Against {what} ({percent(accuracy)}), at {times(mean.macs / cost)} its cost: {found.sentence}.")
    return "\n\n".join(lines)


def frontier_table(frontier: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    """Some chains of the first seed's frontier, cheapest first."""
    if frontier.empty:
        return ""
    first = frontier[frontier["seed"] == frontier["seed"].iloc[0]]
    front = first[first["frontier"]].sort_values("judged_macs", kind="stable")
    shown = front.iloc[np.unique(np.linspace(0, len(front) - 1, _MOST_ROWS).round().astype(int))]
    rows = [
        [
            row.chain,
            f"{row.score}, {way(row.answer)}",
            _thresholds(row, bare=True),
            percent(row.judged_accuracy),
            percent(row.accuracy),
            f"{100 * row.accuracy_low:.2f} to {100 * row.accuracy_high:.2f}",
            f"{row.asked:.2f}",
            macs(row.macs),
            points(row.best_gain),
            p_value(row.best_p, bare=True),
            points(row.ensemble_gain),
            p_value(row.ensemble_p, bare=True),
        ]
        for row in shown.itertuples()
    ]
    judged = "other half" if metadata["cross_fit"] else "validation"
    header = ["chain", "answer", "thresholds", judged, "test", "interval (%)", "asked", "MACs", "to best single", "p", "to all", "p"]
    one = " of the first seed" if frontier["seed"].nunique() > 1 else ""
    gain, of_test = (front["judged_accuracy"] - front["best_judged_accuracy"]).mean(), front["best_gain"].mean()
    honest = (
        "Chains were found on each half of the validation images and are judged here by the other half"
        if metadata["cross_fit"]
        else "Validation has both found these chains and judged them, so that its column is too good to be true"
    )
    return (
        f"## Every chain: what accuracy costs\n\n{markdown_table(header, rows)}\n\n{len(shown)} of the {len(front)} chains{one} than which"
        f" validation knows none as accurate at less cost; all stand in tables/cascade_frontier.parquet. {honest}; the test images took"
        f" no part in it. Over all of them the gain over the best single network is {points(gain)} points there and {points(of_test)} on"
        " test. Gains in points on test, p of McNemar's exact test; with so many rows the smallest p is small by chance alone."
    )


def _thresholds(row: Any, bare: bool = False) -> str:
    values = [f"{float(text):.4g}" for text in row.thresholds.split(", ") if text]
    if not values:
        return "" if bare else "a single network"
    said = values[0] if len(set(values)) == 1 else ", ".join(values)
    return said if bare else f"threshold{'s' if len(set(values)) > 1 else ''} {said}"
