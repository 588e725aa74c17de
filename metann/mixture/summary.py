"""mixture.md: which method has the lowest error, which the cleanest decomposition, what they are worth, and which runs collapsed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.figures._captions import caption
from metann.mixture.choice import ROLES, settings_of
from metann.mixture.controls import CONTROLS
from metann.mixture.summary_tables import attribution_section, changes_section, methods_table, runs_table, value
from metann.report.text import count, macs, percent

_WORDS = """\
- **method**: one setting of the configuration: experts, gate, routing, combination, loss, regularisers and phases. A **run** is a method \
with one seed; every run is shown and counted.
- **I(E;Y)**: mutual information between the expert of an image (the first largest of its gate row) and its true class, in bits. It cannot \
exceed the smaller of log2(experts) and H(Y). The decomposition is its share of that.
- **H(E|Y)**: how evenly a class is spread over the experts, in bits, a mean over classes. 0 when every class belongs to one expert, and \
also when the gate has collapsed, so it is read beside I(E;Y).
- **sample entropy**: how undecided the gate is about one image; **usage entropy**: how evenly it uses the experts over all images; bits.
- **collapsed**: usage entropy below 0.5 bit, or an expert that answers under 1 % of the images.
- **within reach**: images that at least one expert alone gets right.
- **MACs**: multiply-accumulates per image, of the gate and of the experts that run."""


def summarise(tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any], figures: Sequence[str] = ()) -> str:
    """The whole page in Markdown.

    Args:
        tables: 'runs', 'controls', 'choice', 'methods' and 'comparisons' as collect-mixture writes them.
        metadata: run, dataset, seeds, confidence, options and class_sets of every setting.
        figures: names of the figures to link to.
    """
    runs, comparisons, confidence = tables["runs"], tables["comparisons"], metadata["confidence"]
    parts = [
        f"# {metadata['run']}: mixtures of experts on {metadata.get('dataset') or 'these images'}",
        _answer(tables, metadata),
        _against_controls(tables["choice"], comparisons),
        _collapsed(runs),
        "## All methods",
        methods_table(tables["methods"], runs, metadata),
        "## Every run",
        runs_table(runs),
        "## One change at a time",
        changes_section(comparisons, metadata["options"], settings_of(runs), confidence),
        attribution_section(runs),
        "\n\n".join(f"![{name}](figures/{name}.png)\n\n{caption(name)}" for name in figures),
        "## Words",
        _WORDS,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any]) -> str:
    """The first paragraphs: everything a reader needs who reads no further."""
    choice, methods, runs = tables["choice"].set_index("role"), tables["methods"], tables["runs"]
    seeds, confidence = len(metadata["seeds"]), metadata["confidence"]
    n = int(runs.loc[runs["split"] == "test", "n"].iloc[0])
    val_n = int(runs.loc[runs["split"] == "val", "n"].iloc[0])
    best, clean, cheap = (choice.loc[role] for role in ("lowest_error", "cleanest", "cheapest_equal"))
    error = value(methods, best["setting"], "error", confidence)
    information = value(methods, clean["setting"], "mutual_information", confidence)
    lines = [
        f"**Lowest error: `{best['setting']}`, {error} of {n:,} test images. Cleanest decomposition: `{clean['setting']}`, I(E;Y) "
        f"{information} of {_most(runs, clean['setting']):.2f} bit possible, H(E|Y) "
        f"{value(methods, clean['setting'], 'conditional_entropy', confidence)} bit.**",
        f"Both were chosen on {val_n:,} validation images by the mean over {count(seeds, 'seed')}, among "
        f"{count(len(settings_of(runs)), 'method')}; the test images were looked at once.",
    ]
    others = [name for name in best["equal"].split(", ") if name]
    if others:
        told = ", ".join(f"`{name}`" for name in others)
        lines.append(f"Test cannot tell its error from that of {told}: there is no evidence of a difference.")
    elif len(settings_of(runs)) > 1:
        lines.append("Test tells its error from that of every other method.")
    if cheap["setting"] != best["setting"]:
        lines.append(
            f"The cheapest method that validation cannot tell from it is `{cheap['setting']}`: error {percent(cheap['error'])} at "
            f"{macs(cheap['macs'])} multiply-accumulates per image instead of {macs(best['macs'])}."
        )
    lines.append(_same_or_not(best, clean, tables["comparisons"]))
    return "\n\n".join([lines[0], " ".join(lines[1:])])


def _most(runs: pd.DataFrame, setting: str) -> float:
    mine = runs[(runs["setting"] == setting) & (runs["split"] == "test")]
    return float(mine["most_information"].iloc[0])


def _same_or_not(best: pd.Series, clean: pd.Series, comparisons: pd.DataFrame) -> str:
    if best["setting"] == clean["setting"]:
        return "The same method has the lowest error and the cleanest decomposition."
    row = _row(comparisons, "choice", best["setting"], clean["setting"])
    head = (
        "A clean decomposition is not a low error"
        if row["word"] == "loss"
        else "Nothing shows that the cleanest decomposition costs accuracy"
    )
    return f"{head}; against the method of the lowest error there is {row['sentence']}."


def _row(comparisons: pd.DataFrame, kind: str, first: str, second: str) -> pd.Series:
    return comparisons[(comparisons["kind"] == kind) & (comparisons["first"] == first) & (comparisons["second"] == second)].iloc[0]


def _against_controls(choice: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """Whether the chosen methods beat what is simpler."""
    settings: dict[str, list[str]] = {}
    for row in choice.itertuples():
        if row.role != "cheapest_equal":
            settings.setdefault(row.setting, []).append(ROLES[row.role])
    lines = []
    for setting, roles in settings.items():
        mine = comparisons[(comparisons["kind"] == "control") & (comparisons["second"] == setting)]
        lines += [
            f"- `{setting}` ({' and '.join(roles)}) against {CONTROLS[row['role']]} (`{row['first']}`): {row['sentence']}."
            for _, row in mine.iterrows()
        ]
    missing = [text for role, text in CONTROLS.items() if role not in set(comparisons.loc[comparisons["kind"] == "control", "role"])]
    if missing:
        lines.append(f"- Not compared, because the run has no such control: {'; '.join(missing)}.")
    return "## Against what is simpler\n\n" + "\n".join(lines)


def _collapsed(runs: pd.DataFrame) -> str:
    test = runs[(runs["split"] == "test") & (runs["experts"] > 1)]
    fallen = test[test["collapsed"].astype(bool)]
    if fallen.empty:
        return f"## Which runs collapsed\n\nNone of the {count(len(test), 'run')} collapsed."
    lines = [
        f"- `{row.setting}`, seed {row.seed}: usage entropy {row.usage_entropy:.2f} bit, "
        f"{row.silent} of {row.experts} experts answer under 1 % of the test images; error {percent(row.error)}."
        for row in fallen.itertuples()
    ]
    whole = [name for name, part in test.groupby("setting", sort=False)["collapsed"] if np.asarray(part, bool).all()]
    every = f" Collapsed in every run: {', '.join(f'`{name}`' for name in whole)}." if whole else ""
    return f"## Which runs collapsed\n\n**{len(fallen)} of {count(len(test), 'run')} collapsed.**{every}\n\n" + "\n".join(lines)
