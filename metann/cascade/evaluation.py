"""Pairs of networks judged on tables: thresholds from validation images, what they are worth on test images.

Shapes: N images (validation and test together), K classes. No network runs here. Rows are plain dicts, ready for a frame.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metann.cascade.chain import search_chain
from metann.cascade.complementarity import FORMS
from metann.cascade.held_out import HeldOut
from metann.cascade.rule import Decisions, decide
from metann.cascade.search import UnreachableError, choose, search_threshold, sweep_thresholds
from metann.statistics.intervals import wilson_interval
from metann.statistics.paired import compare_paired


def single_rows(held: HeldOut) -> list[dict[str, Any]]:
    """Every network alone: accuracy on validation and test with Wilson interval, and MACs."""
    rows = []
    for network in held.networks:
        val_N, test_N = held.right(network.name)[held.val_N], held.right(network.name)[~held.val_N]
        low, high = wilson_interval(test_N.sum(), len(test_N), held.confidence)
        rows.append(
            {"network": network.name, "macs": network.macs, "val_n": len(val_N), "val_accuracy": val_N.mean()}
            | {"n": len(test_N), "correct": int(test_N.sum()), "accuracy": test_N.mean(), "low": low, "high": high}
        )
    return rows


def complementarity_rows(held: HeldOut) -> list[dict[str, Any]]:
    """Both forms for every ordered pair, on validation images and on all held-out images."""
    rows = []
    names = [network.name for network in held.networks]
    right_MN = np.stack([held.right(name) for name in names])
    for images, mask_N in (("val", held.val_N), ("val+test", np.ones_like(held.val_N))):
        for form, matrix in FORMS.items():
            value_MM = matrix(right_MN[:, mask_N])
            rows += [
                {"first": a, "second": b, "form": form, "images": images, "value": value_MM[i, j]}
                for i, a in enumerate(names)
                for j, b in enumerate(names)
            ]
    return rows


def judged(held: HeldOut, decisions: Decisions, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, use and cost on both splits; the test images against the cascade's better network and the best of all."""
    right_N = decisions.prediction_N == held.labels_N
    val_N, test_N = held.val_N, ~held.val_N
    later_macs = np.cumsum([held.named(name).macs for name in names])
    macs_N = later_macs[decisions.asked_N - 1]
    better = held.better_of(names)
    compared = compare_paired(held.right(better)[test_N], right_N[test_N], held.confidence)
    best = held.better_of(network.name for network in held.networks)
    against_best = compare_paired(held.right(best)[test_N], right_N[test_N], held.confidence)
    low, high = wilson_interval(right_N[test_N].sum(), compared.n, held.confidence)
    sent_N = decisions.asked_N > 1
    return {
        "val_n": int(val_N.sum()),
        "val_correct": int(right_N[val_N].sum()),
        "val_sent": int(sent_N[val_N].sum()),
        "val_accuracy": right_N[val_N].mean(),
        "val_use": sent_N[val_N].mean(),
        "val_macs": macs_N[val_N].mean(),
        "n": compared.n,
        "correct": int(right_N[test_N].sum()),
        "sent": int(sent_N[test_N].sum()),
        "accuracy": right_N[test_N].mean(),
        "accuracy_low": low,
        "accuracy_high": high,
        "use": sent_N[test_N].mean(),
        "macs": macs_N[test_N].mean(),
        "better": better,
        "better_accuracy": held.right(better)[test_N].mean(),
        "better_macs": held.named(better).macs,
        "fixed": compared.fixed,
        "broken": compared.broken,
        "gain": compared.gain,
        "gain_low": compared.low,
        "gain_high": compared.high,
        "mcnemar_p": compared.p,
        "best": best,
        "best_accuracy": held.right(best)[test_N].mean(),
        "best_macs": held.named(best).macs,
        "best_fixed": against_best.fixed,
        "best_broken": against_best.broken,
        "best_gain": against_best.gain,
        "best_gain_low": against_best.low,
        "best_gain_high": against_best.high,
        "best_p": against_best.p,
    }


def named(answer: str) -> dict[str, Any]:
    """The columns of an answer; the first is older than the second."""
    return {"postcheck": answer == "more_confident", "answer": answer}


