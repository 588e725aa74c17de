"""What the page says first: whether experts beat a second opinion (specialisation), then whether they beat plain training (paying)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.mnn.summary_tables import counted
from metann.report.text import escaped, macs, markdown_table, percent
from metann.statistics.verdict import Verdict
from metann.thresholds import format_threshold

OPINIONS = ("second", "generic")
_BESIDE = {"gain": "better than", "loss": "worse than", "no evidence": "not distinguishable from"}
_ROLES = {
    "second": "the switch by the same recipe from other random weights",
    "generic": "one expert for all classes, trained as long as all experts together",
    "longer": "a plain network trained as long as switch and experts together",
    "network": "a plain network",
}


def specialisation(controls: pd.DataFrame, confidence: float) -> str:
    """Do the experts beat one other network that is asked when the switch is unsure? Empty where there is none to compare with."""
    found, sentences = [], []
    for name, rows in controls[controls["kind"].isin(OPINIONS)].groupby("control", sort=False):
        bounds = sorted({format_threshold(bound) for bound in rows["bound"]}, key=float)
        below = bounds[0] if len(bounds) == 1 else f"{bounds[0]} to {bounds[-1]}"
        when = "never asked" if below == "0.00" else f"asked where the switch's top probability is below {below}"
        role = f"{_ROLES[rows['kind'].iloc[0]]}, {when}, as validation chose"
        found.append(counted(rows, confidence))
        sentences.append(_sentence(str(name), role, rows, found[-1]))
    return _answer(
        found,
        sentences,
        yes="**Specialisation: yes.** The experts beat what one other network for all classes gives in their place.",
        no="**Specialisation: no.** One other network for all classes does better than the experts.",
        not_shown="**Specialisation: not shown.** What the experts give, one other network for all classes may give too.",
    )


def paying(controls: pd.DataFrame, confidence: float, longer: str | None) -> str:
    """Do switch and experts beat plain networks of their training, or of their cost? Empty where there is none to compare with.

    Args:
        longer: the control that had all the training.
    """
    found, sentences = [], []
    for name, rows in controls[controls["kind"] == "network"].groupby("control", sort=False):
        found.append(counted(rows, confidence))
        sentences.append(_sentence(str(name), _ROLES["longer" if name == longer else "network"], rows, found[-1]))
    return _answer(
        found,
        sentences,
        yes="**Paying: yes.** Switch and experts beat every plain network that they are compared with.",
        no="**Paying: no.** A plain network does better.",
        not_shown="**Paying: not shown.** They do not beat every plain network that they are compared with.",
    )


def _answer(found: Sequence[Verdict], sentences: Sequence[str], *, yes: str, no: str, not_shown: str) -> str:
    """One word over all comparisons, then each; nothing where nothing was compared."""
    words = {verdict.word for verdict in found}
    head = no if "loss" in words else yes if words == {"gain"} else not_shown
    return " ".join([head, *sentences]) if found else ""


def _sentence(name: str, role: str, rows: pd.DataFrame, found: Verdict) -> str:
    cost = f" at {macs(rows['mean_macs'].mean())} MACs" if np.isfinite(rows["mean_macs"].mean()) else ""
    reached = f"{cost} reaches {percent(rows['accuracy'].mean())}"
    return f"`{name}` ({role}){reached}: the meta network is {_BESIDE[found.word]} it, {found.numbers}."


def self_check_section(checked: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """Each expert on its own question, at the chosen dataset threshold of every seed; the first 20 classes."""
    cells = chosen[["seed", "dataset_threshold"]]
    test = checked[checked["split"] == "test"].merge(cells, on=["seed", "dataset_threshold"])
    asked, everything = (test[test["images"] == images] for images in ("asked", "all"))
    if asked.empty:
        return "No expert was checked."
    by_class = asked.groupby("class").mean(numeric_only=True)
    known = by_class[["auc", "switch_auc"]].dropna()
    more = int((known["auc"] > known["switch_auc"]).sum())
    better = asked.groupby("class")[["fixed", "broken"]].sum()
    text = (
        "Is this image of class c? Asked of expert c and of the switch (S_c), on the test images at which S_c reaches the dataset "
        f"threshold, like those that the expert learned from. On these, {more} of {len(known)} experts order the images better than "
        f"S_c does (area under the curve), and {int((better['fixed'] > better['broken']).sum())} answer more questions rightly that the "
        "switch answers wrongly than the reverse, at 1/2. An expert that does neither is one that nobody needs."
    )
    names = asked.drop_duplicates("class").set_index("class")["class_name"]
    whole = everything.groupby("class").mean(numeric_only=True)
    rows: list[list[Any]] = []
    for c, row in by_class.head(20).iterrows():
        pairs = [(row["balanced_accuracy"], row["switch_balanced_accuracy"], percent), (row["auc"], row["switch_auc"], _area)]
        pairs.append((whole.loc[c, "auc"], whole.loc[c, "switch_auc"], _area))
        cells_of = [f"{show(mine)} / {show(theirs)}" for mine, theirs, show in pairs]
        counts = [f"{better.loc[c, 'fixed']:,}", f"{better.loc[c, 'broken']:,}"]
        rows.append([escaped(names[c]), f"{row['n']:,.0f}", *cells_of[:2], *counts, cells_of[2]])
    header = ["expert", "images asked", "balanced accuracy (expert / switch)", "AUC", "fixed", "broken", "AUC on all images"]
    more_classes = f"\n\nThe first 20 of {len(by_class)} experts." if len(by_class) > 20 else ""
    return f"{text}\n\n{markdown_table(header, rows)}{more_classes}"


def _area(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""
