"""Which images the switch gets wrong, how its probabilities look there, and what the experts do about it.

Shapes: N images, K classes, J = K + 1 prefixes, M selected images.
"""

from typing import Any

import numpy as np

from metann.mnn import checks
from metann.mnn.combination import prefix_order
from metann.mnn.evaluation import correct_at


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
    columns = _describe(switch_NK, labels_N, correct_NJ, lengths_N)
    return _rows(columns, columns["predicted"] != columns["label"])


def broken_images(switch_NK: Any, labels_N: Any, correct_NJ: Any, lengths_N: Any) -> dict[str, np.ndarray]:
    """The images that the switch alone gets right and the experts spoil; arguments and columns as in `misclassified_images`."""
    columns = _describe(switch_NK, labels_N, correct_NJ, lengths_N)
    return _rows(columns, (columns["predicted"] == columns["label"]) & ~columns["right"])


def _describe(switch_NK: Any, labels_N: Any, correct_NJ: Any, lengths_N: Any) -> dict[str, np.ndarray]:
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


def _rows(columns: dict[str, np.ndarray], keep_N: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[keep_N] for name, values in columns.items()}
