"""Which cell (dataset threshold and switch function) is used, chosen on validation images, and what it does on test images.

The test images take no part in the choice; the best of all test cells is computed too, but as exploratory: it is the largest of
many noisy numbers, and carries the permutation p of a maximum.

Shapes: N images, C cells.
"""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from metann.config.statistics import StatisticsSection
from metann.mnn.prefix import Prefix
from metann.mnn.setting import function_of, functions_of
from metann.statistics.intervals import wilson_interval
from metann.statistics.paired import compare_counts, gain_with_error
from metann.statistics.permutation import maximum_permutation_p
from metann.thresholds import format_threshold

# scope: 'chosen' from all cells, 'chosen_threshold' from those of the published switch function, 'cheapest' of those that validation
# cannot tell from the chosen one, 'best_on_test' exploratory.
SCOPES = ("chosen", "chosen_threshold", "cheapest", "best_on_test")
CELL = ["seed", "dataset_threshold", "switch_function", "parameter"]


def best(cells: pd.DataFrame) -> pd.Series | None:
    """The row with the most images right; of equals the one with the fewest experts, then the first by threshold and name.

    Args:
        cells: rows of results.parquet, of one seed and one split.
    """
    order = cells.sort_values(
        ["correct", "mean_experts", "dataset_threshold", "switch_function", "parameter"], ascending=[False, True, True, True, True]
    )
    return None if order.empty else order.iloc[0]


def cheapest(cells: pd.DataFrame, pick: pd.Series, prefixes: Sequence[Prefix]) -> pd.Series:
    """The cell of fewest experts that is within one standard error of the paired difference to `pick`; of equals the most right.

    Args:
        cells: rows of results.parquet, of one seed, on validation.
        pick: the best of them.
        prefixes: that seed's evaluations.
    """
    val = {prefix.metadata["dataset_threshold"]: prefix.select("val") for prefix in prefixes}

    def right(cell: pd.Series) -> np.ndarray:
        return val[cell["dataset_threshold"]].right(function_of(cell))

    best_N = right(pick)
    right_CN = np.stack([right(cell) for _, cell in cells.iterrows()])
    gain_C, error_C = gain_with_error(right_CN.shape[1], (right_CN & ~best_N).sum(axis=1), (~right_CN & best_N).sum(axis=1))
    order = cells[gain_C >= -error_C].sort_values(
        ["mean_experts", "correct", "dataset_threshold", "switch_function", "parameter"], ascending=[True, False, True, True, True]
    )
    return order.iloc[0]


def choose(results: pd.DataFrame, prefixes: Sequence[Prefix], statistics: StatisticsSection) -> pd.DataFrame:
    """One row for each seed and scope.

    Args:
        results: results.parquet, all seeds and both splits.
        prefixes: every evaluation, for the permutation p.
        statistics: confidence of the intervals, number of permutations.

    Returns:
        seed, scope, the cell; val_n, val_accuracy, val_gain; n, correct, accuracy, baseline_accuracy on test; gain with low and high
        (paired normal interval), fixed, broken, mcnemar_p; permutation_p (NaN unless 'best_on_test'); mean_experts, mean_macs and
        baseline_macs. Accuracies and gains are shares: 0.01 is one point.
    """
    rows = []
    for seed, of_seed in results.groupby("seed"):
        mine = [prefix for prefix in prefixes if prefix.metadata["seed"] == seed]
        val, test = (of_seed[of_seed["split"] == split] for split in ("val", "test"))
        picks = {
            "chosen": best(val),
            "chosen_threshold": best(val[val["switch_function"] == "threshold"]),
        }
        if picks["chosen"] is not None:
            picks["cheapest"] = cheapest(val, picks["chosen"], mine)
        picks["best_on_test"] = best(test)
        for scope, pick in picks.items():
            if pick is not None:
                row = _describe(pick, val, test, statistics)
                p = permutation_p(mine, statistics.permutations) if scope == "best_on_test" else np.nan
                rows.append({"seed": seed, "scope": scope} | row | {"permutation_p": p, "baseline_macs": float(mine[0].macs(0, 0))})
    return pd.DataFrame(rows)


def permutation_p(prefixes: Sequence[Prefix], permutations: int) -> float:
    """p of the best test cell of one seed: all its dataset thresholds and switch functions are the grid."""
    tests = [prefix.select("test") for prefix in prefixes]
    cells_NC = np.stack([test.right(function) for test in tests for function in functions_of(test)], axis=1)
    return maximum_permutation_p(tests[0].correct_NJ[:, 0], cells_NC, permutations)


def _describe(pick: pd.Series, val: pd.DataFrame, test: pd.DataFrame, statistics: StatisticsSection) -> dict[str, object]:
    on_val, on_test = (_row(cells, pick) for cells in (val, test))
    gain = compare_counts(on_test["n"], on_test["fixed"], on_test["broken"], statistics.confidence)
    return {
        **{name: pick[name] for name in (*CELL[1:], "test_threshold")},
        "val_n": on_val["n"],
        "val_accuracy": on_val["accuracy"],
        "val_gain": (on_val["correct"] - on_val["baseline_correct"]) / on_val["n"],
        **{name: on_test[name] for name in ("n", "correct", "accuracy")},
        "baseline_accuracy": on_test["baseline_correct"] / on_test["n"],
        "gain": gain.gain,
        "low": gain.low,
        "high": gain.high,
        **{name: on_test[name] for name in ("fixed", "broken", "mcnemar_p", "mean_experts", "mean_macs")},
    }


def _row(cells: pd.DataFrame, pick: pd.Series) -> pd.Series:
    same = np.logical_and.reduce([cells[name] == pick[name] for name in CELL])
    return cells[same].iloc[0]


def settings(results: pd.DataFrame, choice: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Every cell as a row of the table in which families meet, see `metann.report.overview.COLUMNS`: `chosen` on validation, and `cheapest`
    of those that validation cannot tell from it."""
    function = results["switch_function"] + np.where(results["parameter"] == "", "", "(" + results["parameter"] + ")")
    low, high = wilson_interval(results["correct"].to_numpy(), results["n"].to_numpy(), confidence)

    def picked(scope: str) -> np.ndarray:
        of_seed = choice[choice["scope"] == scope].set_index("seed")[CELL[1:]]
        return np.logical_and.reduce([results[name].to_numpy() == of_seed[name].reindex(results["seed"]).to_numpy() for name in CELL[1:]])

    return pd.DataFrame(
        {
            "family": "mnn",
            "setting": function + ", dataset threshold " + results["dataset_threshold"].map(format_threshold),
            "role": "setting",
            "seed": results["seed"],
            "split": results["split"],
            "n": results["n"],
            "correct": results["correct"],
            "accuracy": results["accuracy"],
            "low": low,
            "high": high,
            "macs": results["mean_macs"].astype(np.float64),
            "chosen": picked("chosen"),
            "cheapest": picked("cheapest"),
            "load": [
                json.dumps({"dataset_threshold": threshold, "switch_function": name})
                for threshold, name in zip(results["dataset_threshold"], function, strict=True)
            ],
        }
    )
