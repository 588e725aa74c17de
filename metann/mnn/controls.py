"""What the chosen cell has to be compared with: the oracle, chance, and plain networks that cost as much.

Shapes: N images, K classes, J = K + 1 prefixes, T thresholds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metann.mnn.bounds import oracle_curve, oracle_prefix, random_prefix
from metann.mnn.evaluation import lengths_at
from metann.mnn.opinions import chosen_bound, opinion_at
from metann.mnn.prefix import GRID, Prefix, curve
from metann.mnn.setting import function_of
from metann.statistics.intervals import normal_quantile, wilson_interval
from metann.statistics.paired import compare_paired, gain_with_error
from metann.tables.samples import Probabilities
from metann.tables.together import together

_NO_TEST = {"gain": np.nan, "low": np.nan, "high": np.nan, "fixed": np.nan, "broken": np.nan, "mcnemar_p": np.nan}
_NO_TEST |= {"bound": np.nan}
GENERIC = "generic"


def at_chosen_cell(
    prefix: Prefix, choice: pd.Series, networks: Sequence[Probabilities], opinions: Sequence[Probabilities], confidence: float
) -> list[dict[str, object]]:
    """Controls of one seed, on test images.

    Args:
        prefix: the chosen dataset threshold's evaluation.
        choice: that seed's 'chosen' row.
        networks: plain networks of the seed, on these test images.
        opinions: networks of the seed that are asked when the switch is unsure, on its validation and test images.
        confidence: of the intervals.

    Returns:
        Rows with seed, control, kind (baseline, oracle, chance, second, generic or network), accuracy with its Wilson interval (NaN
        where it is no count of images), mean_experts, mean_macs; for networks and opinions also gain (chosen cell minus control), low,
        high, fixed (right in the chosen cell, wrong in the control), broken and mcnemar_p; for chance gain, low and high over
        permutations; for opinions bound, below which top probability they are asked, as validation chose it.

    Raises:
        MetannError: a network's table does not hold these images, or two are of one network.
    """
    test = prefix.select("test")
    right_N, lengths_N = test.right(function_of(choice)), test.lengths(function_of(choice))
    n, mnn = len(test), float(right_N.mean())
    ceiling, budget, chance = (
        oracle_prefix(test.correct_NJ),
        oracle_prefix(test.correct_NJ, float(lengths_N.mean())),
        random_prefix(test.correct_NJ, lengths_N),
    )
    z = normal_quantile(confidence)
    same, free = (test.macs(found.mean_experts, np.mean(found.lengths_N > 0)) for found in (budget, ceiling))
    spent = test.macs(chance.mean_experts, np.mean(lengths_N > 0))
    rows = [
        _row("switch alone", "baseline", test.correct_NJ[:, 0].mean(), 0.0, test.macs(0.0, 0.0), n, confidence),
        _row("oracle, same budget", "oracle", budget.accuracy, budget.mean_experts, same, n, confidence),
        _row("oracle, any cost", "oracle", ceiling.accuracy, ceiling.mean_experts, free, n, confidence),
        _row("random prefix, same budget", "chance", chance.accuracy, chance.mean_experts, spent, None, confidence)
        | {"gain": mnn - chance.accuracy, "low": mnn - chance.accuracy - z * chance.standard_error}
        | {"high": mnn - chance.accuracy + z * chance.standard_error},
    ]
    for name, table in together(opinions, prefix.samples).items():
        val = prefix.split == "val"
        bound = chosen_bound(prefix.switch_NK[val], table.p_NK[val], prefix.label[val])
        found = opinion_at(bound, test.switch_NK, table.p_NK[prefix.split == "test"], test.label)
        asked = float(found.asked_N.mean())
        cost = np.nan if table.metadata.get("macs") is None else table.metadata["macs"] + table.metadata.get("trunk_macs", 0)
        kind = "generic" if name == GENERIC else "second"
        row = _row(name, kind, found.right_N.mean(), asked, test.macs(0.0, 0.0) + asked * cost, n, confidence)
        rows.append(row | _paired(found.right_N, right_N, confidence) | {"bound": bound})
    for name, network in together(networks, test.samples).items():
        network_N = network.p_NK.argmax(axis=1) == test.label
        row = _row(name, "network", network_N.mean(), np.nan, network.metadata.get("macs") or np.nan, n, confidence)
        rows.append(row | _paired(network_N, right_N, confidence))
    cell = {name: choice[name] for name in ("seed", "dataset_threshold", "switch_function", "parameter")}
    return [cell | {"n": n, "mnn_accuracy": mnn} | row for row in rows]


def _paired(control_N: np.ndarray, right_N: np.ndarray, confidence: float) -> dict[str, float]:
    paired = compare_paired(control_N, right_N, confidence)
    counts = {"fixed": float(paired.fixed), "broken": float(paired.broken), "mcnemar_p": paired.p}
    return {"gain": paired.gain, "low": paired.low, "high": paired.high} | counts


def _row(name: str, kind: str, accuracy: float, experts: float, macs: float, n: int | None, confidence: float) -> dict[str, object]:
    low, high = wilson_interval(round(accuracy * n), n, confidence) if n else (np.nan, np.nan)
    described = {"control": name, "kind": kind, "accuracy": float(accuracy), "accuracy_low": float(low), "accuracy_high": float(high)}
    return described | {"mean_experts": float(experts), "mean_macs": float(macs)} | _NO_TEST


def curves(test: Prefix, confidence: float) -> list[pd.DataFrame]:
    """The curves of one seed and dataset threshold on test images.

    Returns:
        Frames with seed, dataset_threshold, curve, threshold, accuracy, baseline_accuracy, gain, low, high, mean_experts, mean_macs.
        curve 'threshold': the exact accuracy over the test threshold, with the paired interval of its gain; 'random_prefix': the same
        numbers of experts dealt to the images at random; 'oracle': the best that any choice of prefixes buys for its cost.
    """
    counts = pd.DataFrame(curve(test))
    baseline = float(test.correct_NJ[:, 0].mean())
    gain, error = gain_with_error(counts["n"], counts["fixed"], counts["broken"])
    half = normal_quantile(confidence) * error
    exact = counts[["threshold", "accuracy", "mean_experts", "asked"]].assign(curve="threshold", gain=gain)
    exact = exact.assign(low=exact["gain"] - half, high=exact["gain"] + half)

    thresholds_T = GRID[np.linspace(0, len(GRID) - 1, 120).astype(int)]
    states_J = np.arange(test.correct_NJ.shape[1])
    lengths_TN = lengths_at(test.switch_NK, thresholds_T).T
    share_TJ = np.stack([np.bincount(lengths_N, minlength=len(states_J)) for lengths_N in lengths_TN]) / len(test)
    # The expectation of `random_prefix`: each length is as likely at every image.
    chance = {"threshold": thresholds_T, "accuracy": share_TJ @ test.correct_NJ.mean(axis=0), "mean_experts": share_TJ @ states_J}
    chance |= {"asked": 1 - share_TJ[:, 0]}
    oracle = oracle_curve(test.correct_NJ)
    best = {"threshold": np.nan, "accuracy": oracle.accuracy, "mean_experts": oracle.mean_experts}
    best |= {"asked": oracle.accuracy - oracle.accuracy[:1]}  # an image more that is right is an image more that is asked about
    frames = [exact, *(pd.DataFrame(part).assign(curve=name) for name, part in (("random_prefix", chance), ("oracle", best)))]
    return [_complete(frame, test, baseline) for frame in frames]


def _complete(frame: pd.DataFrame, test: Prefix, baseline: float) -> pd.DataFrame:
    described = frame.assign(
        seed=test.metadata["seed"],
        dataset_threshold=test.metadata["dataset_threshold"],
        baseline_accuracy=baseline,
        gain=frame["accuracy"] - baseline,
        mean_macs=test.macs(frame["mean_experts"], frame["asked"]),
    )
    for name in ("low", "high"):
        if name not in described:
            described[name] = np.nan
    return described[list(_CURVE_COLUMNS)]


_CURVE_COLUMNS = (
    "seed",
    "dataset_threshold",
    "curve",
    "threshold",
    "accuracy",
    "baseline_accuracy",
    "gain",
    "low",
    "high",
    "mean_experts",
    "mean_macs",
)
