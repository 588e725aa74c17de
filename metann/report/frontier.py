"""What pays: frontiers chosen on validation images and told on test images, of all settings, of plain networks and of each family.

Frames are those of `metann.report.overview`. A frontier here answers one question for every budget: which setting would validation take
for at most so many multiply-accumulates, in each seed on its own, and how right is that setting on test images? So it holds also where the
settings of one seed (a cascade's thresholds) are not those of another. S seeds.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from metann.report.text import macs, percent
from metann.statistics.frontier import best_within, difference_interval, fisher_p, unbeaten
from metann.statistics.intervals import t_interval, wilson_interval
from metann.statistics.verdict import Verdict, verdict_of_difference, verdict_over_seeds

ALL, PLAIN = "all", "plain"
KEY = ["family", "setting", "role", "seed"]
COLUMNS = ("of", "budget", "seeds", "val_accuracy", "accuracy", "low", "high", "macs", "plain_accuracy", "settings")


def both_splits(results: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting and seed, the columns of both splits beside each other: `val_accuracy` .. and `accuracy` .. of test.

    Bounds and settings of unknown cost are left out. Plain networks of no seed, tables from elsewhere, stand in every seed.
    """
    usable = results[(results["role"] != "bound") & results["macs"].notna()]
    usable = usable.drop_duplicates([*KEY, "split"])
    parts = {split: usable[usable["split"] == split].set_index(KEY) for split in ("val", "test")}
    values = ["n", "correct", "accuracy", "macs"]
    rows = parts["test"].join(parts["val"][values].add_prefix("val_"), how="inner").reset_index()
    seeds = sorted(set(rows.loc[rows["seed"] >= 0, "seed"]))
    if not seeds:
        return rows
    anywhere = rows[rows["seed"] < 0]
    return pd.concat([rows[rows["seed"] >= 0], *(anywhere.assign(seed=seed) for seed in seeds)], ignore_index=True)


def plain(rows: pd.DataFrame) -> pd.Series:
    """Which rows of `both_splits` are plain networks, whoever trained them."""
    return rows["role"].isin(("network", "control"))


def own(rows: pd.DataFrame) -> pd.DataFrame:
    """The settings of families that are not a plain network in disguise, such as a switch that asks no expert.

    One that has the cost of a plain network of its seed, and as many images right on both splits, is that network.
    """
    same = ["seed", "macs", "correct", "val_correct"]
    known = set(rows.loc[plain(rows), same].itertuples(index=False, name=None))
    disguised = np.array([row in known for row in rows[same].itertuples(index=False, name=None)], bool)
    return rows[~plain(rows) & ~disguised]


