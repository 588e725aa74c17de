"""Precision, recall and F1 of every class. N images, K classes."""

from collections.abc import Sequence

import numpy as np


def classification_rows(labels_N: np.ndarray, prediction_N: np.ndarray, class_names: Sequence[str]) -> list[dict[str, float | int | str]]:
    """One row per class, then accuracy, macro and weighted average; a quotient without images is 0.

    Returns:
        Rows of name, precision, recall, f1 and support; the row 'accuracy' repeats the accuracy.
    """
    classes = len(class_names)
    table_KK = np.bincount(labels_N * classes + prediction_N, minlength=classes * classes).reshape(classes, classes)
    right_K, support_K, said_K = np.diag(table_KK), table_KK.sum(axis=1), table_KK.sum(axis=0)
    precision_K, recall_K = _quotient(right_K, said_K), _quotient(right_K, support_K)
    f1_K = _quotient(2 * right_K, said_K + support_K)
    total = int(support_K.sum())
    accuracy = right_K.sum() / total if total else 0.0
    values = list(zip(class_names, precision_K, recall_K, f1_K, support_K, strict=True))
    values.append(("accuracy", accuracy, accuracy, accuracy, total))
    # a class that is neither there nor answered does not enter the macro average
    seen_K = support_K + said_K > 0
    for name, weight_K in (("macro avg", seen_K.astype(float)), ("weighted avg", support_K.astype(float))):
        share_K = weight_K / max(weight_K.sum(), 1)
        values.append((name, share_K @ precision_K, share_K @ recall_K, share_K @ f1_K, total))
    return [
        {"name": str(name), "precision": float(p), "recall": float(r), "f1": float(f), "support": int(support)}
        for name, p, r, f, support in values
    ]


def _quotient(above_K: np.ndarray, below_K: np.ndarray) -> np.ndarray:
    return np.where(below_K > 0, above_K / np.maximum(below_K, 1), 0.0)
