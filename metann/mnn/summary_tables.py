"""Sections of summary.md that are mostly tables: controls, the switch's mistakes, the expert sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from metann.report.text import escaped, macs, markdown_table, p_value, percent, points
from metann.statistics.verdict import Verdict, verdict_of_chance, verdict_of_counts
from metann.thresholds import format_threshold


def counted(rows: pd.DataFrame, confidence: float) -> Verdict:
    """The verdict on rows that count images: one for each seed, with n, fixed and broken."""
    return verdict_of_counts(rows["n"], rows["fixed"], rows["broken"], confidence)


def controls_section(controls: pd.DataFrame, chosen: pd.DataFrame, confidence: float) -> str:
    rows = [
        [
            "**meta network**",
            percent(chosen["accuracy"].mean()),
            f"{chosen['mean_experts'].mean():.2f}",
            macs(chosen["mean_macs"].mean()),
            "",
            "",
        ]
    ]
    for name, of_control in controls.groupby("control", sort=False):
        gain = interval_text = p = ""
        if of_control["gain"].notna().all():
            found = _against(of_control, confidence)
            gain, interval_text = points(found.gain), f"{points(found.low)} to {points(found.high)}"
            p = p_value(of_control["mcnemar_p"].iloc[0], bare=True) if len(of_control) == 1 else ""
        experts = of_control["mean_experts"].mean()
        label = f"plain network `{name}`" if of_control["kind"].iloc[0] == "network" else name
        cells = [label, percent(of_control["accuracy"].mean()), f"{experts:.2f}" if np.isfinite(experts) else ""]
        rows.append([*cells, macs(of_control["mean_macs"].mean()), f"{gain} ({interval_text})" if gain else "", p])
    table = markdown_table(
        ["", "test accuracy", "experts per image", "MACs per image", "meta network minus this (points)", "McNemar p"], rows
    )
    chance = controls[controls["kind"] == "chance"]
    if chance["gain"].isna().any() or (chosen["switch_function"] == "none").all():
        return table
    found = _against(chance, confidence)
    word = {"gain": "more", "loss": "less", "no evidence": "neither more nor less, as far as can be told"}[found.word]
    return (
        f"{table}\n\nThe random prefix deals the same numbers of experts to the images at random. Letting the switch say which images get "
        f"them is worth {word}: {found.numbers}."
    )


def _against(rows: pd.DataFrame, confidence: float) -> Verdict:
    """The verdict on the rows of one control that the meta network is tested against."""
    if rows["fixed"].notna().all():
        return counted(rows, confidence)
    return verdict_of_chance(rows["gain"], rows["low"], rows["high"], confidence)


def mistakes_section(mistakes: pd.DataFrame, chosen: pd.DataFrame) -> str:
    ranks = mistakes[mistakes["by"] == "rank"]
    by_rank = ranks.groupby(["low", "high"], sort=True)[["wrong", "active", "recovered", "broken"]].sum().reset_index()
    total = by_rank[["wrong", "active", "recovered", "broken"]].sum()
    seeds = len(chosen)
    per = f" (sum of {seeds} seeds)" if seeds > 1 else ""
    text = (
        f"At the chosen setting{per}: of {total['wrong']:,} images that the switch gets wrong, {total['active']:,} have their true class "
        f"active, so that its expert is asked; the experts recover {total['recovered']:,} and break {total['broken']:,} others. "
        "An image can be recovered without its true class being active, when the expert of the wrong class says no."
    )
    rows = [
        [_rank(row), f"{int(row['wrong']):,}", f"{int(row['active']):,}", f"{int(row['recovered']):,}"]
        for _, row in by_rank[by_rank["low"] > 1].iterrows()
    ]
    text += "\n\n" + markdown_table(["rank of the true class", "wrong", "true class active", "recovered"], rows)
    at = mistakes[(mistakes["by"] == "test_threshold") & mistakes["dataset_threshold"].isin(chosen["dataset_threshold"])]
    if at.empty:
        return text
    at = at[at["dataset_threshold"] == chosen["dataset_threshold"].mode().iloc[0]]
    by_threshold = at.groupby("low")[["wrong", "active", "recovered", "broken"]].sum().reset_index()
    wanted = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5]
    some = by_threshold.iloc[sorted({int((by_threshold["low"] - t).abs().argmin()) for t in wanted})]
    rows = [
        [format_threshold(row["low"]), *(f"{int(row[name]):,}" for name in ("active", "recovered", "broken"))] for _, row in some.iterrows()
    ]
    threshold = format_threshold(at["dataset_threshold"].iloc[0])
    return f"{text}\n\nOver the test threshold, with the experts of dataset threshold {threshold}{per}:\n\n" + markdown_table(
        ["test threshold", "true class active", "recovered", "broken"], rows
    )


def _rank(row: pd.Series) -> str:
    return f"{int(row['low'])}" if row["low"] == row["high"] else f"{int(row['low'])} to {int(row['high'])}"


def expert_sets_section(sets: pd.DataFrame, chosen: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    if sets.empty:
        return "No description of the expert sets was given."
    sizes = sets.drop_duplicates(["seed", "dataset_threshold", "class"])
    own = sets[sets["class"] == sets["true_class"]]
    rows = []
    for threshold, group in sizes.groupby("dataset_threshold"):
        share = own[own["dataset_threshold"] == threshold]["images"].sum() / max(group["size"].sum(), 1)
        untrained = group[group["state"] != "trained"]
        not_trained = ", ".join(f"{escaped(row.class_name)} ({row.state}, seed {row.seed})" for row in untrained.itertuples()) or "none"
        span = f"{group['size'].min():,} to {group['size'].max():,}"
        rows.append([format_threshold(threshold), f"{group['size'].mean():,.0f}", span, percent(share), not_trained])
    text = markdown_table(["dataset threshold", "images per expert", "from, to", "of the expert's own class", "not trained"], rows)
    wanted = chosen["dataset_threshold"].mode().iloc[0]
    at = sets[(sets["dataset_threshold"] == wanted) & (sets["seed"] == chosen["seed"].iloc[0])]
    shown = at[at["class"] < 20]
    if shown.empty:
        return text
    rows = [_composition(group) for _, group in shown.groupby("class")]
    more = f" (the first 20 of {len(metadata['class_names'])})" if len(metadata["class_names"]) > 20 else ""
    return f"{text}\n\nAt dataset threshold {format_threshold(wanted)}, seed {chosen['seed'].iloc[0]}{more}:\n\n" + markdown_table(
        ["expert", "images", "own class", "most frequent others"], rows
    )


def _composition(group: pd.DataFrame) -> list[str]:
    size = int(group["size"].iloc[0])
    own = group[group["class"] == group["true_class"]]["images"].sum()
    others = group[(group["class"] != group["true_class"]) & (group["images"] > 0)].nlargest(3, "images")
    named = ", ".join(f"{escaped(row.true_name)} {row.images:,}" for row in others.itertuples())
    return [escaped(group["class_name"].iloc[0]), f"{size:,}", percent(own / size) if size else "", named or "none"]
