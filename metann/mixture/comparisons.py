"""Everything that is compared: means over seeds, the choice, chosen settings against controls, and what one change does."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from metann.mixture.choice import QUANTITIES, Right, choose, compare_accuracy, indistinguishable, seed_values, settings_of
from metann.mixture.contrasts import Contrast, contrasts
from metann.mixture.controls import control_roles
from metann.statistics.intervals import t_interval
from metann.statistics.verdict import Verdict, verdict_over_seeds

Options = Mapping[str, Mapping[str, Any]]
_OF_CONTROLS = ("error", "loss", "macs", "parameters")
_SAID = ("word", "gain", "low", "high", "p", "seeds")
_OF_CONTRASTS = ("mutual_information", "conditional_entropy")


def seeds_of(runs: pd.DataFrame) -> list[int]:
    """The seeds, rising."""
    return sorted(int(seed) for seed in runs["seed"].unique())


def methods_frame(runs: pd.DataFrame, controls: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean over seeds and Student's t interval of every quantity, on validation and on test.

    Returns:
        method, role ('mixture', 'bound' or a key of `CONTROLS`), split, quantity, seeds, mean, low, high.
    """
    usable, rows = settings_of(runs), []
    roles = dict.fromkeys(runs["setting"], "bound") | dict.fromkeys(usable, "mixture") | control_roles(runs, controls)
    for frame, by, quantities in ((runs, "setting", QUANTITIES), (controls, "control", _OF_CONTROLS)):
        for name in dict.fromkeys(frame[by]):
            for split in ("val", "test"):
                for quantity in quantities:
                    values = seed_values(frame, name, split, quantity, by)
                    mean, low, high = t_interval(values, confidence) if np.isfinite(values).all() else (float("nan"),) * 3
                    row = {"method": name, "role": roles[name], "split": split, "quantity": quantity}
                    rows.append(row | {"seeds": len(values), "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def choice_frame(runs: pd.DataFrame, right: Right, confidence: float) -> pd.DataFrame:
    """`choose`, with what test says of each chosen setting (means over seeds), and `equal`: the settings that test cannot tell from it."""
    rows = []
    for row in choose(runs, right, confidence).to_dict("records"):
        tested = {quantity: float(seed_values(runs, row["setting"], "test", quantity).mean()) for quantity in QUANTITIES}
        others = indistinguishable(right, row["setting"], settings_of(runs), seeds_of(runs), "test", confidence)
        rows.append(row | tested | {"equal": ", ".join(others)})
    return pd.DataFrame(rows)


def comparisons_frame(
    runs: pd.DataFrame, controls: pd.DataFrame, right: Right, options: Options, chosen: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """Differences on test, second minus first, each judged over seeds.

    kind 'control': a chosen setting (second) against each control (first). kind 'choice': the same against every other setting. kind
    'contrast': all settings that differ in one group of options, also in I(E;Y) and H(E|Y).

    Returns:
        kind, role of the first, first, second, group, before, after, quantity, the fields of `Verdict` (without n; of accuracies in
        shares, else in bits) and its sentence, which is only for accuracies.
    """
    seeds, roles = seeds_of(runs), control_roles(runs, controls)
    rows: list[dict[str, Any]] = []

    def accuracy(first: str, second: str) -> Verdict:
        return compare_accuracy(right, first, second, seeds, "test", confidence)

    def add(kind: str, role: str, pair: Contrast, quantity: str, found: Verdict) -> None:
        said = {name: getattr(found, name) for name in _SAID}
        sentence = found.sentence if quantity == "accuracy" else ""
        rows.append({"kind": kind, "role": role} | asdict(pair) | {"quantity": quantity} | said | {"sentence": sentence})

    for setting in dict.fromkeys(chosen["setting"]):
        for first, role in (roles | {name: "mixture" for name in settings_of(runs) if name != setting}).items():
            kind = "choice" if role == "mixture" else "control"
            add(kind, role, Contrast(first, setting, "", "", ""), "accuracy", accuracy(first, setting))
    for pair in contrasts({name: options[name] for name in settings_of(runs)}):
        add("contrast", "mixture", pair, "accuracy", accuracy(pair.first, pair.second))
        for quantity in _OF_CONTRASTS:
            difference = seed_values(runs, pair.second, "test", quantity) - seed_values(runs, pair.first, "test", quantity)
            add("contrast", "mixture", pair, quantity, verdict_over_seeds(difference, confidence))
    columns = ["kind", "role", *Contrast.__dataclass_fields__, "quantity", *_SAID, "sentence"]
    return pd.DataFrame(rows, columns=columns)
