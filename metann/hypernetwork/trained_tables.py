"""Sections of the page on hypernetworks about the training tasks: reliance on z, the way to the mirror, what z changes in each layer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from metann.hypernetwork.choice import WHERE, reliance_interval
from metann.hypernetwork.summary_tables import Places, at
from metann.report.text import markdown_table, percent


def reliance_table(tables: Mapping[str, pd.DataFrame], places: Places, confidence: float) -> str:
    """How much the answers depend on z, on tasks that were trained."""
    rows = []
    for place in places:
        reliance, tasks = at(tables["reliance"], place), at(tables["tasks"], place)
        found = reliance_interval(reliance, tasks, confidence)
        test = reliance[reliance["split"] == "test"]
        own = test["task_i"] == test["z_j"]
        mirror = test["z_j"] == test["task_i"].map(tasks.drop_duplicates("task").set_index("task")["mirror"])
        ends = f" ({found.low:.3f} to {found.high:.3f})" if np.isfinite(found.low) else ""
        cells = [f"{found.mean:.3f}{ends}", percent(test.loc[own, "accuracy"].mean())]
        cells += [percent(test.loc[~own & ~mirror, "accuracy"].mean()) if (~own & ~mirror).any() else ""]
        rows.append([f"{place[0]}, `{place[1]}`", *cells, percent(test.loc[mirror, "accuracy"].mean()) if mirror.any() else ""])
    header = ["", "reliance R", "accuracy by the task's own z", "by another task's z", "by its mirror's z"]
    note = (
        "Test images of trained tasks. R is the mean accuracy by a task's own z minus that by all others: near 0 one network does for all."
    )
    return f"## Reliance on z\n\n{note}\n\n{markdown_table(header, rows)}"


def interpolation_text(interpolation: pd.DataFrame) -> str:
    """Where the accuracy crosses a half on the way from a task's z to its mirror's."""
    lines = []
    for (experiment, generator), group in interpolation.groupby(WHERE, sort=False):
        mean = group.groupby("position")["accuracy"].mean()
        ways = group.sort_values("position").groupby(["seed", "task"])["accuracy"]
        crossing = (ways.first() > 0.5) & (ways.last() < 0.5)
        place = crossing_point(mean.index.to_numpy(), mean.to_numpy())
        where = f"crosses 50 % at {place:.2f} of the way" if np.isfinite(place) else "does not cross 50 %"
        lines.append(
            f"{experiment}, `{generator}`: while z moves from a task to its mirror, mean accuracy goes from {percent(mean.iloc[0])} to"
            f" {percent(mean.iloc[-1])} and {where}; {crossing.sum()} of {len(crossing)} ways cross it."
        )
    return "\n\n" + "\n\n".join(lines) if lines else ""


def crossing_point(position_S: np.ndarray, accuracy_S: np.ndarray, level: float = 0.5) -> float:
    """The first position at which a line through the points falls below the level; NaN where it never does."""
    for a, b, here, there in zip(position_S, position_S[1:], accuracy_S, accuracy_S[1:], strict=False):
        if here >= level > there:
            return float(a + (b - a) * (here - level) / (here - there))
    return float("nan")


def layers_table(layers: pd.DataFrame, places: Places) -> str:
    """What z changes in every layer."""
    parts = []
    for place in places:
        mean = at(layers, place).groupby("layer", sort=False)[["numbers", "variance_share", "effective_rank", "saturation"]].mean()
        rows = [
            [f"`{name}`", f"{row.numbers:,.0f}", f"{row.variance_share:.3f}", f"{row.effective_rank:.2f}", percent(row.saturation)]
            for name, row in mean.iterrows()
        ]
        header = ["layer", "numbers", "variance share V", "effective rank", "saturated"]
        parts.append(f"{place[0]}, generator `{place[1]}`:\n\n{markdown_table(header, rows)}")
    note = "Over the trained tasks: V is 0 where every z writes the same, 1 where nothing is shared; saturated: beyond 99 % of the bound."
    return f"## What z changes in the network\n\n{note}\n\n" + "\n\n".join(parts)