def frontiers(results: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The frontiers of all, of the plain networks and of every family.

    Args:
        results: of `meet`.
        confidence: of the intervals: over seeds (Student t), or Wilson's for one seed.

    Returns:
        of ('all', 'plain' or a family), budget (multiply-accumulates per image on validation), seeds, val_accuracy; accuracy with low and
        high, and macs on test images; plain_accuracy (the plain networks' at that budget; NaN where none is so cheap); settings (those of
        the seeds). A budget at which nothing changes has no row.
    """
    rows = both_splits(results)
    mine = own(rows)
    parts = {ALL: pd.concat([rows[plain(rows)], mine]), PLAIN: rows[plain(rows)]}
    parts |= {family: mine[mine["family"] == family] for family in dict.fromkeys(mine["family"])}
    found = []
    for name, part in parts.items():
        fronts = [group[unbeaten(group["val_macs"], group["val_accuracy"])] for _, group in part.groupby("seed")]
        budgets = np.unique(np.concatenate([front["val_macs"] for front in fronts])) if fronts else np.zeros(0)
        beside = picks(parts[PLAIN], budgets, rows["seed"].nunique())
        before = None
        for budget, chosen in picks(part, budgets, rows["seed"].nunique()).items():
            which = tuple(chosen["setting"])
            if which != before:
                at = beside.get(budget)
                found.append(_row(name, budget, chosen, confidence) | {"plain_accuracy": np.nan if at is None else at["accuracy"].mean()})
            before = which
    return pd.DataFrame(found, columns=list(COLUMNS))


def picks(rows: pd.DataFrame, budgets: Any, seeds: int) -> dict[float, pd.DataFrame]:
    """Budget -> a row for each seed: what validation takes for it; a budget for which a seed has nothing is left out."""
    found: dict[float, list[pd.Series]] = {float(budget): [] for budget in budgets}
    for _, group in rows.groupby("seed"):
        for budget, row in zip(found, best_within(group["val_macs"], group["val_accuracy"], list(found)), strict=True):
            if row >= 0:
                found[budget].append(group.iloc[row])
    return {budget: pd.DataFrame(chosen) for budget, chosen in found.items() if len(chosen) == seeds}


def _row(name: str, budget: float, chosen: pd.DataFrame, confidence: float) -> dict[str, Any]:
    mean = float(chosen["accuracy"].mean())
    low, high = wilson_interval(int(chosen["correct"].iloc[0]), int(chosen["n"].iloc[0]), confidence)
    if len(chosen) > 1:
        _, low, high = t_interval(chosen["accuracy"].to_numpy(), confidence)
    row = {"of": name, "budget": budget, "seeds": len(chosen), "val_accuracy": chosen["val_accuracy"].mean(), "accuracy": mean}
    row |= {"low": float(low), "high": float(high), "macs": float(chosen["macs"].mean())}
    return row | {"settings": " | ".join(dict.fromkeys(chosen["setting"]))}


def against_plain(results: pd.DataFrame, family: str, confidence: float) -> tuple[Verdict, pd.DataFrame, pd.DataFrame] | None:
    """What a family's chosen settings gain over the plain networks that validation takes for the same cost, seed by seed.

    Returns:
        The verdict (unpaired, see `difference_interval`), the chosen rows and the plain ones; None without either in every seed.
    """
    rows = both_splits(results)
    mine = rows[(rows["family"] == family) & rows["chosen"] & (rows["role"] == "setting")].drop_duplicates("seed").sort_values("seed")
    if mine.empty:
        return None
    theirs = [picks(rows[plain(rows) & (rows["seed"] == row.seed)], [row.val_macs], 1) for row in mine.itertuples()]
    if not all(theirs):
        return None
    beside = pd.concat([next(iter(found.values())) for found in theirs])
    counts = [tuple(int(value) for value in four) for four in zip(mine["correct"], mine["n"], beside["correct"], beside["n"], strict=True)]
    p_S = [fisher_p(*four) for four in counts]
    if len(counts) == 1:
        low, high = difference_interval(*counts[0], confidence)
        gain = mine["accuracy"].iloc[0] - beside["accuracy"].iloc[0]
        return verdict_of_difference(gain, low, high, p_S[0], counts[0][1], confidence), mine, beside
    gains_S = mine["accuracy"].to_numpy() - beside["accuracy"].to_numpy()
    return verdict_over_seeds(gains_S, confidence, p_S, counts[0][1]), mine, beside


def sentences(results: pd.DataFrame, fronts: pd.DataFrame, family: str, confidence: float, told: Collection[str] = ()) -> list[str]:
    """What the picture says of one family: whether it reaches the frontier of plain networks, and what its chosen setting gains over it.

    Args:
        results: of `overview.meet`.
        fronts: of `frontiers`.
        family: which.
        confidence: of the intervals.
        told: plain networks that its own verdicts compare with image by image, which tells more than two counts do: nothing is said
            of these again.
    """
    front, said = fronts[fronts["of"] == family], []
    compared = front[front["plain_accuracy"].notna()]
    if front.empty:
        known = results.loc[results["family"] == family, "macs"].notna().any()
        why = "its settings run plain networks alone" if known else "its multiply-accumulates are unknown"
        return [f"`{family}` has no place on the picture of accuracy against cost: {why}."]
    gap = compared["accuracy"] - compared["plain_accuracy"]
    if compared.empty:
        said.append(
            f"Every plain network of this run costs more than `{family}` or has no known cost, so there is none to compare it with."
        )
    elif len(compared) == len(front) and (gap < 0).all():
        near = compared.loc[gap.idxmax()]
        said.append(
            f"**`{family}` never reaches the frontier of plain networks:** for every budget validation finds a plain network that is more "
            f"accurate on test images; the nearest lies {-100 * gap.max():.2f} points above it, at {macs(near['budget'])} "
            "multiply-accumulates."
        )
    else:
        level, cheaper = int((gap >= 0).sum()), len(front) - len(compared)
        text = (
            f"Of the {len(front)} budgets at which the frontier of `{family}` rises, {level} lie on or above that of plain networks on test"
        )
        said.append(f"{text}{f'; for {cheaper} no plain network is so cheap' if cheaper else ''}.")
    found = against_plain(results, family, confidence)
    if found is not None and not set(found[2]["setting"]) <= set(told):
        verdict, mine, beside = found
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(beside["setting"]))
        said.append(
            f"Its chosen setting ({percent(mine['accuracy'].mean())} at {macs(mine['macs'].mean())}) against the plain network that "
            f"validation takes for that cost ({names}, {percent(beside['accuracy'].mean())} at {macs(beside['macs'].mean())}): "
            f"{verdict.sentence}, counted apart and so with a wider interval than a paired one."
        )
    return said
