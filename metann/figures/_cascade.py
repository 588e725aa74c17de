"""What the figures of cascades share: words for the chosen cascade, the facts of the footnote, and names of networks."""

import pandas as pd

from metann.figures._style import seeds_text

SCORES = {"max_probability": "largest probability", "difference": "difference of the top two", "entropy": "entropy (normalised)"}


def short(name: str) -> str:
    """A network's name; a long one loses its middle."""
    return name if len(name) <= 22 else f"{name[:10]}…{name[-11:]}"


def chosen_pair(choice: pd.DataFrame) -> str:
    """'a > b'."""
    return f"{short(choice['first'].iloc[0])} > {short(choice['second'].iloc[0])}"


def score_name(score: str) -> str:
    """A score function in words."""
    return SCORES.get(score, score.replace("_", " "))


def cascade_facts(choice: pd.DataFrame) -> str:
    """'cifar10, n = 5,000 test images, seed 0': the beginning of every footnote."""
    dataset = choice.attrs.get("dataset")
    return f"{f'{dataset}, ' if dataset else ''}n = {int(choice['n'].iloc[0]):,} test images, {seeds_text(choice['seed'].tolist())}"
