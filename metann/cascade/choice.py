"""Which pair to use: pairs ranked by what validation says of them at their cost, beside what the complementarity matrices say.

Frames have one row per pair, or per pair and seed; columns as `metann.cascade.evaluation` writes them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.cascade.complementarity import FORMS
from metann.config.cascade_answers import way
from metann.statistics.intervals import wilson_interval

_CASCADE = ["first", "second", "score", "postcheck", "answer"]
_MEANS = ["threshold", "val_accuracy", "val_use", "val_macs", "accuracy", "use", "macs", "better_accuracy", "gain"]


Fitted = Mapping[int, Mapping[str, float] | None]


def rule_of(seed: int, networks: Sequence[str], thresholds: Sequence[float], score: str, answer: str, fitted: Fitted) -> str:
    """What `metann.load` takes to load a cascade other than the chosen one, as JSON: the keys of a `ChainSection`."""
    heat = fitted.get(seed)
    temperatures = {"temperatures": [heat[name] for name in networks]} if heat and len(networks) > 1 else {}
    rule = {"networks": list(networks), "thresholds": [float(t) for t in thresholds], "score": score, "answer": answer}
    return json.dumps({"rule": rule | temperatures})


def rank_pairs(results: pd.DataFrame, complementarity: pd.DataFrame, networks: pd.DataFrame, search: str, objective: str) -> pd.DataFrame:
    """Every pair with its best score and answer, best pair first; validation alone decides.

    Args:
        results: rows of `pair_rows` with a column seed.
        complementarity: rows of `complementarity_rows` with a column seed.
        networks: rows of `single_rows` with a column seed.
        search: 'exact' or 'grid'.
        objective: 'accuracy' and 'budget' rank by validation accuracy, then cost; 'target_accuracy' by cost, then accuracy.

    Returns:
        Means over seeds; `rank`, `pareto` (no pair or single network is both as accurate and as cheap on validation, one of
        them better), both forms of complementarity on validation images, and `rank_{form}`. Empty where nothing reaches the
        objective in every seed.
    """
    rows = results[(results["search"] == search) & (results["objective"] == objective)]
    groups = rows.groupby(_CASCADE, sort=False)
    means = groups[_MEANS].mean()
    means = means[groups["seed"].nunique() == results["seed"].nunique()].reset_index()
    cost = means["val_macs"].where(means["val_macs"].notna(), means["val_use"])
    order = [cost, -means["val_accuracy"]] if objective == "target_accuracy" else [-means["val_accuracy"], cost]
    means = means.iloc[np.lexsort([means["val_use"], *reversed(order)])]
    ranked = means.drop_duplicates(["first", "second"]).reset_index(drop=True)
    ranked["rank"] = np.arange(1, len(ranked) + 1)
    ranked["pareto"] = _pareto(ranked, networks)
    on_val = complementarity[complementarity["images"] == "val"]
    for form in FORMS:
        values = on_val[on_val["form"] == form].groupby(["first", "second"])["value"].mean().rename(form)
        ranked = ranked.join(values, on=["first", "second"])
        ranked[f"rank_{form}"] = ranked[form].rank(ascending=False, method="min").astype(int)
    return ranked


def _pareto(ranked: pd.DataFrame, networks: pd.DataFrame) -> np.ndarray:
    """False everywhere where a cost is unknown."""
    singles = networks.groupby("network", sort=False)[["macs", "val_accuracy"]].mean()
    cost = np.concatenate([ranked["val_macs"], singles["macs"]])
    accuracy = np.concatenate([ranked["val_accuracy"], singles["val_accuracy"]])
    no_worse = (cost <= cost[: len(ranked), None]) & (accuracy >= accuracy[: len(ranked), None])
    better = (cost < cost[: len(ranked), None]) | (accuracy > accuracy[: len(ranked), None])
    return ~(no_worse & better).any(axis=1) & np.isfinite(cost).all()


def correlations(ranked: pd.DataFrame) -> dict[str, float]:
    """Pearson's r over pairs between each form of complementarity and the gain over the better network; NaN for under three pairs."""
    if len(ranked) < 3:
        return dict.fromkeys(FORMS, float("nan"))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {form: float(ranked[form].corr(ranked["gain"])) for form in FORMS}


def chosen_rows(results: pd.DataFrame, ranked: pd.DataFrame, search: str, objective: str) -> pd.DataFrame:
    """The first-ranked cascade's row of every seed, each with its own threshold."""
    best: dict[str, Any] = ranked.iloc[0][_CASCADE].to_dict()
    same = results[(results["search"] == search) & (results["objective"] == objective)]
    for column, value in best.items():
        same = same[same[column] == value]
    return same.sort_values("seed", ignore_index=True)


def settings(results: pd.DataFrame, choice: pd.DataFrame, confidence: float, fitted: Fitted) -> pd.DataFrame:
    """Every pair with its threshold as rows (validation and test) of the table in which families meet, see `metann.report.overview`.

    Args:
        results, choice: rows of `pair_rows` with a column seed, all and the chosen ones.
        confidence: of the intervals.
        fitted: seed -> network -> temperature; None for a seed without.
    """
    key = ["seed", *_CASCADE, "search", "threshold"]
    kept = results.drop_duplicates(key)  # a threshold may be the best for several objectives
    picked = set(choice[key].itertuples(index=False, name=None))
    setting = (
        kept["first"]
        + " > "
        + kept["second"]
        + ", "
        + kept["score"]
        + kept["answer"].map(lambda answer: "" if answer == "second" else f", {way(answer)}")
        + kept["threshold"].map(lambda threshold: f", threshold {threshold:.6g}")
    )
    load = [
        "" if row.score == "oracle" else rule_of(row.seed, [row.first, row.second], [row.threshold], row.score, row.answer, fitted)
        for row in kept.itertuples()
    ]
    parts = []
    for split, prefix in (("val", "val_"), ("test", "")):
        n, correct = kept[f"{prefix}n"].to_numpy(), kept[f"{prefix}correct"].to_numpy()
        low, high = wilson_interval(correct, n, confidence)
        parts.append(
            pd.DataFrame(
                {
                    "family": "cascade",
                    "setting": setting,
                    "role": np.where(kept["score"] == "oracle", "bound", "setting"),
                    "seed": kept["seed"],
                    "split": split,
                    "n": n,
                    "correct": correct,
                    "accuracy": correct / n,
                    "low": low,
                    "high": high,
                    "macs": kept[f"{prefix}macs"].astype(np.float64),
                    "chosen": [row in picked for row in kept[key].itertuples(index=False, name=None)],
                    "load": load,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
