"""What the figures of mixtures share: the order of the methods, the facts of the footnote, marks for collapsed runs, and the best run."""

import pandas as pd

from metann.figures._style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, confidence_of

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
MOST_COLUMNS = 8
"""Seeds side by side in figures of small multiples; the footnote says when there are more."""


def short(name: str, length: int = 30) -> str:
    """A method's name; a long one loses its middle."""
    return name if len(name) <= length else f"{name[: length // 2]}…{name[-(length // 2 - 1) :]}"


def mixtures_in_order(runs: pd.DataFrame) -> list[str]:
    """Settings of more than one expert, the lowest mean error on validation first."""
    val = runs[(runs["split"] == "val") & (runs["experts"] > 1)]
    return list(val.groupby("setting", sort=False)["error"].mean().sort_values(kind="stable").index)


def marks(names: list[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each method, together different."""
    return {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def mixture_facts(runs: pd.DataFrame) -> str:
    """'fashion_mnist_small, n = 10,000 test images, seeds 0, 1, 2': the beginning of every footnote."""
    n, seeds = int(runs.loc[runs["split"] == "test", "n"].iloc[0]), sorted(runs["seed"].unique())
    dataset = runs.attrs.get("dataset")
    told = ", ".join(map(str, seeds)) if len(seeds) <= 6 else f"{len(seeds)} ({seeds[0]} to {seeds[-1]})"
    return f"{f'{dataset}, ' if dataset else ''}n = {n:,} test images, seed{'s' if len(seeds) > 1 else ''} {told}"


def interval_text(runs: pd.DataFrame) -> str:
    """What bars show."""
    if runs["seed"].nunique() == 1:
        return "one seed knows no interval"
    return f"bars: {100 * confidence_of(runs):g} % t intervals of the mean over seeds"


def chosen_setting(choice: pd.DataFrame, role: str) -> str:
    """The setting that validation chose for a role."""
    return str(choice.loc[choice["role"] == role, "setting"].iloc[0])


def class_labels(frame: pd.DataFrame, length: int = 14) -> list[str]:
    """Class names of a table, shortened."""
    return [short(str(name), length) for name in frame.attrs.get("class_names") or range(int(frame["class"].max()) + 1)]


def shown_seeds(runs: pd.DataFrame) -> tuple[list[int], str]:
    """(the seeds that have room side by side, a sentence about the others)."""
    seeds = sorted(int(seed) for seed in runs["seed"].unique())
    rest = len(seeds) - MOST_COLUMNS
    return seeds[:MOST_COLUMNS], f" Seeds {seeds[0]} to {seeds[MOST_COLUMNS - 1]} of {len(seeds)}." if rest > 0 else ""


def collapsed_runs(runs: pd.DataFrame) -> set[tuple[str, int]]:
    """(setting, seed) of the runs that collapsed on test."""
    test = runs[(runs["split"] == "test") & runs["collapsed"].astype(bool)]
    return set(zip(test["setting"], test["seed"].astype(int), strict=True))
