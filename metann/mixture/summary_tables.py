"""Sections of mixture.md that are mostly a table: methods, runs, what one change does, and whose fault the errors are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.mixture.contrasts import confounds
from metann.report.text import count, macs, markdown_table, p_value, percent, points

_OUTCOMES = {"gain": "gains accuracy", "loss": "loses accuracy", "no evidence": "shows no evidence of a gain"}
_ROLE_WORDS = {"bound": "looks at the true class: a bound, no method"}
_SHARES = ("error", "decomposition", "reach")


def value(methods: pd.DataFrame, method: str, quantity: str, confidence: float, split: str = "test") -> str:
    """'12.31 % (95 % t interval 11.90 to 12.72)' of one method; no interval where one seed knows none."""
    row = methods[(methods["method"] == method) & (methods["quantity"] == quantity) & (methods["split"] == split)].iloc[0]
    number = _number(row["mean"], quantity)
    if not np.isfinite(row["low"]):
        return number
    ends = [_number(max(row[end], 0.0), quantity).removesuffix(" %") for end in ("low", "high")]
    return f"{number} ({100 * confidence:g} % t interval {ends[0]} to {ends[1]})"


def _number(mean: float, quantity: str) -> str:
    return percent(mean) if quantity in _SHARES else f"{mean:.2f}"


def methods_table(methods: pd.DataFrame, runs: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    """Every method and control: mean over seeds with interval on test, mixtures by their error on validation."""
    val = methods[(methods["split"] == "val") & (methods["quantity"] == "error")].sort_values("mean", kind="stable")
    test = runs[runs["split"] == "test"]
    rows = []
    for name, role in zip(val["method"], val["role"], strict=True):
        mine = test[test["setting"] == name]
        gated = role in ("mixture", "bound")
        fallen = f"{int(mine['collapsed'].astype(bool).sum())} of {len(mine)}" if gated else ""
        bits = [_cell(methods, name, key) if gated else "" for key in ("mutual_information", "conditional_entropy")]
        bits += [_cell(methods, name, key, spread=False) if gated else "" for key in ("sample_entropy", "usage_entropy")]
        size = _mean(methods, name, "parameters")
        cost = [f"{size:,.0f}" if np.isfinite(size) else "unknown", macs(_mean(methods, name, "macs"))]
        label = f"`{name}`" if role in ("mixture", name) else f"`{name}` ({_ROLE_WORDS.get(role, role.replace('_', ' '))})"
        rows.append([label, percent(_mean(methods, name, "error", "val")), _cell(methods, name, "error"), *bits, fallen, *cost])
    header = ["method", "error on validation", "error on test", "I(E;Y)", "H(E|Y)", "sample entropy", "usage entropy", "collapsed"]
    header += ["parameters", "MACs"]
    seeds, confidence = len(metadata["seeds"]), metadata["confidence"]
    note = f"Means of {count(seeds, 'seed')}" + (f" and {100 * confidence:g} % t intervals" if seeds > 1 else "; one seed knows no spread")
    return f"{markdown_table(header, rows)}\n\n{note}; entropies and information in bits, on test. Validation gives the order."


def _mean(methods: pd.DataFrame, name: str, quantity: str, split: str = "test") -> float:
    same = (methods["method"] == name) & (methods["quantity"] == quantity) & (methods["split"] == split)
    return float(methods.loc[same, "mean"].iloc[0])


def _cell(methods: pd.DataFrame, name: str, quantity: str, spread: bool = True) -> str:
    row = methods[(methods["method"] == name) & (methods["quantity"] == quantity) & (methods["split"] == "test")].iloc[0]
    text = _number(row["mean"], quantity)
    if not spread or not np.isfinite(row["low"]):
        return text
    half = (row["high"] - row["low"]) / 2
    return f"{text.removesuffix(' %')} ± {100 * half:.2f} %" if quantity in _SHARES else f"{text} ± {half:.2f}"


def runs_table(runs: pd.DataFrame) -> str:
    """All runs on test, none left out."""
    rows = [
        [
            f"`{row.setting}`",
            str(row.seed),
            percent(row.error),
            f"{row.mutual_information:.2f}",
            f"{row.mutual_information_predicted:.2f}",
            f"{row.conditional_entropy:.2f}",
            f"{row.sample_entropy:.2f}",
            f"{row.usage_entropy:.2f}",
            f"{row.usage_cv:.2f}",
            percent(row.least_share),
            percent(row.reach),
            "**collapsed**" if row.collapsed else "",
        ]
        for row in runs[runs["split"] == "test"].sort_values(["setting", "seed"], kind="stable", key=_in_order).itertuples()
    ]
    header = ["method", "seed", "error", "I(E;Y)", "I(E;prediction)", "H(E|Y)", "sample entropy", "usage entropy", "usage CV"]
    return markdown_table([*header, "least used expert", "within reach", "alarm"], rows)


def _in_order(column: pd.Series) -> pd.Series:
    """Settings in the order in which they appear, seeds by their number."""
    return column if column.name == "seed" else column.map({name: place for place, name in enumerate(dict.fromkeys(column))})


def changes_section(comparisons: pd.DataFrame, options: Mapping[str, Any], settings: Sequence[str], confidence: float) -> str:
    """Pairs of methods that differ in one group of options, and whether the published confounds are absent."""
    text = _confound_text({name: options.get(name) or {} for name in settings}, settings)
    pairs = comparisons[comparisons["kind"] == "contrast"]
    if pairs.empty:
        return f"{text}\n\nNo two methods of this run differ in one group of options alone."
    rows = []
    for (first, second), part in pairs.groupby(["first", "second"], sort=False):
        by = part.set_index("quantity")
        one = by.loc["accuracy"]
        cells = [f"`{first}` → `{second}`", f"{one['group']}: {one['before']} → {one['after']}", _difference(one, True), _word(one)]
        cells += [p_value(one["p"], bare=True), *(_difference(by.loc[key], False) for key in ("mutual_information", "conditional_entropy"))]
        rows.append(cells)
    header = ["methods", "what differs", "accuracy (points)", "evidence", "p", "I(E;Y) (bit)", "H(E|Y) (bit)"]
    text += _gates(pairs[(pairs["group"] == "gate") & (pairs["quantity"] == "accuracy")])
    note = (
        f"Test, second minus first, {100 * confidence:g} % intervals; p is of the exact test that has to agree with the interval. "
        f"{count(len(rows), 'pair')}; nothing is corrected for their number."
    )
    return f"{text}\n\n{markdown_table(header, rows)}\n\n{note}"


def _gates(pairs: pd.DataFrame) -> str:
    """What the gate alone is worth, with everything else the same: the answer to the published ranking."""
    if pairs.empty:
        return " No two methods differ in the gate alone, so that this run cannot say what the gate is worth."
    told = []
    for row in pairs.itertuples():
        change = f"{row.before} → {row.after} (`{row.first}` → `{row.second}`)"
        told.append(f"{change} {_OUTCOMES[row.word]}, {points(row.gain)} points")
    return f" With everything else the same, {'; '.join(told)}."


def _difference(row: Any, accuracy: bool) -> str:
    def number(share: float) -> str:
        return points(share) if accuracy else f"{share + 0.0:+.2f}".replace("-0.00", "+0.00")

    if not np.isfinite(row["low"]):
        return number(row["gain"])
    return f"{number(row['gain'])} ({number(row['low'])} to {number(row['high'])})"


def _word(row: Any) -> str:
    return {"gain": "a gain", "no evidence": "none", "loss": "a loss"}[row["word"]]


def _confound_text(options: Mapping[str, Any], settings: Sequence[str]) -> str:
    """Whether the methods of this run differ in what confounded the published ranking."""
    found = confounds(options)
    if not found:
        return "The tables do not say with which weight decay and softmax the methods were trained, so nothing can be said of confounds."
    why = "The published ranking compared attentive gates without weight decay and without a second softmax with plain gates that had both."
    clean, mixed = [], []
    for key, values in found.items():
        name = key.replace("_", " ")
        same = {value: names for value, names in values.items() if set(names) == set(settings)}
        if len(values) == 1 and same:
            clean.append(f"{name} is {next(iter(values))} for every method")
        else:
            mixed.append(
                f"{name} differs: " + "; ".join(f"{value} for {', '.join(f'`{n}`' for n in names)}" for value, names in values.items())
            )
    says = [f"Here {' and '.join(clean)}."] if clean else []
    says += [f"Here {one}: methods that differ in it cannot be ranked by anything else." for one in mixed]
    return " ".join([why, *says])


def attribution_section(runs: pd.DataFrame) -> str:
    """Whose fault the errors are: by given class sets where there are any, and by what some expert would have said everywhere."""
    test = runs[(runs["split"] == "test") & (runs["experts"] > 1)]
    mean = test.groupby("setting", sort=False)[["n", "correct", "lost", "reach"]].mean()
    rows = [
        [f"`{name}`", f"{row.n - row.correct:,.0f}", f"{row.lost:,.0f}", f"{row.n - row.correct - row.lost:,.0f}", percent(row.reach)]
        for name, row in mean.iterrows()
    ]
    header = ["method", "wrong", "some expert is right alone", "no expert is right alone", "within reach"]
    text = f"## Gate or expert\n\n{markdown_table(header, rows)}\n\nImages of test, means over seeds."
    given = test[test["expert_errors"].notna()]
    if given.empty:
        return f"{text} No method of this run has experts on prechosen classes, so errors are not divided by class sets."
    names = ["expert_errors", "gate_errors", "misrouted", "misrouted_wrong", "owner_right"]
    mean = given.groupby("setting", sort=False)[names].mean()
    rows = [[f"`{name}`", *(f"{row[key]:,.0f}" for key in names)] for name, row in mean.iterrows()]
    header = ["method", "expert's (true and predicted class in one set)", "gate's (all other)", "sent to an expert without the class"]
    table = markdown_table([*header, "of these wrong", "wrong, though an owner of the class is right alone"], rows)
    return f"{text}\n\nWhere experts were given their classes beforehand:\n\n{table}"
