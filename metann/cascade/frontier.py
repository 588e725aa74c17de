"""The frontier of all chains: found on validation images, each chain then judged on test images, and one of them chosen.

Shapes: N images (validation and test together). Rows are plain dicts, ready for a frame.

The best of a hundred thousand settings on validation images is too good to be true there. Test images say what it is worth; where the
choice itself should go by an honest number, `cross_fit` finds chains on each half of the validation images and judges them on the other.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.cascade.choice import Fitted, rule_of
from metann.cascade.evaluation import judged, named
from metann.cascade.every_chain import MOST_EXACT, Found, States, exact_thresholds, frontier
from metann.cascade.evidence import combined, evidence_of
from metann.cascade.held_out import HeldOut
from metann.cascade.rowwise import first_argmax
from metann.cascade.rule import Decisions, decide
from metann.config.cascade_answers import way
from metann.errors import MetannError
from metann.seeds import derive_seed
from metann.statistics.frontier import unbeaten
from metann.statistics.intervals import wilson_interval
from metann.statistics.paired import compare_paired

SEPARATOR = " > "


def frontier_rows(
    held: HeldOut, scores: Sequence[str], answers: Sequence[str], max_length: int, cross_fit: bool, seed: int
) -> tuple[list[dict[str, Any]], int]:
    """The chains on the frontier of every score and answer, with one threshold for all stages (search 'grid') and with exact ones.

    Args:
        held: the images.
        scores, answers: which to try.
        max_length: networks of a chain at most.
        cross_fit: find chains on each half of the validation images, and judge them by the other.
        seed: of the halves.

    Returns:
        Rows of chain, score, postcheck, answer, thresholds, search, found_on ('val', or 'first half', 'second half'), judged_n,
        judged_correct, judged_accuracy and judged_macs (on the images that the choice goes by; the best single network has
        best_judged_accuracy there), frontier (no other row is as accurate
        there at less cost), networks, the columns of both splits, and the same against the whole ensemble (`ensemble_*`: the mean of
        all networks); and how many settings were tried.

    Raises:
        MetannError: a network without known multiply-accumulates: there is no frontier without a cost.
    """
    for network in held.networks:
        if not np.isfinite(network.macs):
            raise MetannError(
                f"chains: all weighs accuracy against cost, and {network.name!r} has no multiply-accumulates; give its `macs`"
            )
    val = np.flatnonzero(held.val_N)
    parts = {"val": (val, val)}
    if cross_fit:
        if len(val) < 4:
            raise MetannError(f"{len(val)} validation images have no two halves to cross-fit on; leave cross_fit away")
        halves = np.array_split(np.random.default_rng(derive_seed(seed, "cross_fit")).permutation(val), 2)
        first, second = (np.sort(half) for half in halves)
        parts = {"first half": (first, second), "second half": (second, first)}
    macs, names = [network.macs for network in held.networks], [network.name for network in held.networks]
    ensemble_N = _ensemble(held)
    rows, tried = [], 0
    for score in scores:
        for answer in answers:
            found_before: set[tuple[tuple[int, ...], tuple[float, ...]]] = set()
            for found_on, (finding, judging) in parts.items():
                states = States([network.p_NK[finding] for network in held.networks], held.labels_N[finding], score, answer)
                kept, some = frontier(states, macs, max_length)
                tried += some
                exact = [exact_thresholds(states, macs, found) for found in kept if len(found.chain) > 1]
                for search, found in [("grid", found) for found in kept] + [("exact", found) for found in exact]:
                    if (found.chain, found.thresholds) in found_before:
                        continue
                    found_before.add((found.chain, found.thresholds))
                    how = {"chain": SEPARATOR.join(names[i] for i in found.chain), "score": score} | named(answer)
                    how |= {"thresholds": ", ".join(map(repr, found.thresholds)), "search": search, "found_on": found_on}
                    rows.append(how | _row(held, found, names, score, answer, judging, ensemble_N))
    on_front = unbeaten(np.array([row["judged_macs"] for row in rows]), np.array([row["judged_correct"] / row["judged_n"] for row in rows]))
    return [row | {"frontier": bool(front)} for row, front in zip(rows, on_front, strict=True)], tried


def _ensemble(held: HeldOut) -> np.ndarray:
    """(N,) bool, whether the mean of all networks is right."""
    evidence_NK = sum(evidence_of("mean", network.p_NK) for network in held.networks)
    return first_argmax(combined("mean", evidence_NK, len(held.networks))) == held.labels_N


def _row(
    held: HeldOut, found: Found, names: Sequence[str], score: str, answer: str, judging: np.ndarray, ensemble_N: np.ndarray
) -> dict[str, Any]:
    chain = [names[i] for i in found.chain]
    decisions = decide([held.named(name).p_NK for name in chain], found.thresholds, score, answer=answer)
    right_N = decisions.prediction_N == held.labels_N
    macs_N = np.cumsum([held.named(name).macs for name in chain])[decisions.asked_N - 1]
    row: dict[str, Any] = {"judged_n": len(judging), "judged_correct": int(right_N[judging].sum())}
    row |= {"judged_accuracy": right_N[judging].mean(), "judged_macs": macs_N[judging].mean(), "networks": len(chain)}
    best = held.better_of(names)
    row |= {"best_judged_accuracy": held.right(best)[judging].mean(), "asked": decisions.asked_N[~held.val_N].mean()}
    return row | judged(held, decisions, chain) | _against_all(held, decisions, ensemble_N)


def _against_all(held: HeldOut, decisions: Decisions, ensemble_N: np.ndarray) -> dict[str, Any]:
    """The test images, compared with the whole ensemble."""
    test_N = ~held.val_N
    right_N = (decisions.prediction_N == held.labels_N)[test_N]
    compared = compare_paired(ensemble_N[test_N], right_N, held.confidence)
    return {
        "ensemble_accuracy": ensemble_N[test_N].mean(),
        "ensemble_macs": sum(network.macs for network in held.networks),
        "ensemble_fixed": compared.fixed,
        "ensemble_broken": compared.broken,
        "ensemble_gain": compared.gain,
        "ensemble_gain_low": compared.low,
        "ensemble_gain_high": compared.high,
        "ensemble_p": compared.p,
    }


def choose_chain(frontier_of_seed: pd.DataFrame, search: str, objective: str, target: float, budget: float | None) -> pd.Series | None:
    """The row that an objective takes, by the images that judge; None where nothing meets it.

    Args:
        frontier_of_seed: rows of `frontier_rows` of one seed.
        search: 'exact' takes thresholds of either search, 'grid' one threshold for all stages.
        objective: the most right; `target_accuracy`, at least cost; or the most right within `budget`.
        target: accuracy in [0, 1].
        budget: multiply-accumulates per image.
    """
    rows = frontier_of_seed[frontier_of_seed["networks"] > 1]
    rows = rows if search == "exact" else rows[rows["search"] == "grid"]
    order = [-rows["judged_accuracy"], rows["judged_macs"]]
    if objective == "target_accuracy":
        rows = rows[rows["judged_accuracy"] >= target]
        order = [rows["judged_macs"], -rows["judged_accuracy"]]
    elif objective == "budget":
        rows = rows[rows["judged_macs"] <= (np.inf if budget is None else budget)]
        order = [-rows["judged_accuracy"], rows["judged_macs"]]
    return None if rows.empty else rows.iloc[np.lexsort(order[::-1])[0]]


def cascade_of(row: Any) -> dict[str, Any]:
    """What cascade.json says of a row."""
    thresholds = [float(text) for text in row.thresholds.split(", ") if text]
    return {"networks": row.chain.split(SEPARATOR), "thresholds": thresholds, "score": row.score} | named(row.answer)


def with_choice(rows: pd.DataFrame, search: str, objective: str, targets: Sequence[float], budget: float | None) -> pd.DataFrame:
    """`rows` of all seeds, each with whether it is `chosen`; a chain of a seed's own for each seed.

    Args:
        rows: of `frontier_rows` with a column seed, in the order of `targets`.
        search, objective, budget: as in `choose_chain`.
        targets: accuracy in [0, 1] of each seed.

    Raises:
        MetannError: a seed in which nothing meets the objective.
    """
    rows = rows.assign(chosen=False)
    for seed, target in zip(rows["seed"].unique(), targets, strict=True):
        pick = choose_chain(rows[rows["seed"] == seed], search, objective, target, budget)
        if pick is None:
            asked = f"the target of {target:.4f}" if objective == "target_accuracy" else f"a budget of {budget} MACs"
            raise MetannError(f"no chain meets {asked} on validation in seed {seed}; ask for less, or add networks to the configuration")
        rows.loc[pick.name, "chosen"] = True
    return rows


def settings_of(rows: pd.DataFrame, confidence: float, fitted: Fitted) -> pd.DataFrame:
    """Every chain of the frontier in the table in which families meet, see `metann.report.overview`; `fitted` as in `choice.settings`."""
    texts = rows["thresholds"].map(lambda text: ", ".join(f"{float(t):.6g}" for t in text.split(", ") if t))
    setting = rows["chain"] + ", " + rows["score"] + rows["answer"].map(lambda answer: f", {way(answer)}")
    setting = setting.where(texts == "", setting + ", thresholds " + texts).where(rows["networks"] > 1, rows["chain"] + " alone")
    rows = rows.assign(setting=setting).sort_values("chosen", ascending=False, kind="stable").drop_duplicates(["seed", "setting"])
    rows = rows.sort_index()
    cascades = [cascade_of(row) for row in rows.itertuples()]
    load = [
        rule_of(seed, how["networks"], how["thresholds"], how["score"], how["answer"], fitted)
        if len(how["networks"]) > 1
        else json.dumps({"family": "network", "network": how["networks"][0]})
        for seed, how in zip(rows["seed"], cascades, strict=True)
    ]
    parts = []
    for split, prefix in (("val", "val_"), ("test", "")):
        n, correct = rows[f"{prefix}n"].to_numpy(), rows[f"{prefix}correct"].to_numpy()
        low, high = wilson_interval(correct, n, confidence)
        columns = {"family": "cascade", "setting": rows["setting"], "role": "setting", "seed": rows["seed"], "split": split, "n": n}
        columns |= {"correct": correct, "accuracy": correct / n, "low": low, "high": high, "macs": rows[f"{prefix}macs"].astype(np.float64)}
        parts.append(pd.DataFrame(columns | {"chosen": rows["chosen"].astype(bool), "load": load}))
    return pd.concat(parts, ignore_index=True)


def how_searched(networks: int, max_length: int) -> str:
    """'every ordered chain of 8 networks, of 5 at most'; where they are too many for that it says so."""
    if networks <= MOST_EXACT:
        return f"every ordered chain of {networks} networks, of {max_length} at most"
    return (
        f"a beam over the ordered chains of {networks} networks, of {max_length} at most (above {MOST_EXACT} not every chain is walked, so"
        " that a better one may have been missed)"
    )
