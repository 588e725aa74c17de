"""What the tables of one generator say: every arm on every held-out task, reliance on z, the map of z, the ten-class classifier.

No network runs here, and no torch. Frames in, frames out; columns of the input as `metann.hypernetwork` describes them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from metann.hypernetwork.measures import balanced_accuracy, principal_axes
from metann.statistics.intervals import wilson_interval
from metann.tables.samples import Probabilities

METHOD = "z_adapt"
MEASURES = ("accuracy", "balanced_accuracy", "cross_entropy", "auc", "steps_to_95")


def with_units(tasks: pd.DataFrame) -> pd.DataFrame:
    """Tasks with a column `unit`: the pair of classes, whatever its orientation.

    A task and its mirror are judged on the same images, and so are one unit and not two where intervals are made.
    """
    low, high = np.minimum(tasks["negative"], tasks["positive"]), np.maximum(tasks["negative"], tasks["positive"])
    return tasks.assign(unit=[f"{a}/{b}" for a, b in zip(low, high, strict=True)])


def arm_rows(adapt: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Every arm, number of shots and held-out task: means over the draws of support images.

    Returns:
        arm, shots, task, unit, draws, n (test images), the `MEASURES`, trained_numbers, steps, learning_rate and frozen (the
        generator stayed as it was).
    """
    counts = (adapt[name].to_numpy() for name in ("correct", "n", "correct_positive", "n_positive"))
    rows = adapt.assign(accuracy=adapt["correct"] / adapt["n"], balanced_accuracy=balanced_accuracy(*counts))
    groups = rows.groupby(["arm", "shots", "task"], sort=False)
    means = groups[[*MEASURES, "learning_rate"]].mean()
    firsts = groups[["n", "trained_numbers", "steps", "frozen"]].first()
    found = means.join(firsts).assign(draws=groups.size()).reset_index()
    units = with_units(tasks).set_index("task")["unit"]
    return found.assign(unit=found["task"].map(units))[
        ["arm", "shots", "task", "unit", "draws", "n", *MEASURES, "trained_numbers", "steps", "learning_rate", "frozen"]
    ]


def curve_rows(curves: pd.DataFrame) -> pd.DataFrame:
    """Loss and accuracy of every arm over its steps, means over tasks and draws."""
    values = ["support_loss", "test_loss", "test_accuracy"]
    return curves.groupby(["arm", "shots", "step"], sort=True)[values].mean().reset_index()


def reliance_rows(reliance: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on every trained task with the z of every trained task, on validation and on test images."""
    return reliance.assign(accuracy=reliance["correct"] / reliance["n"]).sort_values(["split", "task_i", "z_j"], ignore_index=True)


def accuracy_matrix(reliance: pd.DataFrame, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(T,) tasks and (T, T) accuracies of one split: row task, column z; NaN where a pair is missing."""
    grid = reliance[reliance["split"] == split].pivot(index="task_i", columns="z_j", values="accuracy")
    tasks_T = np.union1d(grid.index, grid.columns)
    return tasks_T, grid.reindex(index=tasks_T, columns=tasks_T).to_numpy()


def code_rows(codes: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Where the z of every trained task lies on the two axes in which they differ most, and the axes' shares of the variance."""
    columns = sorted((name for name in codes.columns if name.startswith("z_")), key=lambda name: int(name[2:]))
    place, share = principal_axes(codes[columns].to_numpy())
    found = pd.DataFrame({"task": codes["task"], "x": place[:, 0], "y": place[:, 1]})
    found = found.merge(tasks[["task", "negative_name", "positive_name", "flipped", "mirror"]], on="task", how="left")
    return found.assign(share_x=share[0], share_y=share[1], z_size=len(columns))


def interpolation_rows(interpolation: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on a task while z moves from its own (position 0) to its mirror's (1)."""
    return interpolation.assign(accuracy=interpolation["correct"] / interpolation["n"])


def multiclass_rows(table: Probabilities | None, confidence: float) -> pd.DataFrame:
    """The classifier for all classes, one generated network for each: right answers by split with Wilson's interval, and its cost."""
    columns = ("split", "n", "correct", "accuracy", "low", "high", "macs", "parameters", "classes")
    rows = []
    for split in () if table is None else ("val", "test"):
        part = table.select(split)
        if len(part):
            correct = int((part.p_NK.argmax(axis=1) == part.label).sum())
            low, high = wilson_interval(correct, len(part), confidence)
            cost = [_number(table.metadata, key) for key in ("macs", "parameters")]
            rows.append((split, len(part), correct, correct / len(part), low, high, *cost, part.p_NK.shape[1]))
    types = {"n": "int64", "correct": "int64", "accuracy": "float64", "low": "float64", "high": "float64", "macs": "float64"}
    return pd.DataFrame(rows, columns=list(columns)).astype(types | {"parameters": "float64", "classes": "int64"})


def _number(metadata: Mapping[str, Any], key: str) -> float:
    value = metadata.get(key)
    return float("nan") if value is None else float(value)
