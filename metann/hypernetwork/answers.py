"""The questions about hypernetworks in words, each with its answer for every experiment: yes, no or not shown, number and interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from metann.hypernetwork.choice import WHERE
from metann.hypernetwork.verdicts import GENERAL, NO_SHOTS
from metann.report.text import interval, percent, points

QUESTIONS = {
    "Does moving only z match changing the whole network?": ("whole_network",),
    "Did training give one general network, or one that depends on z?": ("general_network",),
    "Does z carry the task?": ("mirror_trained", "mirror_new"),
    "Does a trained generator beat a random one?": ("z_adapt_random_generator", "random_subspace"),
    "Does z help at all?": ("helps", "zero_shot"),
}
_WORDS = {"yes": "yes", "no": "no", "open": "not shown"}


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


def answers(tables: Mapping[str, pd.DataFrame], confidence: float) -> str:
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