def pair_rows(
    held: HeldOut, pair: tuple[str, str], scores: Sequence[str], answers: Sequence[str], grid: int, target: float, budget: float | None
) -> list[dict[str, Any]]:
    """A pair at the threshold that validation chooses, for every score, answer, search and objective; and the oracle.

    Args:
        held: the images.
        pair: names of the first and the second network.
        scores, answers: which to try.
        grid: points of the published grid, searched beside all distinct scores.
        target: accuracy that objective 'target_accuracy' asks for on validation.
        budget: multiply-accumulates per image of objective 'budget'; None leaves it out, as unknown MACs do.

    Returns:
        Rows of first, second, score, postcheck, answer, search, objective, threshold, grid_index and the columns of both splits; an
        objective that no threshold reaches has no row. The oracle's row has the objective 'bound'.
    """
    a, b = held.named(pair[0]), held.named(pair[1])
    both, val_N = [a.p_NK, b.p_NK], held.val_N
    labels_N = held.labels_N
    macs = (a.macs, b.macs) if np.isfinite([a.macs, b.macs]).all() else None
    objectives = ["accuracy", "target_accuracy", *(["budget"] if budget and macs else [])]
    rows = []
    for score in scores:
        for answer in answers:
            for search, points in (("exact", None), ("grid", grid)):
                sweep = sweep_thresholds(a.p_NK[val_N], b.p_NK[val_N], labels_N[val_N], score, grid=points, answer=answer)
                for objective in objectives:
                    try:
                        found = choose(sweep, objective, target=target, macs=macs, budget=budget)
                    except UnreachableError:
                        continue
                    how = {"first": a.name, "second": b.name, "score": score} | named(answer) | {"search": search}
                    index = np.nan if found.grid_index is None else float(found.grid_index)
                    how |= {"objective": objective, "threshold": found.threshold, "grid_index": index}
                    rows.append(how | judged(held, decide(both, [found.threshold], score, answer=answer), pair))
    how = {"first": a.name, "second": b.name, "score": "oracle"} | named("second") | {"search": "exact", "objective": "bound"}
    rows.append(how | {"threshold": 1.0, "grid_index": np.nan} | judged(held, decide(both, [1.0], "oracle", False, labels_N), pair))
    return rows


def in_sample_rows(held: HeldOut, pair: tuple[str, str], scores: Sequence[str], answers: Sequence[str], grid: int) -> list[dict[str, Any]]:
    """A pair searched and judged on the same images, all that are held out: what published tables show, and too good to be true."""
    a, b = held.named(pair[0]).p_NK, held.named(pair[1]).p_NK
    rows = []
    for score in (*scores, "oracle"):
        for answer in answers if score != "oracle" else ("second",):
            for search, points in (("exact", None), ("grid", grid)):
                found = search_threshold(a, b, held.labels_N, score, grid=points, answer=answer)
                index = np.nan if found.grid_index is None else float(found.grid_index)
                how = {"first": pair[0], "second": pair[1], "score": score} | named(answer) | {"search": search}
                how |= {"threshold": found.threshold, "grid_index": index, "n": found.n}
                rows.append(how | {"correct": found.correct, "sent": found.sent, "accuracy": found.accuracy, "use": found.use})
    return rows


def curve_rows(
    held: HeldOut, pair: tuple[str, str], scores: Sequence[str], answers: Sequence[str], points: int = 201
) -> dict[str, np.ndarray]:
    """Test accuracy, use and MACs of a pair over a uniform grid of thresholds, as columns."""
    a, b = held.named(pair[0]), held.named(pair[1])
    test_N = ~held.val_N
    parts: list[dict[str, np.ndarray]] = []
    for score in scores:
        for answer in answers:
            sweep = sweep_thresholds(a.p_NK[test_N], b.p_NK[test_N], held.labels_N[test_N], score, grid=points, answer=answer)
            use_T = sweep.sent_T / sweep.n
            part = {"threshold": sweep.threshold_T, "accuracy": sweep.correct_T / sweep.n, "use": use_T, "macs": a.macs + b.macs * use_T}
            how = {"first": a.name, "second": b.name, "score": score} | named(answer)
            parts.append({name: np.full(points, value) for name, value in how.items()} | part)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chain_row(held: HeldOut, names: Sequence[str], thresholds: Sequence[float], score: str, answer: str) -> dict[str, Any]:
    """A cascade of several networks; empty thresholds are searched on validation."""
    tables = [held.named(name).p_NK for name in names]
    if not thresholds:
        thresholds = search_chain([p_NK[held.val_N] for p_NK in tables], held.labels_N[held.val_N], score, answer=answer)
    decisions = decide(tables, thresholds, score, answer=answer)
    calls = np.mean(decisions.asked_N[~held.val_N][:, None] > np.arange(len(names)), axis=0)
    how = {"chain": " > ".join(names), "score": score} | named(answer) | {"thresholds": ", ".join(f"{t:.6g}" for t in thresholds)}
    return how | {"use_by_stage": ", ".join(f"{share:.4f}" for share in calls)} | judged(held, decisions, names)
