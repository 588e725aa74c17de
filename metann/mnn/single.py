"""One image in plain floats: whose experts it asks and what comes out, without arrays, whose calls would take longer than a small network.

K classes.
"""

from collections.abc import Mapping, Sequence
from math import exp, log, nextafter

from metann.function_call import SwitchFunction
from metann.mnn.combination import EQUAL, ZERO_LOG, Weights
from metann.mnn.evaluation import prefix_lengths


def active_classes(function: SwitchFunction, switch_K: Sequence[float]) -> list[int]:
    """`evaluation.prefix_mask` for one image.

    Args:
        function: a switch function.
        switch_K: probabilities of the switch.

    Returns:
        the active classes, in falling order of probability; of equal ones the lower class first.
    """
    length = _prefix_length(function, switch_K)
    return sorted(range(len(switch_K)), key=switch_K.__getitem__, reverse=True)[:length] if length else []  # a stable sort


def _prefix_length(function: SwitchFunction, switch_K: Sequence[float]) -> int:
    parameters = function.parameters
    match function.name:
        case "threshold" | "contested":
            reached = sum(p >= parameters[0] for p in switch_K)
            return reached if reached >= 2 or function.name == "threshold" else 0
        case "unsure":
            return int(max(switch_K) < parameters[0])
        case "none":
            return 0
    return int(prefix_lengths(function.name, parameters, [switch_K])[0])


def combine_one(
    switch_K: Sequence[float], answers: Mapping[int, float], *, rule: str, added_K: Sequence[float], weights: Weights = EQUAL
) -> list[float]:
    """`combination.combine_answers` for one image; nothing is checked.

    Args:
        switch_K: probabilities of the switch.
        answers: what the asked experts say, by class.
        rule: one of `combination.RULES`.
        added_K: of `combination.log_odds_added`.
        weights: of switch and experts.

    Returns:
        K probabilities that sum to 1.
    """
    of_switch, of_expert = weights
    score_K = [of_switch * (log(p) if p > 0 else ZERO_LOG) for p in switch_K]
    for c, expert in answers.items():
        yes = log(expert) if expert > 0 else ZERO_LOG
        if rule == "replace":
            score_K[c] = yes
        else:
            score_K[c] += of_expert * (yes - (log(1 - expert) if expert < 1 else ZERO_LOG) + added_K[c])
    return _normalised(score_K)


def combine_one_vector(switch_K: Sequence[float], answers: Sequence[Sequence[float]], *, rule: str, weights: Weights) -> list[float]:
    """`vectors.combine_vectors` for one image; nothing is checked.

    Args:
        switch_K: probabilities of the switch.
        answers: K probabilities of each expert that was asked.
        rule, weights: as in `combine_one`.

    Returns:
        K probabilities that sum to 1.
    """
    of_switch = 1.0 if not answers else 0.0 if rule == "replace" else weights[0]
    score_K = [of_switch * (log(p) if p > 0 else ZERO_LOG) for p in switch_K]
    for answer_K in answers:
        score_K = [score + weights[1] * (log(p) if p > 0 else ZERO_LOG) for score, p in zip(score_K, answer_K, strict=True)]
    return _normalised(score_K)


def _normalised(score_K: Sequence[float]) -> list[float]:
    """`combination.probabilities_of` for one image."""
    top = max(score_K)
    p_K = [exp(score - top) for score in score_K]
    total = sum(p_K)
    p_K = [p / total for p in p_K]
    best = score_K.index(top)
    if p_K.index(max(p_K)) != best:
        p_K[best] = nextafter(max(p_K), 1)
    return p_K
