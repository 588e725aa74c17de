"""summary.md: what came out, in words and small tables, from the tables of a run alone.

Accuracies and gains are shares in the tables and are written in percent and points here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.figures._captions import caption
from metann.mnn.setting import function_of
from metann.mnn.summary_tables import controls_section, counted, expert_sets_section, mistakes_section
from metann.mnn.verdicts import paying, self_check_section, specialisation
from metann.report.text import count, interval, markdown_table, p_value, percent, points, thresholds_text, times
from metann.thresholds import format_threshold

_WORDS = """\
- **switch**: an ordinary classifier. Alone, it is the baseline.
- **expert**: one network per class, trained to say whether an image is of that class, on the training images for which the switch gives \
the class at least the **dataset threshold**.
- **active**: a class is active for an image when its expert is asked. The **switch function** decides: `threshold(0.17)` asks for every \
class with probability 0.17 or more (the **test threshold**; 0 asks every expert, above the top probability none), `top_k(2)` for the two \
most probable, `top_p(0.90)` for the fewest that sum to 0.90, `margin(0.20)` for those within 0.20 of the best, `only_if_unsure(0.50, 2)` \
for two when the top probability is below 0.50, `contested(0.25)` for those of 0.25 or more where they are two or more, `unsure(0.80)` \
for the most probable one when it is below 0.80.
- **setting**: a dataset threshold with a switch function.
- **fixed, broken**: images that are wrong with the switch alone and right with the experts, and the reverse. \
Gain = (fixed - broken) / images.
- **McNemar p**: how often images that differ would be split so unevenly by a fair coin.
- **oracle**: knows the true class and asks for just as many experts as help; a ceiling, not a method. **Random prefix**: the same numbers \
of experts, dealt to the images at random.
- **second, generic**: one other network for all classes in place of the experts: another seed of the switch, or one expert for all. It \
is asked where the switch is unsure, and both answers are multiplied. **Specialisation** is what experts gain over these; they **pay** if \
they beat plain networks of the same training and of the same cost.
- **MACs**: multiply-accumulates per image, of all networks that run."""


def summarise(tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any], figures: Sequence[str] = ()) -> str:
    """The whole text.

    Args:
        tables: 'results', 'choice', 'controls', 'expert_sets', 'self_check' and 'misclassified' as collect_results writes them.
        metadata: run, dataset, class_names, seeds, network, architecture, combine, temperature, confidence, permutations.
        figures: names of the figures to link to.
    """
    choice = tables["choice"]
    chosen = choice[choice["scope"] == "chosen"]
    parts = [
        f"# {metadata['run']}: does a meta neural network pay on {metadata.get('dataset') or 'these images'}?",
        answer(chosen, metadata["confidence"]),
        *_compared(tables["controls"], metadata),
        "## What was done",
        _what_was_done(tables["results"], metadata),
        "## The chosen setting",
        _chosen(chosen, choice, metadata),
        "## At the same cost",
        controls_section(tables["controls"], chosen, metadata["confidence"]),
        "## The best setting on test (exploratory)",
        _exploratory(choice, tables["results"], metadata),
        "## The images that the switch gets wrong",
        mistakes_section(tables["misclassified"], chosen),
        "## Each expert on its own question",
        self_check_section(tables["self_check"], chosen),
        "## What the experts learned from",
        expert_sets_section(tables["expert_sets"], chosen, metadata),
    ]
    if figures:
        parts += ["## Figures", "\n".join(f"- [{name}](figures/{name}.png): {_first_sentence(caption(name))}" for name in figures)]
    parts += ["## Words", _WORDS]
    return "\n\n".join(part for part in parts if part) + "\n"


def answer(chosen: pd.DataFrame, confidence: float) -> str:
    """One paragraph that begins with 'Evidence of a gain', 'No evidence of a gain' or 'Evidence of a loss' (`statistics.verdict`).

    Args:
        chosen: the 'chosen' rows of the choice, one for each seed.
    """
    found = counted(chosen, confidence)
    accuracy, baseline, cost = (chosen[name].mean() for name in ("accuracy", "baseline_accuracy", "mean_experts"))
    ratio = (chosen["mean_macs"] / chosen["baseline_macs"]).mean()
    text = (
        f"**{found.head} against the switch alone.** With the setting that validation chose, the meta network classifies "
        f"{percent(accuracy)} of {int(chosen['n'].iloc[0]):,} test images rightly and its switch alone {percent(baseline)}: "
        f"{found.numbers}. It asks {cost:.2f} experts per image"
    )
    text += f" and costs {times(ratio)} the multiply-accumulates of the switch." if np.isfinite(ratio) else "."
    if (chosen["switch_function"] == "none").all():
        text += " Validation preferred the switch without experts."
    return text


def _compared(controls: pd.DataFrame, metadata: Mapping[str, Any]) -> list[str]:
    """Specialisation first, then paying."""
    confidence = metadata["confidence"]
    return [specialisation(controls, confidence), paying(controls, confidence, metadata.get("longer"))]


def _what_was_done(results: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    classes, thresholds = len(metadata["class_names"]), sorted(results["dataset_threshold"].unique())
    n = results.groupby("split")["n"].first()
    settings = len(results[["dataset_threshold", "switch_function", "parameter"]].drop_duplicates())
    seeds = ", ".join(map(str, metadata["seeds"]))
    lines = [
        f"- A switch (`{metadata.get('architecture') or metadata.get('network') or 'given as a table'}`) learned the {classes} classes.",
        f"- For {count(len(thresholds), 'dataset threshold')} ({thresholds_text(thresholds)}), {classes} experts, one per class, learned "
        f"{_lesson(metadata)} on the training images for which the switch found their class likely enough.",
        f"- {settings:,} settings were tried on {n['val']:,} validation images. The one with the most images right, of equals the "
        f"cheapest, was then read off once on {n['test']:,} test images. No test image took part in the choice.",
        f"- Seeds: {seeds}. Answers are combined by `{metadata.get('combine')}`, temperature `{metadata.get('temperature')}`.",
    ]
    return "\n".join(lines)


def _lesson(metadata: Mapping[str, Any]) -> str:
    return "which class an image is of, beside the switch," if metadata.get("for_all_classes") else "to say yes or no"


def _chosen(chosen: pd.DataFrame, choice: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    confidence = metadata["confidence"]
    header = ["seed", "dataset threshold", "switch function", "gain on val", "test accuracy", "switch alone", "gain on test (points)"]
    header += ["interval", "fixed", "broken", "McNemar p", "experts per image", "cost"]
    rows = [_choice_row(row) for _, row in chosen.iterrows()]
    if len(chosen) > 1:
        found = counted(chosen, confidence)
        mean = chosen.mean(numeric_only=True)
        ratio = (chosen["mean_macs"] / chosen["baseline_macs"]).mean()
        numbers = [points(mean["val_gain"]), percent(mean["accuracy"]), percent(mean["baseline_accuracy"]), points(found.gain)]
        numbers += [f"{points(found.low)} to {points(found.high)}", "", "", "", f"{mean['mean_experts']:.2f}", times(ratio)]
        rows.append(["mean", "", "", *numbers])
    text = markdown_table(header, rows)
    text += (
        f"\n\nIntervals: {100 * confidence:g} %, paired{', over seeds (Student t) in the last row' if len(chosen) > 1 else ''}. "
        "The gain on validation is the largest of many noisy numbers and so too good to be true; the gain on test is the report."
    )
    text += _cheapest(chosen, choice, confidence)
    published = choice[choice["scope"] == "chosen_threshold"]
    if len(published) and not (chosen["switch_function"] == "threshold").all():
        found = counted(published, confidence)
        which = sorted(
            {
                f"`threshold({row.parameter})` with dataset threshold {format_threshold(row.dataset_threshold)}"
                for row in published.itertuples()
            }
        )
        text += (
            f" Among thresholds alone, the published switch function, validation chose {', '.join(which)}: "
            f"{points(found.gain)} points on test ({interval(found.low, found.high, confidence)})."
        )
    return text


def _cheapest(chosen: pd.DataFrame, choice: pd.DataFrame, confidence: float) -> str:
    """The cheapest setting that validation cannot tell from the chosen one; the page says so where it is that one."""
    rows = choice[choice["scope"] == "cheapest"]
    if rows.empty:
        return ""
    cell = ["seed", "dataset_threshold", "switch_function", "parameter"]
    if rows[cell].reset_index(drop=True).equals(chosen[cell].reset_index(drop=True)):
        return "\n\nNo cheaper setting is within one standard error of it on validation."
    which = " / ".join(
        dict.fromkeys(
            f"`{function_of(row)}` with dataset threshold {format_threshold(row['dataset_threshold'])}" for _, row in rows.iterrows()
        )
    )
    found = counted(rows, confidence)
    ratio, before = ((part["mean_macs"] / part["baseline_macs"]).mean() for part in (rows, chosen))
    return (
        f"\n\n**The cheapest setting that validation cannot tell from it** (within one standard error of the paired difference): {which}:"
        f" {percent(rows['accuracy'].mean())} on test, {points(found.gain)} points to the switch alone"
        f" ({interval(found.low, found.high, confidence)}), with {rows['mean_experts'].mean():.2f} experts per image instead of"
        f" {chosen['mean_experts'].mean():.2f}"
        + (f", at {times(ratio)} the cost of the switch instead of {times(before)}." if np.isfinite(ratio) else ".")
    )


def _choice_row(row: pd.Series) -> list[str]:
    function = row["switch_function"] + (f"({row['parameter']})" if row["parameter"] else "")
    cells = [
        str(row["seed"]),
        format_threshold(row["dataset_threshold"]),
        f"`{function}`",
        points(row["val_gain"]),
        percent(row["accuracy"]),
    ]
    cells += [percent(row["baseline_accuracy"]), points(row["gain"]), f"{points(row['low'])} to {points(row['high'])}"]
    cells += [str(row["fixed"]), str(row["broken"]), p_value(row["mcnemar_p"], bare=True), f"{row['mean_experts']:.2f}"]
    return [*cells, times(row["mean_macs"] / row["baseline_macs"])]


def _exploratory(choice: pd.DataFrame, results: pd.DataFrame, metadata: Mapping[str, Any]) -> str:
    best = choice[choice["scope"] == "best_on_test"]
    settings = len(results[["dataset_threshold", "switch_function", "parameter"]].drop_duplicates())
    rows = []
    for _, row in best.iterrows():
        full = _choice_row(row)
        rows.append([*full[:3], full[4], full[6], full[11], p_value(row["permutation_p"], bare=True)])
    header = ["seed", "dataset threshold", "switch function", "test accuracy", "gain on test (points)", "experts per image"]
    text = markdown_table([*header, "permutation p of the maximum"], rows)
    return (
        f"{text}\n\nThis setting was found by looking at the test images, the best of {settings:,}; its gain is too good to be true and "
        "is no result. The p says how often the best of so many settings would look as good if none differed from the switch "
        f"({metadata['permutations']:,} permutations)."
    )


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".") + "."
