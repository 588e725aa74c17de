"""Sections of the page on hypernetworks that are mostly a table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metann.hypernetwork.choice import generator_order
from metann.hypernetwork.verdicts import state
from metann.report.text import count, macs, markdown_table, p_value, percent, points
from metann.statistics.intervals import over_seeds

Places = Sequence[tuple[str, str]]


def at(frame: pd.DataFrame, place: tuple[str, str]) -> pd.DataFrame:
    """The rows of one experiment and generator."""
    return frame[(frame["experiment"] == place[0]) & (frame["generator"] == place[1])]


def arm_order(arms: pd.DataFrame) -> list[str]:
    """Arms by the numbers they train, then by name."""
    return list(arms.groupby("arm")["trained_numbers"].mean().reset_index().sort_values(["trained_numbers", "arm"])["arm"])


def arms_table(arms: pd.DataFrame, places: Places) -> str:
    """Accuracy of every arm on held-out tasks, over shots."""
    parts = []
    for place in places:
        mine = at(arms, place)
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
        mine = at(right, place)
        if mine.empty:
            continue
        shots = sorted(mine["shots"].unique())
        rows = [
            [f"`{other}`", *(_difference(group.set_index("shots"), number, confidence) for number in shots)]
            for other, group in mine.groupby("other", sort=False)
        ]
        first = mine.iloc[0]
        header = ["z_adapt minus", *(f"{number:,} per class" for number in shots)]
        what = f"{place[0]}, generator `{place[1]}`, {count(first['units'], 'pair')} of classes x {count(first['seeds'], 'seed')}:"
        parts.append(f"{what}\n\n{markdown_table(header, rows)}")
    note = f"In points of accuracy; in brackets the {100 * confidence:g} % interval, then the p of flipped signs over pairs of classes."
    if len(right) and right["units"].min() < 6:
        note += " Bold where both agree: with fewer than six pairs no such p reaches 0.05, and intervals alone trust in a normal spread."
    return f"## Paired differences\n\n{note}\n\n" + "\n\n".join(parts) if parts else ""


def _difference(by_shots: pd.DataFrame, shots: int, confidence: float) -> str:
    if shots not in by_shots.index:
        return ""
    row = by_shots.loc[shots]
    ends = f"{points(row['low'])} to {points(row['high'])}" if np.isfinite(row["low"]) else "no interval"
    text = f"{points(row['difference'])} ({ends}; {p_value(row['p'])})"
    return text if state(row["low"], row["high"], 0.0, row["p"], confidence) == "open" else f"**{text}**"


def measures_table(arms: pd.DataFrame, places: Places) -> str:
    """All measures at the largest number of shots."""
    parts = []
    for place in places:
        mine = at(arms, place)
        last = mine["shots"].max()
        rows = []
        for arm in arm_order(mine):
            of_arm = mine[(mine["arm"] == arm) & mine["shots"].isin([last, 0])]
            if of_arm.empty:
                continue
            row = of_arm.iloc[-1]
            cells = [percent(row["accuracy"]), percent(row["balanced_accuracy"]), f"{row['cross_entropy']:.4f}", f"{row['auc']:.4f}"]
            learned = [f"{row['steps_to_95']:.0f} of {row['steps']:.0f}", f"{row['learning_rate']:.3g}"] if row["steps"] else ["", ""]
            rows.append([f"`{arm}`", *cells, *learned])
        header = ["arm", "accuracy", "balanced", "cross entropy (nats)", "AUC", "steps to 95 % of the last accuracy", "learning rate"]
        parts.append(f"{place[0]}, generator `{place[1]}`, {last:,} images per class:\n\n{markdown_table(header, rows)}")
    return "## Other measures\n\nMeans over held-out tasks, draws and seeds.\n\n" + "\n\n".join(parts)


def classes_table(multiclass: pd.DataFrame, networks: pd.DataFrame, confidence: float) -> str:
    """The classifier for all classes beside plain networks; intervals over seeds, Wilson's of the images where there is one seed."""
    rows = []
    for frame, label in ((multiclass, "generated, `{}`"), (networks, "plain network `{}`")):
        test = frame[frame["split"] == "test"]
        names = test["experiment"] + "_" + test["generator"] if "generator" in test else test["network"]
        for name, group in test.groupby(names, sort=False):
            mean, low, high = over_seeds(group["accuracy"], group["low"], group["high"], confidence)
            cells = [percent(mean), f"{100 * low:.2f} to {100 * high:.2f}", *(macs(group[cost].mean()) for cost in ("macs", "parameters"))]
            rows.append([label.format(name), *cells, str(group["seed"].nunique())])
    if multiclass.empty:
        return ""
    header = ["", "test accuracy", "interval (%)", "MACs per image", "parameters", "seeds"]
    classes = int(multiclass["classes"].max())
    note = (
        f"One task code for each of the {classes} classes (it against the rest), {classes} generated networks, the surest answers."
        " MACs and parameters are those of all these networks; once they are written, the generator is not needed."
        f" Means over seeds; intervals ({100 * confidence:g} %): Student's t over seeds, Wilson's of the images where there is one seed."
    )
    return f"## A classifier for {classes} classes from the same generator\n\n{note}\n\n{markdown_table(header, rows)}"


def generators_table(generators: pd.DataFrame, verdicts: pd.DataFrame) -> str:
    """All generators of an experiment, where there are several."""
    if not generators.duplicated("experiment").any():
        return ""
    rows = []
    for row in generator_order(generators).itertuples():
        asked = at(verdicts, (row.experiment, row.generator))
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
