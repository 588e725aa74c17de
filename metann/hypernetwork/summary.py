"""The page that answers what a small task vector can do, in plain words: yes, no, or not shown, with the number and its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.hypernetwork.answers import answers, over_shots
from metann.hypernetwork.choice import MARGIN, WHERE
from metann.hypernetwork.summary_tables import (
    arms_table,
    classes_table,
    differences_table,
    generators_table,
    measures_table,
)
from metann.hypernetwork.trained_tables import interpolation_text, layers_table, reliance_table

_SCHEMES = {
    "anchor": "every class against one and the same class",
    "mirror": "pairs of classes, and the same pairs with labels reversed",
    "all_pairs": "all pairs of classes",
}
_HELD_OUT = {
    "tasks": "Single tasks are held out",
    "pairs": "Pairs are held out in both orientations: nothing about their decision was trained",
    "flips": "One orientation of a pair is held out, the other one was trained",
    "classes": "Classes are held out: no task with them was trained",
}


def summarise(tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any], figures: Sequence[str]) -> str:
    """The summary in Markdown.

    Args:
        tables: as collect-hypernetwork writes them.
        metadata: of these tables.
        figures: names of figures to link to.
    """
    generators = tables["generators"]
    chosen = list(generators.loc[generators["chosen"], WHERE].itertuples(index=False, name=None))
    of_chosen = {name: _keep(frame, chosen) for name, frame in tables.items() if set(WHERE) <= set(frame.columns)}
    confidence = metadata["confidence"]
    parts = [
        f"# Hypernetworks of {metadata['run']}",
        _headline(of_chosen["verdicts"], metadata),
        answers(of_chosen, confidence),
        "## What was done\n\n" + "\n".join(_experiment(place, of_chosen, metadata) for place in chosen) + "\n" + _rules(confidence),
        "\n\n".join(f"![{name}](figures/{name}.png)" for name in figures),
        arms_table(of_chosen["arms"], chosen),
        differences_table(of_chosen["differences"], chosen, confidence),
        measures_table(of_chosen["arms"], chosen),
        reliance_table(of_chosen, chosen, confidence) + interpolation_text(of_chosen["interpolation"]),
        layers_table(of_chosen["layers"], chosen),
        classes_table(tables["multiclass"], tables["networks"], confidence),
        generators_table(tables["generators"], tables["verdicts"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _keep(frame: pd.DataFrame, chosen: Sequence[tuple[str, str]]) -> pd.DataFrame:
    return frame[np.array([place in chosen for place in zip(frame["experiment"], frame["generator"], strict=True)], bool)]


def _headline(verdicts: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    """One bold paragraph: everything a reader needs who reads no further."""
    asked = verdicts[verdicts["question"] == "whole_network"]
    if asked.empty:
        return "**Whether moving only z matches changing the whole network was not asked: one of z_adapt and finetune_net was not run.**"
    facts = metadata["generators"]
    texts = []
    for (experiment, generator), group in asked.groupby(WHERE, sort=False):
        mine = facts[f"{experiment}/{generator}"]
        sizes = f"{mine['z_size']:,} of {mine['numbers']:,} numbers"
        texts.append(f"{experiment} ({sizes}): {over_shots(group)}")
    return f"**Does moving only z match changing the whole network on tasks that were never trained? {'. '.join(texts)}.**"


def _experiment(place: tuple[str, str], tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any]) -> str:
    experiment, generator = place
    facts = metadata["generators"][f"{experiment}/{generator}"]
    tasks = tables["tasks"][tables["tasks"]["experiment"] == experiment].drop_duplicates("task")
    counts = tasks["set"].value_counts()
    new = tasks[tasks["set"] == "test"]
    names = ", ".join(f"{row.negative_name} / {row.positive_name}" for row in new.head(6).itertuples()) + (", ..." if len(new) > 6 else "")
    results = tables["results"][tables["results"]["experiment"] == experiment]
    draws = int(results.loc[results["shots"] > 0, "draws"].max()) if (results["shots"] > 0).any() else 0
    dropped = facts["dropped_test_images"]
    left_out = f" {dropped:,} test images that also stand in the training set were left out." if dropped else ""
    moved = ", ".join(dict.fromkeys(results.loc[~results["frozen"], "arm"]))
    frozen = f" The generator stayed as it was, byte for byte, in every arm{f' but {moved}, which move it' if moved else ''}."
    shared = " All tasks share the images of one class, which the intervals do not know of." if facts["scheme"] == "anchor" else ""
    seeds = results["seed"].nunique()
    return (
        f"- **{experiment}**: {_SCHEMES.get(facts['scheme'], facts['scheme'])}. {_HELD_OUT.get(facts['held_out'], facts['held_out'])}."
        f" {counts.get('train', 0)} tasks were trained, {counts.get('val', 0)} served to choose learning rates, {len(new)} are held out"
        f" ({new['unit'].nunique()} pairs of classes: {names}). Generator `{generator}` (bound {facts['bound']}, z {facts['z']}) has"
        f" {facts['parameters']:,} parameters and writes {facts['numbers']:,} numbers from {facts['z_size']:,};"
        f" {seeds} {'seed' if seeds == 1 else 'seeds'}, {draws} choices of support images each.{frozen}{left_out}{shared}"
    )


def _rules(confidence: float) -> str:
    return (
        f"\nIntervals hold {100 * confidence:g} % and speak of other held-out pairs of classes and of other seeds; a task and its mirror,"
        " judged on the same images, count as one. What is said of the trained tasks speaks of other seeds only, where there are several."
        f" z_adapt matches the whole network where its interval lies above -{100 * MARGIN:g} points, and does not where it lies below 0"
        " and reaches below that; one arm beats another where the interval lies above 0. In each case flips of"
        f" signs over the pairs have to agree (p of {1 - confidence:.2g} at most, out of reach for fewer than six pairs). 'Not shown' is"
        " where one of the two does not say so: the data leave it open. Every number of shots has its own interval: a yes for all needs no"
        " correction, a yes for some is one of several looks. Learning rates were chosen on tasks held back from the training tasks; test"
        " images took part in no choice."
    )
