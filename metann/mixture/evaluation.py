"""What one mixture is worth, and what its experts have become: arithmetic on its table of answers. Rows are plain dicts.

Shapes: N images of a split, E experts, K classes. No network runs here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from metann.mixture.attribution import attribute, within_reach
from metann.mixture.metrics import LEAST_SHARE, has_collapsed, most_information, specialisation
from metann.registry import literal
from metann.statistics.intervals import wilson_interval
from metann.tables.samples import Gate

MIXTURE = -1
"""Stands for the mixture where rows name an expert."""


def _facts(gate: Gate) -> dict[str, Any]:
    return {"setting": gate.metadata["setting"], "seed": int(gate.metadata["seed"])}


def run_rows(gate: Gate, confidence: float = 0.95) -> list[dict[str, Any]]:
    """One row for each split that has images.

    Returns:
        setting, seed, split, preset, experts, uses_labels, parameters, n, correct, accuracy with its Wilson interval (low, high), error,
        loss (mean negative log likelihood, nats); the measures of `Specialisation`; most_information and decomposition, the share of it
        that I(E;Y) reaches (NaN for one expert); least_share, the smallest share of images that an expert answers, silent, the number of
        experts below one in a hundred, and collapsed; macs, the mean per image; reach, the share of images that some expert alone gets
        right, and lost, the wrong answers among them. Where class sets were given beforehand the counts of `Attribution`, else NaN.
    """
    rows = []
    for split in ("train", "val", "test"):
        part = gate.select(split)
        if not len(part):
            continue
        labels_N, prediction_N, n = part.label.astype(np.int64), part.prediction, len(part)
        right = int((prediction_N == labels_N).sum())
        low, high = wilson_interval(right, n, confidence)
        measures = specialisation(part.gate_NE, labels_N, prediction_N)
        most = most_information(part.experts, labels_N)
        share_E = np.bincount(part.expert, minlength=part.experts) / n
        reach, lost = within_reach(labels_N, prediction_N, part.answer_NE)
        likelihood_N = np.maximum(part.p_NK[np.arange(n), labels_N].astype(np.float64), np.finfo(np.float32).tiny)
        rows.append(
            _facts(gate)
            | {"split": split, "preset": str(gate.metadata.get("preset")), "experts": part.experts, "uses_labels": uses_labels(gate)}
            | {"parameters": float(gate.metadata.get("parameters") or np.nan), "n": n, "correct": right, "accuracy": right / n}
            | {"low": float(low), "high": float(high), "error": 1 - right / n, "loss": float(-np.log(likelihood_N).mean())}
            | asdict(measures)
            | {"most_information": most, "decomposition": measures.mutual_information / most if most > 0 else float("nan")}
            | {"least_share": float(share_E.min()), "silent": int((share_E < LEAST_SHARE).sum())}
            | {"collapsed": has_collapsed(measures.usage_entropy, share_E), "macs": float(part.macs.mean())}
            | {"reach": reach / n, "lost": lost}
            | _attributed(part, labels_N, prediction_N)
        )
    return rows


def uses_labels(gate: Gate) -> bool:
    """Whether the gate that answered looks at the true class, and so at nothing that a new image has."""
    kind = (gate.metadata.get("options") or {}).get("gate", {}).get("kind")
    return kind in (literal("mixture/gates.py", "WITH_LABELS") or ())


def _attributed(part: Gate, labels_N: np.ndarray, prediction_N: np.ndarray) -> dict[str, float]:
    sets = part.metadata.get("class_sets")
    if not sets:
        return dict.fromkeys(("expert_errors", "gate_errors", "misrouted", "misrouted_wrong", "owner_right"), float("nan"))
    counts = asdict(attribute(sets, labels_N, prediction_N, part.expert, part.answer_NE))
    return {name: float(count) for name, count in counts.items()}


def expert_rows(gate: Gate, split: str = "test") -> list[dict[str, Any]]:
    """What each expert gets of each class: images that it answers (hard) and the sum of its gate values (soft), of so many there are;
    right: of the images that it answers, those that the mixture gets right; own_right: of all images of the class, those that the expert
    alone gets right."""
    part = gate.select(split)
    labels_N, right_N = part.label.astype(np.int64), part.prediction == part.label
    classes = part.p_NK.shape[1]
    there_K = np.bincount(labels_N, minlength=classes)
    rows = []
    for e in range(part.experts):
        mine_N = part.expert == e
        hard_K = np.bincount(labels_N[mine_N], minlength=classes)
        soft_K = np.bincount(labels_N, weights=part.gate_NE[:, e].astype(np.float64), minlength=classes)
        right_K = np.bincount(labels_N[mine_N & right_N], minlength=classes)
        own_K = np.bincount(labels_N[part.answer_NE[:, e] == labels_N], minlength=classes)
        columns = zip(there_K, hard_K, soft_K, right_K, own_K, strict=True)
        rows += [
            _facts(gate)
            | {"split": split, "expert": e, "class": k, "images": int(there), "hard": int(hard), "soft": float(soft)}
            | {"right": int(right), "own_right": int(own)}
            for k, (there, hard, soft, right, own) in enumerate(columns)
        ]
    return rows


def confusion_rows(gate: Gate, split: str = "test") -> list[dict[str, Any]]:
    """True against predicted class of the mixture (expert -1) and of every expert alone over all images; only pairs that occur."""
    part = gate.select(split)
    classes = part.p_NK.shape[1]
    labels_N = part.label.astype(np.int64)
    rows = []
    for e, says_N in [(MIXTURE, part.prediction), *enumerate(part.answer_NE.T)]:
        pairs, counts = np.unique(labels_N * classes + says_N, return_counts=True)
        rows += [
            _facts(gate)
            | {"split": split, "expert": e, "class": int(pair // classes), "predicted": int(pair % classes), "images": int(count)}
            for pair, count in zip(pairs, counts, strict=True)
        ]
    return rows


def alarm(row: dict[str, Any]) -> str:
    """One line for a run that has collapsed, or nothing."""
    if not row["collapsed"]:
        return ""
    return (
        f"COLLAPSED: {row['setting']}, seed {row['seed']}, {row['split']}: usage entropy {row['usage_entropy']:.3f} bit, "
        f"{row['silent']} of {row['experts']} experts answer under {100 * LEAST_SHARE:g} % of the images"
    )


def as_columns(rows: Sequence[Mapping[str, Any]], names: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Rows as columns; `names` are those of a table without rows."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else names)}
