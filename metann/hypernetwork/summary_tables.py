"""Sections of the page on hypernetworks that are mostly a table."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from metann.hypernetwork.choice import WHERE, generator_order, reliance_interval
from metann.hypernetwork.verdicts import state
from metann.report.text import macs, markdown_table, p_value, percent, points

Places = Sequence[tuple[str, str]]


def _mine(frame: pd.DataFrame, place: tuple[str, str]) -> pd.DataFrame:
    return frame[(frame["experiment"] == place[0]) & (frame["generator"] == place[1])]


def arm_order(arms: pd.DataFrame) -> list[str]:
    """Arms by the numbers they train, then by name."""
    return list(arms.groupby("arm")["trained_numbers"].mean().reset_index().sort_values(["trained_numbers", "arm"])["arm"])


def arms_table(arms: pd.DataFrame, places: Places) -> str:
    """Accuracy of every arm on held-out tasks, over shots."""
    parts = []
    for place in places:
        mine = _mine(arms, place)
        shots = sorted(number for number in mine["shots"].unique() if number) or [0]
        rows = []
        for arm in arm_order(mine):
            of_arm = mine[mine["arm"] == arm].set_index("shots")
            cells = [_accuracy(of_arm, number) for number in shots]
            rows.append([f"`{arm}`", f"{of_arm['trained_numbers'].mean():,.0f}", *cells])
        header = ["arm", "numbers trained", *(f"{number:,} per class" for number in shots)]
        parts.append(f"{place[0]}, generator `{place[1]}`:\n\n{markdown_table(header, rows)}")
    return "## Accuracy on held-out tasks\n\n" + "\n\n".join(parts)


def _accuracy(of_arm: pd.DataFrame, shots: int) -> str:
    if shots not in of_arm.index:
        shots = 0  # an arm that needs no images
    if shots not in of_arm.index:
        return ""
    row = of_arm.loc[shots]
    if not np.isfinite(row["low"]):
        return percent(row["accuracy"])
    return f"{percent(row['accuracy'])} ({100 * max(row['low'], 0):.1f} to {100 * min(row['high'], 1):.1f})"


def differences_table(differences: pd.DataFrame, places: Places, confidence: float) -> str:
    """z_adapt minus every other arm, in points of accuracy."""
    parts = []
    right = differences[differences["measure"] == "accuracy"]
    for place in places:
        mine = _mine(right, place)
        if mine.empty:
            continue
        shots = sorted(mine["shots"].unique())
        rows = [
            [f"`{other}`", *(_difference(group.set_index("shots"), number) for number in shots)]
            for other, group in mine.groupby("other", sort=False)
        ]
        first = mine.iloc[0]
        header = ["z_adapt minus", *(f"{number:,} per class" for number in shots)]
        what = f"{place[0]}, generator `{place[1]}`, {first['units']} pairs of classes x {first['seeds']} seeds:"
        parts.append(f"{what}\n\n{markdown_table(header, rows)}")
    note = f"In points of accuracy; in brackets the {100 * confidence:g} % interval, then the p of flipped signs over pairs of classes."
    return f"## Paired differences\n\n{note}\n\n" + "\n\n".join(parts) if parts else ""


def _difference(by_shots: pd.DataFrame, shots: int) -> str:
    if shots not in by_shots.index:
        return ""
    row = by_shots.loc[shots]
    ends = f"{points(row['low'])} to {points(row['high'])}" if np.isfinite(row["low"]) else "no interval"
    text = f"{points(row['difference'])} ({ends}; {p_value(row['p'])})"
    return text if state(row["low"], row["high"], 0.0) == "open" else f"**{text}**"


def measures_table(arms: pd.DataFrame, places: Places) -> str:
    """All measures at the largest number of shots."""
    parts = []
    for place in places:
        mine = _mine(arms, place)
        last = mine["shots"].max()
        rows = []
        for arm in arm_order(mine):
            of_arm = mine[(mine["arm"] == arm) & mine["shots"].isin([last, 0])]
            if of_arm.empty:
                continue
            row = of_arm.iloc[-1]
            cells = [percent(row["accuracy"]), percent(row["balanced_accuracy"]), f"{row['cross_entropy']:.4f}", f"{row['auc']:.4f}"]
            rows.append([f"`{arm}`", *cells, f"{row['steps_to_95']:.0f} of {row['steps']:.0f}", f"{row['learning_rate']:.3g}"])
        header = ["arm", "accuracy", "balanced", "cross entropy (nats)", "AUC", "steps to 95 % of the last accuracy", "learning rate"]
        parts.append(f"{place[0]}, generator `{place[1]}`, {last:,} images per class:\n\n{markdown_table(header, rows)}")
    return "## Other measures\n\nMeans over held-out tasks, draws and seeds.\n\n" + "\n\n".join(parts)


def reliance_table(tables: Mapping[str, pd.DataFrame], places: Places, confidence: float) -> str:
    """How much the answers depend on z, on tasks that were trained."""
    rows = []
    for place in places:
        reliance, tasks = _mine(tables["reliance"], place), _mine(tables["tasks"], place)
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
        mean = _mine(layers, place).groupby("layer", sort=False)[["numbers", "variance_share", "effective_rank", "saturation"]].mean()
        rows = [
            [f"`{name}`", f"{row.numbers:,.0f}", f"{row.variance_share:.3f}", f"{row.effective_rank:.2f}", percent(row.saturation)]
            for name, row in mean.iterrows()
        ]
        header = ["layer", "numbers", "variance share V", "effective rank", "saturated"]
        parts.append(f"{place[0]}, generator `{place[1]}`:\n\n{markdown_table(header, rows)}")
    note = "Over the trained tasks: V is 0 where every z writes the same, 1 where nothing is shared; saturated: beyond 99 % of the bound."
    return f"## What z changes in the network\n\n{note}\n\n" + "\n\n".join(parts)


def classes_table(multiclass: pd.DataFrame, networks: pd.DataFrame) -> str:
    """The classifier for all classes beside plain networks."""
    rows = []
    for frame, label in ((multiclass, "generated, `{}`"), (networks, "plain network `{}`")):
        test = frame[frame["split"] == "test"]
        names = test["experiment"] + "_" + test["generator"] if "generator" in test else test["network"]
        for name, group in test.groupby(names, sort=False):
            mean = group[["accuracy", "low", "high", "macs", "parameters"]].mean()
            cells = [percent(mean.accuracy), f"{100 * mean.low:.2f} to {100 * mean.high:.2f}", macs(mean.macs), macs(mean.parameters)]
            rows.append([label.format(name), *cells, str(group["seed"].nunique())])
    if multiclass.empty:
        return ""
    header = ["", "test accuracy", "interval (%)", "MACs per image", "parameters", "seeds"]
    classes = int(multiclass["classes"].max())
    note = (
        f"One task code for each of the {classes} classes (it against the rest), {classes} generated networks, the surest answers."
        " Parameters are those of the generator with all codes; means over seeds."
    )
    return f"## A classifier for {classes} classes from the same generator\n\n{note}\n\n{markdown_table(header, rows)}"


def generators_table(generators: pd.DataFrame, verdicts: pd.DataFrame) -> str:
    """All generators of an experiment, where there are several."""
    if not generators.duplicated("experiment").any():
        return ""
    rows = []
    for row in generator_order(generators).itertuples():
        asked = _mine(verdicts, (row.experiment, row.generator))
        asked = asked[asked["question"] == "whole_network"]
        yes = f"{(asked['state'] == 'yes').sum()} of {len(asked)}" if len(asked) else ""
        name = f"**{row.experiment}, `{row.generator}`**" if row.chosen else f"{row.experiment}, `{row.generator}`"
        rows.append([name, percent(row.val_accuracy), percent(row.accuracy), _known(row.held_out_accuracy), yes])
    header = [
        "",
        "trained tasks, validation",
        "trained tasks, test",
        "held-out tasks, z_adapt",
        "numbers of shots at which it matches the whole network",
    ]
    note = "The page speaks of the generators in bold, chosen by their accuracy on validation images of trained tasks."
    return f"## Generators\n\n{note}\n\n{markdown_table(header, rows)}"


def _known(share: float) -> str:
    return percent(share) if np.isfinite(share) else ""
