"""Which generator answers for an experiment, and how much better or worse z alone does than every other arm.

Units are pairs of classes; U units, S seeds. Frames have the columns of `metann.hypernetwork.evaluation` with experiment, generator
and seed.
"""

import numpy as np
import pandas as pd

from metann.hypernetwork.evaluation import MEASURES, accuracy_matrix
from metann.hypernetwork.measures import task_reliance
from metann.statistics.crossed import crossed_interval
from metann.statistics.intervals import Interval
from metann.statistics.permutation import sign_flip_p

METHOD = "z_adapt"
WHERE = ["experiment", "generator"]


def generator_rows(reliance: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Every generator of every experiment, the one to report marked: the most accurate on validation images of trained tasks.

    Neither a held-out task nor a test image takes part; of equals the first by name.

    Returns:
        experiment, generator, seeds, val_accuracy (trained tasks by their own z), accuracy (the same on test images), held_out_accuracy
        (mean of z_adapt over held-out tasks and shots; NaN without) and chosen.
    """
    own = reliance[reliance["task_i"] == reliance["z_j"]]
    by_split = own.groupby([*WHERE, "split"])["accuracy"].mean().unstack("split").reindex(columns=["val", "test"])
    rows = by_split.rename(columns={"val": "val_accuracy", "test": "accuracy"}).reset_index().rename_axis(columns=None)
    seeds = results.groupby(WHERE)["seed"].nunique().rename("seeds")
    of_method = results[results["arm"] == METHOD].groupby(WHERE)["accuracy"].mean().rename("held_out_accuracy")
    rows = rows.join(seeds, on=WHERE).join(of_method, on=WHERE)
    order = rows.sort_values(["val_accuracy", "generator"], ascending=[False, True])
    best = order.drop_duplicates("experiment").index
    return rows.assign(chosen=rows.index.isin(best))


def values_US(rows: pd.DataFrame, column: str) -> np.ndarray:
    """(U, S) means over the tasks of each unit; rows of one arm, or of differences."""
    return rows.pivot_table(index="unit", columns="seed", values=column, aggfunc="mean").to_numpy()


def paired(results: pd.DataFrame, other: str, shots: int, measure: str) -> pd.DataFrame:
    """z_adapt minus another arm on the same tasks and seeds, rows of one experiment and generator.

    An arm that needs no images stands against every number of shots.

    Returns:
        task, seed, unit and difference; empty where one of the two was not run.
    """
    keys = ["task", "seed", "unit"]
    mine = results[(results["arm"] == METHOD) & (results["shots"] == shots)]
    theirs = results[results["arm"] == other]
    theirs = theirs[theirs["shots"] == (shots if (theirs["shots"] == shots).any() else 0)]
    both = mine[[*keys, measure]].merge(theirs[[*keys, measure]], on=keys, suffixes=("", "_other"))
    return both.assign(difference=both[measure] - both[f"{measure}_other"])[[*keys, "difference"]]


def difference_rows(results: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """z_adapt minus every other arm, for every experiment, generator, number of shots and measure.

    Returns:
        difference with low and high (over units and seeds), p (sign flips of the units' means), units, tasks and seeds. A difference of
        accuracies is a share: 0.01 is one point. Measures that are unknown for a task (an AUC of one class) have no row.
    """
    rows = []
    for (experiment, generator), group in results.groupby(WHERE, sort=False):
        others = [arm for arm in dict.fromkeys(group["arm"]) if arm != METHOD]
        for shots in shots_of(group):
            for other in others:
                for measure in MEASURES:
                    both = paired(group, other, shots, measure)
                    if both.empty or not np.isfinite(both["difference"]).all():
                        continue
                    values = values_US(both, "difference")
                    mean, low, high = crossed_interval(values, confidence)
                    row = {"experiment": experiment, "generator": generator, "shots": shots, "other": other, "measure": measure}
                    row |= {"difference": mean, "low": low, "high": high, "p": sign_flip_p(values.mean(axis=1))}
                    rows.append(row | {"units": values.shape[0], "tasks": both["task"].nunique(), "seeds": values.shape[1]})
    columns = ["experiment", "generator", "shots", "other", "measure", "difference", "low", "high", "p", "units", "tasks", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def shots_of(results: pd.DataFrame) -> list[int]:
    """Numbers of shots with which z was adapted."""
    return sorted(int(shots) for shots in results.loc[results["arm"] == METHOD, "shots"].unique())


def arm_means(results: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Every arm and number of shots: means over units and seeds; accuracy with its interval.

    Returns:
        experiment, generator, arm, shots, accuracy, low, high, the other measures, trained_numbers, steps, units and seeds.
    """
    rows = []
    others = [*MEASURES[1:], "trained_numbers", "steps", "learning_rate"]
    for (experiment, generator, arm, shots), group in results.groupby([*WHERE, "arm", "shots"], sort=False):
        values = values_US(group, "accuracy")
        mean, low, high = crossed_interval(values, confidence)
        row = {"experiment": experiment, "generator": generator, "arm": arm, "shots": int(shots), "accuracy": mean, "low": low, "high": high}
        rows.append(row | group[others].mean().to_dict() | {"units": values.shape[0], "seeds": values.shape[1]})
    return pd.DataFrame(rows)


def reliance_interval(reliance: pd.DataFrame, tasks: pd.DataFrame, confidence: float) -> Interval:
    """R on test images over units and seeds; rows of one experiment and generator."""
    units = tasks.drop_duplicates("task").set_index("task")["unit"]
    parts = []
    for seed, of_seed in reliance.groupby("seed"):
        tasks_T, accuracy_TT = accuracy_matrix(of_seed, "test")
        parts.append(pd.DataFrame({"seed": seed, "unit": units.loc[tasks_T].to_numpy(), "r": task_reliance(accuracy_TT)}))
    return crossed_interval(values_US(pd.concat(parts), "r"), confidence)


def both_ways(results: pd.DataFrame, reliance: pd.DataFrame, tasks: pd.DataFrame, shots: int | None) -> pd.DataFrame:
    """Accuracy on a task and on its mirror, averaged, minus a half: above 0 nothing but z can say which of the two is asked.

    Any fixed network is right on a task exactly where it is wrong on the mirror, so that its mean is a half, whatever it learned.

    Args:
        results, reliance, tasks: of one experiment and generator.
        shots: None for pairs with both orientations trained; else pairs of which z_adapt learned at least one from so many images a
            class, the other one with the z of the training where it was trained.

    Returns:
        unit, seed and above; empty where no task has a mirror.
    """
    mine = reliance[(reliance["task_i"] == reliance["z_j"]) & (reliance["split"] == "test")]
    trained = mine[["seed", "task_i", "accuracy"]].rename(columns={"task_i": "task"}).assign(new=False)
    adapted = results[(results["arm"] == METHOD) & (results["shots"] == (-1 if shots is None else shots))]
    known = pd.concat([trained, adapted[["seed", "task", "accuracy"]].assign(new=True)], ignore_index=True)
    known = known.merge(tasks.drop_duplicates("task")[["task", "unit", "mirror"]], on="task")
    groups = known[known["mirror"] >= 0].groupby(["unit", "seed"])
    found = pd.DataFrame({"above": groups["accuracy"].mean() - 0.5, "ways": groups["task"].nunique(), "new": groups["new"].any()})
    wanted = (found["ways"] == 2) & (found["new"] == (shots is not None))
    return found[wanted].reset_index()[["unit", "seed", "above"]]
