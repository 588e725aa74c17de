"""The images that the switch gets wrong: which, what its probabilities look like there, and what the experts do about them.

Shapes: N images, K classes, J = K + 1 prefixes, M selected images, T thresholds.
"""

from typing import Any

import numpy as np
import pandas as pd

from metann.mnn import checks
from metann.mnn.evaluation import correct_at, evaluate_thresholds
from metann.mnn.prefix import Prefix
from metann.mnn.prefix_table import prefix_order
from metann.mnn.setting import function_of, functions_of

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


def misclassified_images(switch_NK: Any, labels_N: Any, correct_NJ: Any, lengths_N: Any) -> dict[str, np.ndarray]:
    """The images that the switch alone gets wrong.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        labels_N: (N,) true classes.
        correct_NJ: (N, K + 1) bool of `prefix_correct`.
        lengths_N: (N,) prefix lengths of the switch function in question, of `prefix_lengths`.

    Returns:
        Columns of M images, ready for a table:
        row: position in the arguments; label; predicted: the switch's class;
        top_probability, second_probability, true_probability: of the switch;
        rank: of the true class, 1 = most probable (so 2..K here, 1 among the broken);
        experts: length of the prefix; active: whether the true class is in it;
        right: whether the prediction is right with these experts (here: recovered);
        recoverable: whether it is right with any prefix at all.

    Raises:
        MetannError: shapes that do not belong together.
    """
    columns = _described(switch_NK, labels_N, correct_NJ, lengths_N)
    return _selected(columns, columns["predicted"] != columns["label"])


def broken_images(switch_NK: Any, labels_N: Any, correct_NJ: Any, lengths_N: Any) -> dict[str, np.ndarray]:
    """The images that the switch alone gets right and the experts spoil; arguments and columns as in `misclassified_images`."""
    columns = _described(switch_NK, labels_N, correct_NJ, lengths_N)
    return _selected(columns, (columns["predicted"] == columns["label"]) & ~columns["right"])


def _described(switch_NK: Any, labels_N: Any, correct_NJ: Any, lengths_N: Any) -> dict[str, np.ndarray]:
    switch_NK = checks.probability_table("switch_NK", switch_NK)
    labels_N = checks.class_labels(labels_N, switch_NK.shape)
    correct_NJ = checks.prefix_table(correct_NJ, switch_NK.shape)
    lengths_N = checks.prefix_lengths(lengths_N, correct_NJ.shape)
    order_NK = prefix_order(switch_NK)
    falling_NK = np.take_along_axis(switch_NK, order_NK, axis=1)
    position_N = (order_NK == labels_N[:, None]).argmax(axis=1)
    return {
        "row": np.arange(len(labels_N)),
        "label": labels_N,
        "predicted": order_NK[:, 0],
        "top_probability": falling_NK[:, 0],
        "second_probability": falling_NK[:, 1],
        "true_probability": np.take_along_axis(switch_NK, labels_N[:, None], axis=1)[:, 0],
        "rank": position_N + 1,
        "experts": lengths_N,
        "active": position_N < lengths_N,
        "right": correct_at(correct_NJ, lengths_N),
        "recoverable": correct_NJ.any(axis=1),
    }


def _selected(columns: dict[str, np.ndarray], keep_N: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[keep_N] for name, values in columns.items()}
