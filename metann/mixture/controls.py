"""What a mixture has to beat: dense networks, each with a role. A setting of one expert is one, and its name may be its role."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.errors import MetannError, unknown
from metann.mixture.choice import check_runs
from metann.mixture.inputs import Answers
from metann.statistics.intervals import wilson_interval

CONTROLS = {
    "one_expert": "one expert alone",
    "gate_alone": "the gate's network as a classifier",
    "same_parameters": "one dense network with the parameters of a mixture",
    "same_active_macs": "one dense network with the active multiply-accumulates of a mixture",
}
COLUMNS = ("control", "role", "seed", "split", "parameters", "n", "correct", "accuracy", "low", "high", "error", "loss", "macs")


def parse_roles(texts: Sequence[str]) -> dict[str, str]:
    """Network -> role, from texts `network:role`.

    Raises:
        MetannError: not of that form, or an unknown role.
    """
    found = {}
    for text in texts:
        name, _, role = text.rpartition(":")
        if not name or role not in CONTROLS:
            raise unknown("role of a control", text, (f"NETWORK:{known}" for known in CONTROLS))
        found[name] = role
    return found


def control_rows(answers: Answers, role: str, confidence: float = 0.95) -> list[dict[str, Any]]:
    """One row for each split that has images; columns `COLUMNS`."""
    rows = []
    for split in ("train", "val", "test"):
        mine_N = answers.split == split
        right_N = answers.right[mine_N]
        n, correct = len(right_N), int(right_N.sum())
        if not n:
            continue
        low, high = wilson_interval(correct, n, confidence)
        likelihood_N = np.maximum(answers.likelihood[mine_N], np.finfo(np.float32).tiny)
        values = (answers.name, role, answers.seed, split, float(answers.metadata.get("parameters") or np.nan), n, correct, correct / n)
        values += (float(low), float(high), 1 - correct / n, float(-np.log(likelihood_N).mean()), answers.macs)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def controls_frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a frame, which has its columns also where there is no control."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def control_roles(runs: pd.DataFrame, controls: pd.DataFrame) -> dict[str, str]:
    """Control -> role; a setting of one expert that is not called by a role is one expert alone."""
    dense = dict.fromkeys(runs.loc[runs["experts"] == 1, "setting"])
    own = {name: name if name in CONTROLS else "one_expert" for name in dense}
    return own | dict(zip(controls["control"], controls["role"], strict=True))


def check_all(runs: pd.DataFrame, controls: pd.DataFrame) -> list[int]:
    """The seeds; every setting and every control is there once with each.

    Raises:
        MetannError: as `check_runs`, a control without one of the seeds or twice, or a control named as a setting.
    """
    seeds = check_runs(runs)
    for name in dict.fromkeys(controls["control"]):
        if name in set(runs["setting"]):
            raise MetannError(f"control {name!r} has the name of a setting; rename one of them")
        mine = sorted(controls.loc[(controls["control"] == name) & (controls["split"] == "test"), "seed"].tolist())
        if mine != seeds:
            raise MetannError(f"control {name!r} is there for seeds {mine}, the mixtures for {seeds}; give both for the same seeds")
    return seeds
