"""The questions that hypernetworks have to answer, and what the tables say: yes, no, or open, each with its number and interval.

The rules: z matches the whole network where the interval of z_adapt - finetune_net lies above -2 points, and does not where it reaches
below that and lies below 0 (worse for sure, and not shown to be so by less); one arm beats another where the interval of their
difference lies above 0; training gave a general network where the reliance R is below 0.05; z carries the task
where the mean accuracy on a task and its mirror lies above a half, the most that any fixed network reaches.

What is said of new tasks follows the rule of evidence of all pages (`metann.statistics.verdict`): the interval has to leave the line out,
and a test without a normal distribution has to agree: sign flips of the pairs' means, which fewer than six pairs cannot pass at 0.95.
What is said of the trained tasks needs none: they are all there are, and a fixed network's half is a theorem.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from metann.hypernetwork.choice import MARGIN, WHERE, both_ways, reliance_interval, shots_of, trained_interval, unit_values
from metann.statistics.crossed import crossed_interval
from metann.statistics.intervals import Interval
from metann.statistics.permutation import sign_flip_p

GENERAL = 0.05  # reliance below which one network does for all tasks
NO_SHOTS = -1
RIVALS = ("zero_shot", "random_subspace", "z_adapt_random_generator")


def state(low: float, high: float, line: float, p: float = 0.0, confidence: float = 0.95) -> str:
    """'yes' above the line, 'no' below it, 'open' where the interval holds it or is unknown, or the test does not agree."""
    if not p <= 1 - confidence:
        return "open"
    return "yes" if low > line else "no" if high < line else "open"


def verdict_rows(tables: Mapping[str, pd.DataFrame], confidence: float) -> pd.DataFrame:
    """One row for each experiment, generator, question and number of shots (-1: the question is about the training alone).

    Args:
        tables: results, reliance, tasks and differences.
        confidence: of the intervals.

    Returns:
        experiment, generator, question, shots, state, value, low, high, line. A question whose arm was not run has no row.
    """
    rows = []
    for place, results in tables["results"].groupby(WHERE, sort=False):
        mine = {name: _at(tables[name], place) for name in ("reliance", "tasks", "differences")}
        found = [
            *_compared(mine["differences"], confidence),
            *_general(mine["reliance"], mine["tasks"], confidence),
            *_mirrored(results, mine["reliance"], mine["tasks"], confidence),
        ]
        rows += [dict(zip(WHERE, place, strict=True)) | row for row in found]
    return pd.DataFrame(rows, columns=[*WHERE, "question", "shots", "state", "value", "low", "high", "line"])


def _at(frame: pd.DataFrame, place: tuple[str, str]) -> pd.DataFrame:
    return frame[(frame["experiment"] == place[0]) & (frame["generator"] == place[1])]


def _row(question: str, shots: int, interval: Interval, line: float, p: float = 0.0, confidence: float = 0.95) -> dict[str, Any]:
    answer = state(interval.low, interval.high, line, p, confidence)
    return {"question": question, "shots": shots, "state": answer, "value": interval.mean, "low": interval.low, "high": interval.high} | {
        "line": line
    }


def _compared(differences: pd.DataFrame, confidence: float) -> list[dict[str, Any]]:
    rows = []
    right = differences[differences["measure"] == "accuracy"]
    for shots, group in right.groupby("shots"):
        against = {row.other: Interval(row.difference, row.low, row.high) for row in group.itertuples()}
        p = group.set_index("other")["p"]
        if "finetune_net" in against:
            found = against["finetune_net"]
            margin_p = group.set_index("other")["margin_p"]["finetune_net"]
            row = _row("whole_network", shots, found, -MARGIN, margin_p, confidence)
            worse = row["state"] == "open" and state(found.low, found.high, 0.0, p["finetune_net"], confidence) == "no"
            rows.append(row | {"state": "no" if worse else row["state"]})
        rows += [_row(other, shots, against[other], 0.0, p[other], confidence) for other in RIVALS if other in against]
        if all(other in against for other in RIVALS):
            # Above the largest of them: above each of them, so the nearest one decides, and no correction is needed.
            nearest = min(RIVALS, key=lambda other: _low(against[other]))
            rows.append(_row("helps", shots, against[nearest], 0.0, max(p[other] for other in RIVALS), confidence))
    return rows


def _low(interval: Interval) -> float:
    return interval.low if np.isfinite(interval.low) else -np.inf


def _general(reliance: pd.DataFrame, tasks: pd.DataFrame, confidence: float) -> list[dict[str, Any]]:
    interval = reliance_interval(reliance, tasks, confidence)
    row = _row("general_network", NO_SHOTS, interval, GENERAL)
    return [row | {"state": {"yes": "no", "no": "yes"}.get(row["state"], row["state"])}]  # general is what lies below


def _mirrored(results: pd.DataFrame, reliance: pd.DataFrame, tasks: pd.DataFrame, confidence: float) -> list[dict[str, Any]]:
    rows = []
    for shots in (None, *shots_of(results)):
        above = both_ways(results, reliance, tasks, shots)
        if len(above):
            values_US = unit_values(above, "above")
            if shots is None:
                rows.append(_row("mirror_trained", NO_SHOTS, trained_interval(values_US, confidence), 0.0))
            else:
                found = crossed_interval(values_US, confidence)
                rows.append(_row("mirror_new", shots, found, 0.0, sign_flip_p(values_US.mean(axis=1)), confidence))
    return rows
