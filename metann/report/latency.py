"""Milliseconds beside multiply-accumulates: which settings are measured, and where the two orders differ. Pure: no files.

Frames of measured settings have family, setting, seed, batch_size, ms with low and high (quartiles of the rounds), and macs.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from metann.report.frontier import both_splits, plain
from metann.report.text import count
from metann.statistics.frontier import unbeaten

KEY = ["family", "setting", "seed"]


def to_measure(results: pd.DataFrame, which: str) -> pd.DataFrame:
    """Settings of the first seed that can be loaded, a row each, cheap ones first.

    Args:
        results: of `metann.report.overview.meet`.
        which: 'all'; or 'frontier', those that validation knows none better than at their cost in their family, those that were
            chosen, and the plain networks.
    """
    rows = both_splits(results)
    unknown = results[(results["split"] == "test") & results["macs"].isna() & (results["role"] != "bound")]
    rows = pd.concat([rows, unknown.assign(val_macs=np.nan, val_accuracy=np.nan)], ignore_index=True) if len(unknown) else rows
    rows = rows[(rows["seed"] == rows["seed"].min()) & (rows["load"] != "")].drop_duplicates(["family", "setting"])
    if which == "frontier":
        front = pd.Series(False, index=rows.index)
        for _, group in rows.groupby("family"):
            front[group.index] = unbeaten(group["val_macs"], group["val_accuracy"])
        rows = rows[front | rows["chosen"] | plain(rows)]
    return rows.sort_values(["macs", "family", "setting"], kind="stable", ignore_index=True)


def with_costs(latency: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Measured settings with their multiply-accumulates and accuracies: those of the same seed, on both splits."""
    rows = both_splits(results)[[*KEY, "macs", "accuracy", "val_accuracy", "chosen"]].drop_duplicates(KEY)
    return latency.merge(rows, on=KEY, how="left")


def disorders(measured: pd.DataFrame) -> pd.DataFrame:
    """Pairs of settings of one batch size of which the one with fewer multiply-accumulates takes longer, beyond the spread of the rounds.

    Args:
        measured: rows of one batch size, of `with_costs`.

    Returns:
        cheap, dear (their names), macs_ratio (below 1) and ms_ratio (above 1), the largest disagreement first.
    """
    known = measured[measured["macs"].notna()].sort_values("macs", kind="stable")
    found = []
    for a, b in combinations(known.itertuples(), 2):
        if a.macs < b.macs and a.low > b.high:
            found.append((named(a.family, a.setting), named(b.family, b.setting), a.macs / b.macs, a.ms / b.ms))
    frame = pd.DataFrame(found, columns=["cheap", "dear", "macs_ratio", "ms_ratio"])
    return frame.assign(size=frame["ms_ratio"] / frame["macs_ratio"]).sort_values("size", ascending=False, kind="stable", ignore_index=True)


def named(family: str, setting: str) -> str:
    """'mnn: top_k(1)', or the name of a plain network."""
    return setting if family == "network" else f"{family}: {setting}"


def sentences(latency: pd.DataFrame, results: pd.DataFrame) -> list[str]:
    """What was measured, and for each batch size where milliseconds and multiply-accumulates disagree."""
    measured, facts = with_costs(latency, results), latency.attrs
    first = measured.drop_duplicates(KEY)
    where, threads = facts.get("machine", "an unnamed machine"), count(int(facts.get("threads", 1)), "thread")
    said = [
        f"{count(len(first), 'setting')} of seed {int(first['seed'].iloc[0])} were run as they would be used, conditional parts and all, "
        f"on {where}, {threads}, warm; the median of {int(measured['repeats'].iloc[0])} rounds, in brackets their quartiles."
    ]
    for size, rows in measured.groupby("batch_size"):
        known = rows[rows["macs"].notna()]
        pairs, found = len(known) * (len(known) - 1) // 2, disorders(rows)
        how = "one image at a time" if size == 1 else f"{size} images at once"
        text = f"**{how[0].upper()}{how[1:]}**: of {pairs:,} pairs of settings, {len(found):,} have the two orders against one another"
        if len(found):
            worst = found.iloc[0]
            text += (
                f"; most of all `{worst['cheap']}`, which needs {worst['macs_ratio']:.2f} x the multiply-accumulates of `{worst['dear']}` "
                f"and {worst['ms_ratio']:.2f} x its milliseconds"
            )
        said.append(f"{text}.")
    return said
