"""One image in plain floats: `combine` without arrays, whose calls would take longer than a small network. K classes."""

from collections.abc import Mapping, Sequence
from math import exp, log

from metann.mnn.combination import ZERO_LOG


def combine_one(switch_K: Sequence[float], answers: Mapping[int, float], *, rule: str, added_K: Sequence[float]) -> list[float]:
    """`combination.combine_answers` for one image; nothing is checked.

    Args:
        switch_K: probabilities of the switch.
        answers: what the asked experts say, by class.
        rule: one of `combination.RULES`.
        added_K: of `combination.log_odds_added`.

    Returns:
        K probabilities that sum to 1.
    """
    score_K = [log(p) if p > 0 else ZERO_LOG for p in switch_K]
    for c, expert in answers.items():
        yes = log(expert) if expert > 0 else ZERO_LOG
        if rule == "replace":
            score_K[c] = yes
        else:
            score_K[c] += yes - (log(1 - expert) if expert < 1 else ZERO_LOG) + added_K[c]
    top = max(score_K)
    p_K = [exp(score - top) for score in score_K]
    total = sum(p_K)
    return [p / total for p in p_K]
