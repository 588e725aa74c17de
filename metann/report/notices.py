"""What a reader of a run's results has to know first: what was left out, assumed, doubled or no better than chance. Pure: no files."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from metann.report.text import count, seed_text
from metann.tables.notices import is_chance
from metann.tables.samples import Samples


def image_notices(skipped: Mapping[str, int], sentences: Iterable[str]) -> list[str]:
    """Of the prepared images: how many files were left out for which reason, then what was assumed and found."""
    return [*(f"images: {number} left out: {reason}" for reason, number in skipped.items()), *(f"images: {text}" for text in sentences)]


def network_notices(tables: Iterable[Samples]) -> list[str]:
    """Of plain networks; what several seeds say alike stands once."""
    said: dict[tuple[str, str], list[Any]] = {}
    for table in tables:
        for sentence in (*table.metadata.get("assumed", ()), *table.metadata.get("notices", ())):
            said.setdefault((table.network, sentence), []).append(table.metadata.get("seed"))
    return [f"network {name}, {_seeds(seeds)}: {sentence}" for (name, sentence), seeds in said.items()]


def _seeds(seeds: list[Any]) -> str:
    if len(seeds) == 1 or None in seeds:
        return seed_text(seeds[0])
    return f"seeds {', '.join(map(str, sorted(seeds)))}"


def chance_notices(results: pd.DataFrame, classes: Mapping[str, int]) -> list[str]:
    """Families with settings that are no better than guessing on test images; plain networks say so themselves.

    Args:
        results: of `metann.report.overview.meet`.
        classes: family -> number of classes.
    """
    said = []
    for family, k in classes.items():
        tried = results[(results["family"] == family) & (results["split"] == "test") & results["role"].isin(["setting", "control"])]
        bad = tried[[is_chance(row.accuracy, int(row.n), k) for row in tried.itertuples()]]
        if bad.empty:
            continue
        worst = bad.loc[bad["accuracy"].idxmin()]
        chosen = ", the chosen one among them" if bad["chosen"].any() else ""
        seed = "" if worst["seed"] < 0 else f", seed {worst['seed']}"
        said.append(
            f"{family}: {len(bad)} of {count(len(tried), 'setting')} and seeds are at chance on test images ({1 / k:.4f} for {k} "
            f"classes){chosen}, such as {worst['setting']}{seed} with {np.round(worst['accuracy'], 4):.4f}; likely causes: too short a "
            "training, a learning rate that does not fit, or networks below it that are at chance themselves"
        )
    return said
