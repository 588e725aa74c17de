"""The table in which the families of a run meet, and the page over them. Pure: no files.

One row for each setting, seed and split: family ('network' for plain networks), setting, role, seed, split, n, correct, accuracy with its
Wilson interval (low, high), macs (multiply-accumulates per image, NaN where unknown), whether validation chose it, and `load`: what
`metann.load` takes beside family and seed, as JSON; '' where there is no model to load.

Roles: 'setting' of a family; 'network', a plain one; 'control', a plain network that a family trained in its own way; 'bound', which looks
at the true class and is no method.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metann.report.frontier import sentences
from metann.report.text import count, escaped, macs, markdown_table, percent
from metann.statistics.intervals import over_seeds, wilson_interval
from metann.tables.probabilities import Probabilities

COLUMNS = ("family", "setting", "role", "seed", "split", "n", "correct", "accuracy", "low", "high", "macs", "chosen", "load")

SIDE_BY_SIDE = ("family", "setting", "test accuracy", "interval (%)", "seeds", "images", "MACs")


def network_rows(name: str, table: Probabilities, confidence: float) -> list[dict[str, Any]]:
    """A plain network on validation and test images."""
    rows = []
    for split in ("val", "test"):
        part = table.select(split)
        if not len(part):
            continue
        correct, n = int(np.count_nonzero(part.p_NK.argmax(axis=1) == part.label)), len(part)
        low, high = wilson_interval(correct, n, confidence)
        cost = table.metadata.get("macs")
        row = {"family": "network", "setting": name, "role": "network", "seed": table.metadata.get("seed"), "split": split, "n": n}
        row |= {"correct": correct, "accuracy": correct / n, "low": float(low), "high": float(high)}
        row |= {"macs": float("nan") if cost is None else float(cost), "chosen": False}
        rows.append(row | {"load": json.dumps({"network": name})})
    return rows


def meet(families: Sequence[pd.DataFrame], networks: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """All settings of all families and the plain networks, one table with `COLUMNS`."""
    parts = [frame[list(COLUMNS)] for frame in families]
    if networks:
        plain = pd.DataFrame(networks, columns=list(COLUMNS))
        plain["seed"] = plain["seed"].map(lambda seed: -1 if seed is None or seed != seed else int(seed))  # a table may have no seed
        parts.append(plain)
    found = pd.concat(parts, ignore_index=True)
    return found.astype({"seed": np.int64, "n": np.int64, "correct": np.int64, "chosen": bool})


def verdicts_of(page: str) -> list[str]:
    """The bold lines of a family's page before its first section: its answers, a sentence or two each."""
    head = page.split("\n## ", 1)[0]
    return [line for line in head.splitlines() if line.startswith("**")]


def summarise(
    run: str,
    results: pd.DataFrame,
    fronts: pd.DataFrame,
    pages: Mapping[str, str],
    confidence: float,
    notices: Sequence[str] = (),
    compared: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The page over a run's families, in Markdown.

    Args:
        run: its name.
        results: of `meet`.
        fronts: of `metann.report.frontier.frontiers`.
        pages: family -> the text of its page.
        confidence: of the intervals over seeds.
        notices: what was skipped or assumed, in sentences.
        compared: family -> the plain networks that its verdicts compare with already.
    """
    parts = [f"# {run}"]
    for family, text in pages.items():
        said = sentences(results, fronts, family, confidence, (compared or {}).get(family, ()))
        parts += [f"## [{family}]({family}.md)", *verdicts_of(text), *said]
    rows = [[family, f"`{setting}`", *rest] for family, setting, *rest in side_by_side(results, confidence)]
    parts += [
        f"## Side by side\n\n{markdown_table(SIDE_BY_SIDE, rows)}",
        f"{intervals_text(confidence)} All settings that were tried: `results.parquet`.",
        "## What was skipped or assumed\n\n" + ("\n".join(f"- {escaped(notice)}" for notice in notices) or "Nothing."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def intervals_text(confidence: float) -> str:
    """What the numbers side by side are."""
    return (
        f"Settings were chosen on validation images; the numbers are of test images. Intervals: {100 * confidence:g} %, over seeds "
        "(Student t), or Wilson's for one seed."
    )


def side_by_side(results: pd.DataFrame, confidence: float) -> list[list[str]]:
    """The chosen settings of every family and the plain networks on test images, a row of `SIDE_BY_SIDE` each."""
    test = results[(results["split"] == "test") & (results["chosen"] | (results["role"] == "network"))]
    rows = []
    chosen = test[test["role"] != "network"]
    for family in dict.fromkeys(chosen["family"]):
        mine = chosen[chosen["family"] == family]
        rows.append(_row(family, " / ".join(dict.fromkeys(mine["setting"])), mine, confidence))
    plain = test[test["role"] == "network"]
    rows += [_row("plain network", str(name), plain[plain["setting"] == name], confidence) for name in dict.fromkeys(plain["setting"])]
    return rows


def _row(family: str, setting: str, rows: pd.DataFrame, confidence: float) -> list[str]:
    seeds = rows["seed"].nunique()
    mean, low, high = over_seeds(rows["accuracy"], rows["low"], rows["high"], confidence)
    cost = rows["macs"].mean()
    return [
        family,
        setting,
        percent(mean),
        f"{100 * max(low, 0):.2f} to {100 * min(high, 1):.2f}",  # a t interval knows no ends
        count(seeds, "seed"),
        f"{int(rows['n'].iloc[0]):,}",
        macs(cost) if np.isfinite(cost) else "unknown",
    ]
