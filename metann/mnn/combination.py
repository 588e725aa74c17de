"""How the answers of switch and experts become one prediction, for one set of active classes; for all prefixes: `prefix_table`.

Shapes: N images, K classes, J = K + 1 prefixes. S = switch_NK, E = expert_NK (column c: expert c says 'this is class c').

The report (Doerr and Zuev, 'Meta Neural Networks') multiplies S by a vector v_c for every active class c; v_c holds E_c at c
and (1 - E_c) / (K - 1) at every other class. All v_c share their factor except at c itself, so it cancels:

    score_k = log S_k + [k active] * (logit E_k + log(K - 1)),    probabilities = softmax(score),    prediction = argmax score

Rules (`rule`), each a score of class k that depends on the other classes in nothing, so that all have prefix tables:
    product             as above. An expert at E = 1/K changes nothing.
    product_calibrated  a log S_k + b (logit E_k - logit prior_k). prior_k is the share of class k among the images that expert k
                        is asked about (`calibration.base_rates`): the expert at its base rate, not at 1/K, changes nothing, which
                        with weights a = b = 1 is Bayes' rule for experts independent of the switch. The weights are fitted
                        (`calibration.fit_weights`), because they are not. prior_k = 1/K and a = b = 1 is `product`.
    replace             active classes take E_k in place of S_k (score log E_k); among them only the experts' log-odds rank.
All three are the switch itself when no class is active.

Exact zeros. A probability of exactly 0 (or 1 - E = 0) stands for one and the same e^-10000: where the report's product is not
zero for every class the result equals it; where it is (two experts say 1; S_c = 0 but E_c = 1; every active expert says 0)
this is the limit for all zeros shrinking together, that is, first the fewest zeros decide, then the other factors.
The log of the least positive float64 is -745, so no product of positive factors comes near.

Ties go to the class with the lower index, in predictions as in the order of a prefix.
"""

from typing import Any

import numpy as np

from metann.errors import MetannError, unknown
from metann.mnn import checks

RULES = ("product", "product_calibrated", "replace")
ZERO_LOG = -1e4
Weights = tuple[float, float]
"""a of the switch and b of the experts, both 1 but for `product_calibrated`."""
EQUAL: Weights = (1.0, 1.0)


def combine(
    switch_NK: Any, expert_NK: Any, active_NK: Any, *, rule: str = "product", prior_K: Any = None, weights: Weights = EQUAL
) -> np.ndarray:
    """Probabilities of the meta network: softmax of the scores in the module's docstring.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        expert_NK: (N, K), column c is expert c's probability of its class; read only where active, but never NaN.
        active_NK: (N, K) bool, which experts are asked; any set, not only a prefix.
        rule: one of `RULES`.
        prior_K: (K,) base rates in (0, 1), for `product_calibrated` only.
        weights: a and b, for `product_calibrated` only.

    Returns:
        (N, K) float64, rows sum to 1; the largest is the class of the largest score, as in `prefix_predictions`.

    Raises:
        MetannError: shapes that differ, NaN, values outside [0, 1], unknown rule, missing or unused prior_K.
    """
    switch_NK, expert_NK = checked_tables(switch_NK, expert_NK)
    added_K = log_odds_added(rule, prior_K, switch_NK.shape[1])
    active_NK = np.asarray(active_NK)
    if active_NK.dtype != bool or active_NK.shape != switch_NK.shape:
        raise MetannError(f"active_NK is {active_NK.dtype} of shape {active_NK.shape}; needed: bool of shape {switch_NK.shape}")
    image_M, class_M = np.nonzero(active_NK)
    return combine_answers(switch_NK, image_M, class_M, expert_NK[image_M, class_M], rule=rule, added_K=added_K, weights=weights)


def combine_answers(
    switch_NK: np.ndarray,
    image_M: np.ndarray,
    class_M: np.ndarray,
    expert_M: np.ndarray,
    *,
    rule: str,
    added_K: np.ndarray,
    weights: Weights = EQUAL,
) -> np.ndarray:
    """`combine` for experts that were asked one by one: M answers, of expert class_M[m] about image image_M[m].

    Nothing is checked, because this runs once per batch beside networks that take microseconds.

    Args:
        switch_NK: (N, K) float64 probabilities of the switch.
        image_M, class_M: (M,) whole numbers; no pair twice.
        expert_M: (M,) float64 probabilities.
        rule: one of `RULES`.
        added_K: (K,) of `log_odds_added`.
        weights: a and b.

    Returns:
        (N, K) float64, rows sum to 1.
    """
    score_NK = weights[0] * logarithms(switch_NK)
    score_NK[image_M, class_M] = active_score(score_NK[image_M, class_M], expert_M, rule, added_K[class_M], weights[1])
    return probabilities_of(score_NK)


def probabilities_of(score_NK: np.ndarray) -> np.ndarray:
    """Softmax of scores, row by row, whose largest entry is the class of the largest score.

    Two scores less than 2e-16 apart may round to one probability; then the lower class would win where a prefix table has the better.

    Args:
        score_NK: (N, K) finite float64; overwritten.

    Returns:
        (N, K) float64, rows sum to 1.
    """
    best_N = score_NK.argmax(axis=1)
    score_NK -= score_NK.max(axis=1, keepdims=True)
    p_NK = np.exp(score_NK, out=score_NK)
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    lost_M = np.flatnonzero(p_NK.argmax(axis=1) != best_N)
    if len(lost_M):
        p_NK[lost_M, best_N[lost_M]] = np.nextafter(p_NK[lost_M].max(axis=1), 1)
    return p_NK


def log_odds_added(rule: str, prior_K: Any, classes: int) -> np.ndarray:
    """(K,) what a rule adds to the experts' log-odds: the negative log-odds at which an expert changes nothing.

    Raises:
        MetannError: unknown rule, missing or unused prior_K, or base rates that are none.
    """
    if rule not in RULES:
        raise unknown("combination rule", rule, RULES)
    if (prior_K is not None) != (rule == "product_calibrated"):
        raise MetannError(f"rule {rule!r} {'needs' if prior_K is None else 'takes no'} prior_K; product_calibrated alone uses base rates")
    return np.full(classes, np.log(classes - 1)) if prior_K is None else -_logit_of_prior(prior_K, classes)


def checked_tables(switch_NK: Any, expert_NK: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of switch and experts as two (N, K) float64.

    Raises:
        MetannError: shapes that differ, NaN, or values outside [0, 1].
    """
    switch_NK = checks.probability_table("switch_NK", switch_NK)
    return switch_NK, checks.probability_table("expert_NK", expert_NK, switch_NK.shape)


def active_score(without: np.ndarray, expert: np.ndarray, rule: str, added: np.ndarray, weight: float) -> np.ndarray:
    """Score of active classes by their score when not active and their expert's answer, element by element."""
    if rule == "replace":
        return logarithms(expert)
    return without + weight * (logarithms(expert) - logarithms(1 - expert) + added)


def logarithms(p: np.ndarray) -> np.ndarray:
    """log p, and `ZERO_LOG` of exactly 0."""
    return np.log(p, out=np.full(p.shape, ZERO_LOG), where=p > 0)


def _logit_of_prior(prior_K: Any, classes: int) -> np.ndarray:
    prior_K = np.asarray(prior_K, np.float64)
    if prior_K.shape != (classes,) or not ((prior_K > 0) & (prior_K < 1)).all():
        raise MetannError(f"prior_K has shape {prior_K.shape}; needed: ({classes},) base rates between 0 and 1, both excluded")
    return np.log(prior_K) - np.log1p(-prior_K)
