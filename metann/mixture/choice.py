"""Which setting to use: validation chooses, test reports. All runs of a setting count, never the best of them.

Frames have one row per run and split, columns as `metann.mixture.evaluation.run_rows` writes them. A setting of one expert is no
mixture but a control, and one whose gate looks at the true class is a bound: neither can be chosen.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from metann.errors import MetannError
from metann.statistics.verdict import Verdict, verdict_of_counts

Right = Mapping[tuple[str, int, str], np.ndarray]
"""(setting or control, seed, split) -> (N,) bool, whether each image is right; the same images in the same order for all."""

QUANTITIES = (
    "error",
    "loss",
    "mutual_information",
    "mutual_information_predicted",
    "conditional_entropy",
    "sample_entropy",
    "usage_entropy",
    "usage_cv",
    "decomposition",
    "reach",
    "macs",
    "parameters",
)
_MEETING = ("setting", "seed", "split", "n", "correct", "accuracy", "low", "high", "macs")
ROLES = {
    "lowest_error": "the lowest error",
    "cheapest_equal": "the cheapest that validation cannot tell from it",
    "cleanest": "the cleanest decomposition",
}


def settings_of(runs: pd.DataFrame) -> list[str]:
    """Settings that can be used: of more than one expert, by a gate that needs no label; in the order of the table.

    Raises:
        MetannError: none.
    """
    found = list(dict.fromkeys(runs.loc[(runs["experts"] > 1) & ~runs["uses_labels"].astype(bool), "setting"]))
    if not found:
        raise MetannError("no setting has more than one expert and a gate that needs no label; add one to mixture.settings")
    return found


def seed_values(frame: pd.DataFrame, name: str, split: str, quantity: str, by: str = "setting") -> np.ndarray:
    """(S,) a quantity of one setting or control, one value for each seed in rising order."""
    mine = frame[(frame[by] == name) & (frame["split"] == split)].sort_values("seed")
    return mine[quantity].to_numpy(np.float64)


def compare_accuracy(right: Right, first: str, second: str, seeds: list[int], split: str, confidence: float) -> Verdict:
    """Whether the second is right more often than the first, seed by seed on the same images."""
    pairs = [(right[first, seed, split], right[second, seed, split]) for seed in seeds]
    fixed = [int(np.count_nonzero(~a_N & b_N)) for a_N, b_N in pairs]
    broken = [int(np.count_nonzero(a_N & ~b_N)) for a_N, b_N in pairs]
    return verdict_of_counts([len(a_N) for a_N, _ in pairs], fixed, broken, confidence)


def choose(runs: pd.DataFrame, right: Right, confidence: float = 0.95) -> pd.DataFrame:
    """The settings that validation chooses, one row per role of `ROLES`.

    Lowest error: the most images right, the mean over seeds; of equals the cheapest. Cheapest equal: the least multiply-accumulates among
    the settings that validation does not show to be worse than it. Cleanest: the largest mean share of the most that I(E;Y) can be; of
    equals the smallest H(E|Y). A collapsed gate has H(E|Y) = 0 too, so that alone cannot choose.

    Returns:
        role, setting, and the means over seeds on validation of accuracy, macs, decomposition and conditional_entropy.
    """
    seeds, names = sorted(int(seed) for seed in runs["seed"].unique()), settings_of(runs)
    columns = ["accuracy", "macs", "decomposition", "conditional_entropy"]
    val = runs[runs["split"] == "val"].groupby("setting")[columns].mean().loc[names]
    best = val.sort_values(["accuracy", "macs"], ascending=[False, True], kind="stable").index[0]
    equal = [name for name in names if name == best or compare_accuracy(right, best, name, seeds, "val", confidence).word != "loss"]
    cheapest = val.loc[equal].sort_values(["macs", "accuracy"], ascending=[True, False], kind="stable").index[0]
    if val.loc[best, "macs"] <= val.loc[cheapest, "macs"]:
        cheapest = best
    cleanest = val.sort_values(["decomposition", "conditional_entropy"], ascending=[False, True], kind="stable").index[0]
    chosen = {"lowest_error": best, "cheapest_equal": cheapest, "cleanest": cleanest}
    rows = [{"role": role, "setting": name} | {f"val_{key}": float(val.loc[name, key]) for key in columns} for role, name in chosen.items()]
    return pd.DataFrame(rows)


def indistinguishable(right: Right, best: str, names: list[str], seeds: list[int], split: str, confidence: float) -> list[str]:
    """The other settings whose accuracy cannot be told from that of the best."""
    return [name for name in names if name != best and compare_accuracy(right, best, name, seeds, split, confidence).word == "no evidence"]


def check_runs(runs: pd.DataFrame) -> list[int]:
    """The seeds, every setting run once with each of them and with images to choose and to report on.

    Raises:
        MetannError: a run that is there twice, or is missing, or has no validation or no test images.
    """
    seeds: list[int] = sorted(int(seed) for seed in runs["seed"].unique())
    for split in ("val", "test"):
        counts: dict[Any, int] = runs[runs["split"] == split].groupby(["setting", "seed"]).size().to_dict()
        for setting in dict.fromkeys(runs["setting"]):
            for seed in seeds:
                found = counts.get((setting, seed), 0)
                if found != 1:
                    what = f"no {split} images" if not found else f"{found} evaluations of {split} images"
                    raise MetannError(f"setting {setting!r}, seed {seed}: {what}; give every setting with every seed once")
    return seeds


def settings(runs: pd.DataFrame, controls: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Every run and control as rows (validation and test) of the table in which families meet, see `metann.report.overview`.

    Dense networks are controls, a gate that looks at labels is a bound. Chosen is the method of the lowest error.
    """
    mine, beside = runs[runs["split"] != "train"], controls[controls["split"] != "train"]
    usable, best = settings_of(runs), chosen.loc[chosen["role"] == "lowest_error", "setting"].iloc[0]
    named = [mine, beside.rename(columns={"control": "setting"})] if len(beside) else [mine]
    frame = pd.concat([part[list(_MEETING)] for part in named], ignore_index=True)
    dense = {*runs.loc[runs["experts"] == 1, "setting"], *beside["control"]}
    roles = np.where(frame["setting"].isin(usable), "setting", np.where(frame["setting"].isin(dense), "control", "bound"))
    trained = {name: json.dumps({"setting": name}) for name in runs.loc[~runs["uses_labels"].astype(bool), "setting"]}
    load = frame["setting"].map(lambda name: trained.get(name, ""))
    return frame.assign(family="mixture", role=roles, chosen=frame["setting"] == best, load=load)
