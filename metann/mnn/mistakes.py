"""The images that the switch gets wrong, counted by what its probabilities look like, and what the experts do about them.

Shapes: N images, K classes, T thresholds.
"""

import numpy as np
import pandas as pd

from metann.mnn.choice import function_of, functions_of
from metann.mnn.evaluation import evaluate_thresholds
from metann.mnn.misclassified import broken_images, misclassified_images
from metann.mnn.prefix import Prefix

EDGES = np.round(np.linspace(0, 1, 11), 1)
LAST_RANK = 6  # this rank and all below it are counted together


def count_mistakes(test: Prefix, choice: pd.Series) -> pd.DataFrame:
    """Counts at the chosen cell of one seed, on test images.

    Returns:
        One row per bin: seed, dataset_threshold, switch_function, parameter, `by` (top_probability, second_probability or rank), `low`
        and `high` (ends of the bin; the last bin of probabilities holds 1 too, ranks are whole numbers), `wrong` (images that the switch
        gets wrong), of these `active` (their true class is asked for), `recovered` (right with the experts) and `missed_active`
        (active, not recovered), and `broken` (images that the switch gets right and the experts spoil).
    """
    function = function_of(choice)
    arguments = (test.switch_NK, test.label, test.correct_NJ, test.lengths(function))
    wrong, spoiled = misclassified_images(*arguments), broken_images(*arguments)
    classes = test.switch_NK.shape[1]
    starts = np.arange(1, min(LAST_RANK, classes) + 1)
    # Half a rank below, so that whole numbers lie inside their bins.
    bins = {
        "top_probability": (EDGES[:-1], EDGES[1:], EDGES),
        "second_probability": (EDGES[:5], EDGES[1:6], EDGES[:6]),
        "rank": (starts, np.append(starts[1:] - 1, classes), np.append(starts - 0.5, classes + 0.5)),
    }
    for found in (wrong, spoiled):
        found["second_probability"] = np.minimum(found["second_probability"], 0.5)  # two float32 may sum to 1 and a bit
    frames = []
    for by, (low, high, edges) in bins.items():
        counts = {
            "wrong": np.histogram(wrong[by], edges)[0],
            "active": np.histogram(wrong[by][wrong["active"]], edges)[0],
            "recovered": np.histogram(wrong[by][wrong["right"]], edges)[0],
            "missed_active": np.histogram(wrong[by][wrong["active"] & ~wrong["right"]], edges)[0],
            "broken": np.histogram(spoiled[by], edges)[0],
        }
        frames.append(pd.DataFrame({"by": by, "low": low.astype(float), "high": high.astype(float)} | counts))
    described = {name: choice[name] for name in ("seed", "dataset_threshold", "switch_function", "parameter")}
    return pd.concat(frames, ignore_index=True).assign(**described)


def count_by_threshold(test: Prefix) -> pd.DataFrame:
    """The same counts (without missed_active) at every test threshold of one seed and dataset threshold.

    `by` is 'test_threshold', low = high = threshold.
    """
    thresholds_T = np.array([f.parameters[0] for f in functions_of(test) if f.name == "threshold"])
    if not len(thresholds_T):
        return pd.DataFrame()
    counts = evaluate_thresholds(test.switch_NK, test.correct_NJ, thresholds_T)
    wrong_N = ~test.correct_NJ[:, 0]
    true_N = test.switch_NK[np.arange(len(test)), test.label].astype(np.float64)
    active_T = (true_N[wrong_N, None] >= thresholds_T).sum(axis=0)
    described = {"seed": test.metadata["seed"], "dataset_threshold": test.metadata["dataset_threshold"]}
    described |= {"switch_function": "threshold", "parameter": "", "by": "test_threshold", "low": thresholds_T, "high": thresholds_T}
    return pd.DataFrame(described | {"wrong": int(wrong_N.sum()), "active": active_T, "recovered": counts.fixed, "broken": counts.broken})
