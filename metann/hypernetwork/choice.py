"""Which generator answers for an experiment, and how much better or worse z alone does than every other arm.

Units are pairs of classes; U units, S seeds. Frames have the columns of `metann.hypernetwork.evaluation` with experiment, generator
and seed.
"""

import json

import numpy as np
import pandas as pd

from metann.hypernetwork.evaluation import MEASURES, METHOD, accuracy_matrix
from metann.hypernetwork.measures import task_reliance
from metann.report.overview import COLUMNS
from metann.statistics.crossed import crossed_interval
from metann.statistics.intervals import Interval, t_interval
from metann.statistics.permutation import sign_flip_p

WHERE = ["experiment", "generator"]
MARGIN = 0.02  # what the whole network may be better by and still be matched


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
    best = rows.sort_values(["val_accuracy", "generator"], ascending=[False, True]).drop_duplicates("experiment").index
    return rows.assign(chosen=rows.index.isin(best))


def generator_order(generators: pd.DataFrame) -> pd.DataFrame:
    """Generators by experiment, the best on validation first."""
    return generators.sort_values(["experiment", "val_accuracy", "generator"], ascending=[True, False, True])


def setting_rows(multiclass: pd.DataFrame) -> pd.DataFrame:
    """The classifiers for all classes as the run's table of all families has them; validation chooses one of them.

    Args:
        multiclass: rows of `multiclass_rows` with experiment, generator and seed.

    Returns:
        The columns of `metann.report.overview`.
    """
    name = multiclass["experiment"].astype(str) + "_" + multiclass["generator"].astype(str)
    load = [
        json.dumps({"experiment": experiment, "generator": generator})
        for experiment, generator in zip(multiclass["experiment"], multiclass["generator"], strict=True)
    ]
    rows = multiclass.assign(family="hypernetwork", setting=name + ", all classes", role="setting", load=load)
    means = rows[rows["split"] == "val"].groupby("setting")["accuracy"].mean()
    best = means.idxmax() if len(means) else None
    return rows.assign(chosen=rows["setting"] == best)[list(COLUMNS)]


def unit_values(rows: pd.DataFrame, column: str) -> np.ndarray:
    """(U, S) means over the tasks of each unit."""
    return rows.pivot_table(index="unit", columns="seed", values=column, aggfunc="mean").to_numpy()


def unit_means(results: pd.DataFrame) -> dict[tuple[str, int], np.ndarray]:
    """(arm, shots) -> (U, S, M) means over the tasks of each unit, M the `MEASURES`; rows of one experiment and generator.

    Every arm has the same tasks and seeds (`metann.hypernetwork.inputs` checks it), so that differences of arms are paired.
    """
    tasks, seeds = results.drop_duplicates("task").sort_values("task"), results["seed"].nunique()
    member_UT = pd.get_dummies(tasks["unit"], dtype=float).to_numpy().T
    member_UT = member_UT / member_UT.sum(axis=1, keepdims=True)
    found = {}
    for (arm, shots), rows in results.groupby(["arm", "shots"], sort=False):
        values_TSM = rows.sort_values(["task", "seed"])[list(MEASURES)].to_numpy().reshape(len(tasks), seeds, len(MEASURES))
        found[arm, int(shots)] = np.einsum("ut,tsm->usm", member_UT, values_TSM)
    return found


def difference_rows(results: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """z_adapt minus every other arm on the same tasks and seeds, for every experiment, generator, number of shots and measure.

    An arm that needs no images (shots 0) stands against every number of shots.

    Returns:
        difference with low and high (over units and seeds), p (sign flips of the units' means; accuracy only, else NaN), margin_p (the
        same of the difference from -`MARGIN`), units and seeds. A difference of accuracies is a share: 0.01 is one point. Measures
        that are unknown for a task (an AUC of one class) have no row.
    """
    rows = []
    for (experiment, generator), group in results.groupby(WHERE, sort=False):
        means = unit_means(group)
        for shots in shots_of(group):
            for other in [arm for arm in dict.fromkeys(group["arm"]) if arm != METHOD]:
                theirs = means.get((other, shots), means.get((other, 0)))
                if theirs is None:
                    continue
                for m, measure in enumerate(MEASURES):
                    values_US = means[METHOD, shots][..., m] - theirs[..., m]
                    if not np.isfinite(values_US).all():
                        continue
                    mean, low, high = crossed_interval(values_US, confidence)
                    means_U, counted = values_US.mean(axis=1), measure == "accuracy"
                    p, margin_p = (sign_flip_p(means_U + shift) if counted else np.nan for shift in (0.0, MARGIN))
                    row = {"experiment": experiment, "generator": generator, "shots": shots, "other": other, "measure": measure}
                    row |= {"difference": mean, "low": low, "high": high, "p": p, "margin_p": margin_p}
                    rows.append(row | {"units": values_US.shape[0], "seeds": values_US.shape[1]})
    columns = ["experiment", "generator", "shots", "other", "measure", "difference", "low", "high", "p", "margin_p", "units", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def shots_of(results: pd.DataFrame) -> list[int]:
    """Numbers of shots with which z was adapted."""
    return sorted(int(shots) for shots in results.loc[results["arm"] == METHOD, "shots"].unique())


def arm_means(results: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Every arm and number of shots: means over units and seeds; accuracy with its interval.

    Returns:
        experiment, generator, arm, shots, accuracy, low, high, the other measures, trained_numbers, steps, learning_rate, units, seeds.
    """
    rows = []
    for (experiment, generator), group in results.groupby(WHERE, sort=False):
        plain = group.groupby(["arm", "shots"])[["trained_numbers", "steps", "learning_rate"]].mean()
        for (arm, shots), values_USM in unit_means(group).items():
            mean, low, high = crossed_interval(values_USM[..., 0], confidence)
            row = {"experiment": experiment, "generator": generator, "arm": arm, "shots": shots, "accuracy": mean, "low": low, "high": high}
            row |= dict(zip(MEASURES[1:], values_USM[..., 1:].mean(axis=(0, 1)), strict=True)) | plain.loc[(arm, shots)].to_dict()
            rows.append(row | {"units": values_USM.shape[0], "seeds": values_USM.shape[1]})
    return pd.DataFrame(rows)


def trained_interval(values_US: np.ndarray, confidence: float) -> Interval:
    """Of what is said of the training tasks: they are given, and seeds the only chance; with one seed the tasks have to do."""
    return t_interval(values_US.mean(axis=0), confidence) if values_US.shape[1] > 1 else crossed_interval(values_US, confidence)


def reliance_interval(reliance: pd.DataFrame, tasks: pd.DataFrame, confidence: float) -> Interval:
    """R on test images; rows of one experiment and generator."""
    units = tasks.drop_duplicates("task").set_index("task")["unit"]
    parts = []
    for seed, of_seed in reliance.groupby("seed"):
        tasks_T, accuracy_TT = accuracy_matrix(of_seed, "test")
        parts.append(pd.DataFrame({"seed": seed, "unit": units.loc[tasks_T].to_numpy(), "r": task_reliance(accuracy_TT)}))
    return trained_interval(unit_values(pd.concat(parts), "r"), confidence)


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
