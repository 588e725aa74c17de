"""The page that answers what a small task vector can do, in plain words: yes, no, or not shown, with the number and its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from metann.hypernetwork.choice import WHERE
from metann.hypernetwork.summary_tables import (
    arms_table,
    classes_table,
    differences_table,
    generators_table,
    interpolation_text,
    layers_table,
    measures_table,
    reliance_table,
)
from metann.hypernetwork.verdicts import GENERAL, MARGIN, NO_SHOTS
from metann.report.text import interval, percent, points

QUESTIONS = {
    "Does moving only z match changing the whole network?": ("whole_network",),
    "Did training give one general network, or one that depends on z?": ("general_network",),
    "Does z carry the task?": ("mirror_trained", "mirror_new"),
    "Does a trained generator beat a random one?": ("z_adapt_random_generator", "random_subspace"),
    "Does z help at all?": ("helps", "zero_shot"),
}
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
_WORDS = {"yes": "yes", "no": "no", "open": "not shown"}


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
        _answers(of_chosen, confidence),
        "## What was done\n\n" + "\n".join(_experiment(place, of_chosen, metadata) for place in chosen) + "\n" + _rules(confidence),
        "\n\n".join(f"![{name}](figures/{name}.png)" for name in figures),
        arms_table(of_chosen["arms"], chosen),
        differences_table(of_chosen["differences"], chosen, confidence),
        measures_table(of_chosen["arms"], chosen),
        reliance_table(of_chosen, chosen, confidence) + interpolation_text(of_chosen["interpolation"]),
        layers_table(of_chosen["layers"], chosen),
        classes_table(tables["multiclass"], tables["networks"]),
        generators_table(tables["generators"], tables["verdicts"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _keep(frame: pd.DataFrame, chosen: Sequence[tuple[str, str]]) -> pd.DataFrame:
    return frame[[place in chosen for place in zip(frame["experiment"], frame["generator"], strict=True)]]


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


def over_shots(rows: pd.DataFrame) -> str:
    """'yes', or 'yes with 1 and 5 images per class, no with 25, not shown with 50'; rows of one question, one for each number of shots."""
    by_state = {state: sorted(group["shots"]) for state, group in rows.groupby("state")}
    if len(by_state) == 1:
        (answer, shots), *_ = by_state.items()
        if shots == [NO_SHOTS]:
            return _WORDS[answer]
        return f"{_WORDS[answer]}, with {_and(shots)} {_images(shots)} per class"
    parts = [f"{_WORDS[state]} with {_and(by_state[state])}" for state in ("yes", "no", "open") if state in by_state]
    return f"{parts[0]} {_images(by_state[next(s for s in ('yes', 'no', 'open') if s in by_state)])} per class, {', '.join(parts[1:])}"


def _and(numbers: Sequence[int]) -> str:
    texts = [f"{number:,}" for number in numbers]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _images(shots: Sequence[int]) -> str:
    return "image" if list(shots) == [1] else "images"


def _answers(tables: Mapping[str, pd.DataFrame], confidence: float) -> str:
    """Every question with its answer for every experiment."""
    verdicts, parts = tables["verdicts"], []
    for question, names in QUESTIONS.items():
        lines = []
        for (experiment, generator), group in verdicts.groupby(WHERE, sort=False):
            for name in names:
                rows = group[group["question"] == name]
                if len(rows):
                    place = {key: tables[key][tables[key]["experiment"] == experiment] for key in ("results", "arms")}
                    lines.append(f"- {experiment}, generator `{generator}`: {_sentence(name, rows, place, confidence)}")
        parts.append(f"### {question}\n\n" + ("\n".join(lines) or "Not asked: the arms that it needs were not run."))
    return "## The questions\n\n" + "\n\n".join(parts)


def _sentence(name: str, rows: pd.DataFrame, place: Mapping[str, pd.DataFrame], confidence: float) -> str:
    rows = rows.sort_values("shots")
    answer = over_shots(rows)
    numbers = "; ".join(_number(row, confidence) for row in rows.itertuples())
    if name == "whole_network":
        return f"**{answer}**. z_adapt minus finetune_net in points: {numbers}."
    if name == "general_network":
        row = next(rows.itertuples())
        word = {"yes": "one general network", "no": "not a general network: it depends on z", "open": "not settled"}[row.state]
        return f"**{word}**. R = {row.value:.3f} ({_ends(row.low, row.high, confidence)}; below {GENERAL} is general).{_control(place)}"
    if name == "mirror_trained":
        return (
            f"on trained tasks **{answer}**. A task and its mirror by their own z: {percent(0.5 + rows['value'].iloc[0])} on average;"
            + (f" any one network has 50 % ({numbers} points above).")
        )
    if name == "mirror_new":
        return f"on new tasks **{answer}**. Points above the 50 % of any one network: {numbers}."
    if name == "helps":
        return f"**{answer}**. z_adapt minus the nearest of zero_shot, random_subspace and z_adapt_random_generator in points: {numbers}."
    return f"against {name}: **{answer}**. z_adapt minus {name} in points: {numbers}."


def _number(row: Any, confidence: float) -> str:
    ends = interval(row.low, row.high, confidence)
    return f"{points(row.value)} ({ends})" if row.shots == NO_SHOTS else f"with {row.shots:,}: {points(row.value)} ({ends})"


def _ends(low: float, high: float, confidence: float) -> str:
    return f"{100 * confidence:g} % interval {low:.3f} to {high:.3f}" if low == low else "no interval"


def _control(place: Mapping[str, pd.DataFrame]) -> str:
    """The zero-shot control: what one classifier is worth on tasks that it never saw."""
    arms, texts = place["arms"], []
    for arm, what in (("zero_shot", "the mean z"), ("general_net", "one network trained on all tasks")):
        rows = arms[arms["arm"] == arm]
        if len(rows):
            texts.append(f"{what} ({arm}) is right on {percent(rows['accuracy'].mean())}")
    method = arms[arms["arm"] == "z_adapt"].sort_values("shots")
    if not texts or method.empty:
        return ""
    last = method.iloc[-1]
    return (
        f" Control, without one image of a new task: {' and '.join(texts)} of new tasks' images;"
        f" z_adapt with {last['shots']:,} images per class on {percent(last['accuracy'])}."
    )


def _experiment(place: tuple[str, str], tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any]) -> str:
    experiment, generator = place
    facts = metadata["generators"][f"{experiment}/{generator}"]
    tasks = tables["tasks"][tables["tasks"]["experiment"] == experiment].drop_duplicates("task")
    counts = tasks["set"].value_counts()
    new = tasks[tasks["set"] == "test"]
    names = ", ".join(f"{row.negative_name} / {row.positive_name}" for row in new.head(6).itertuples()) + (", ..." if len(new) > 6 else "")
    results = tables["results"][tables["results"]["experiment"] == experiment]
    draws = int(results.loc[results["shots"] > 0, "draws"].max()) if (results["shots"] > 0).any() else 0
    shared = " All tasks share the images of one class, which the intervals do not know of." if facts["scheme"] == "anchor" else ""
    seeds = results["seed"].nunique()
    return (
        f"- **{experiment}**: {_SCHEMES.get(facts['scheme'], facts['scheme'])}. {_HELD_OUT.get(facts['held_out'], facts['held_out'])}."
        f" {counts.get('train', 0)} tasks were trained, {counts.get('val', 0)} served to choose learning rates, {len(new)} are held out"
        f" ({new['unit'].nunique()} pairs of classes: {names}). Generator `{generator}` ({facts['kind']}, bound {facts['bound']}) has"
        f" {facts['parameters']:,} parameters and writes {facts['numbers']:,} numbers from {facts['z_size']:,};"
        f" {seeds} {'seed' if seeds == 1 else 'seeds'}, {draws} choices of support images each.{shared}"
    )


def _rules(confidence: float) -> str:
    return (
        f"\nIntervals hold {100 * confidence:g} % and speak of other held-out pairs of classes and of other seeds; a task and its mirror,"
        " judged on the same images, count as one. What is said of the trained tasks speaks of other seeds only, where there are several."
        f" z_adapt matches the whole network where its interval lies above -{100 * MARGIN:g} points; one arm beats another where the"
        " interval lies above 0; 'not shown' is where the interval holds the line: the data do not say. Every number of shots has its own"
        " interval: a yes for all needs no correction, a yes for some is one of several looks. Learning rates were chosen on tasks held"
        " back from the training tasks; test images took part in no choice."
    )
