"""How far a gate's experts have divided the images among themselves. Pure numpy; whole sets, never batches.

Shapes: N images, E experts, K classes. Logarithms are to base 2, so entropies are in bits, and 0 log 0 = 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metann.errors import MetannError

_TOLERANCE = 1e-4  # of the sum of a row, as for every table of probabilities
LEAST_USAGE_ENTROPY = 0.5
"""Bits; a mixture whose usage has less has collapsed."""
LEAST_SHARE = 0.01
"""Of the images; an expert that answers fewer has died."""


@dataclass(frozen=True)
class Specialisation:
    """What gate and labels say of each other; the expert of an image is the first largest of its gate row.

    Attributes:
        mutual_information: I(E;Y) between the expert and the true class, bits.
        mutual_information_predicted: the same with the predicted class.
        conditional_entropy: H(E|Y), bits: the entropy of the mean gate row of a class, as an unweighted mean over the classes present.
        sample_entropy: mean entropy of a gate row, bits.
        usage_entropy: entropy of the mean gate row, bits.
        usage_cv: population standard deviation over mean of the mean gate row.
    """

    mutual_information: float
    mutual_information_predicted: float
    conditional_entropy: float
    sample_entropy: float
    usage_entropy: float
    usage_cv: float


def specialisation(gate_NE: Any, labels_N: Any, predictions_N: Any) -> Specialisation:
    """All measures of a set of images; the order of the images does not matter, nor how they were cut into batches.

    Args:
        gate_NE: (N, E) gate distribution of every image after routing; rows sum to 1.
        labels_N: (N,) true classes, whole numbers.
        predictions_N: (N,) predicted classes, whole numbers.

    Raises:
        MetannError: no images, shapes that do not belong together, a row that is no distribution, or classes that are not whole numbers.
    """
    given_NE, gate_NE = np.asarray(gate_NE), _distributions(gate_NE)
    labels_N, predictions_N = _classes(labels_N, "labels_N", gate_NE), _classes(predictions_N, "predictions_N", gate_NE)
    expert_N = given_NE.argmax(axis=1)  # of the row as given: a division may round two values to one
    usage_E = gate_NE.mean(axis=0)
    return Specialisation(
        mutual_information=mutual_information(expert_N, labels_N),
        mutual_information_predicted=mutual_information(expert_N, predictions_N),
        conditional_entropy=float(entropy(class_shares(gate_NE, labels_N)).mean()),
        sample_entropy=float(entropy(gate_NE).mean()),
        usage_entropy=float(entropy(usage_E)),
        usage_cv=float(usage_E.std() / usage_E.mean()),
    )


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy along the last axis in bits, with 0 log 0 = 0."""
    p = np.asarray(p, np.float64)
    return -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=-1) + 0.0  # + 0.0, because -0.0 is no entropy to show


def mutual_information(first_N: np.ndarray, second_N: np.ndarray) -> float:
    """I(A;B) in bits of two columns of whole numbers, from their joint counts; never below 0."""
    (_, first_N), (_, second_N) = np.unique(first_N, return_inverse=True), np.unique(second_N, return_inverse=True)
    columns = int(second_N.max()) + 1
    joint = np.bincount(first_N * columns + second_N, minlength=(int(first_N.max()) + 1) * columns).reshape(-1, columns)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    ratio = joint[there] * len(first_N) / product[there]  # of whole numbers: exactly 1 where the columns are independent
    return max(float((joint[there] / len(first_N)) @ np.log2(ratio)), 0.0)


def class_shares(gate_NE: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """(classes present, E) mean gate row of every class, in the order of the classes."""
    _, place_N, counts = np.unique(labels_N, return_inverse=True, return_counts=True)
    sums = [np.bincount(place_N, weights=g_N, minlength=len(counts)) for g_N in np.asarray(gate_NE, np.float64).T]
    return np.stack(sums, axis=1) / counts[:, None]


def most_information(experts: int, labels_N: np.ndarray) -> float:
    """The most that I(E;Y) can be, bits: the smaller of log2 E and H(Y)."""
    _, counts = np.unique(labels_N, return_counts=True)
    return float(min(np.log2(experts), entropy(counts / counts.sum())))


def has_collapsed(usage_entropy: float, share_E: np.ndarray) -> bool:
    """The alarm: usage below half a bit, or an expert that answers under one in a hundred images. One expert alone cannot collapse.

    Args:
        usage_entropy: of the mean gate row, bits.
        share_E: (E,) share of the images that each expert answers.
    """
    return len(share_E) > 1 and (usage_entropy < LEAST_USAGE_ENTROPY or bool((np.asarray(share_E) < LEAST_SHARE).any()))


def _distributions(given: Any) -> np.ndarray:
    gate_NE = np.asarray(given, np.float64)
    if gate_NE.ndim != 2 or not gate_NE.size:
        raise MetannError(f"specialisation: gate_NE has shape {gate_NE.shape}; needed: images x experts, at least one of each")
    with np.errstate(invalid="ignore"):
        sums_N = gate_NE.sum(axis=1)
        good_N = (np.abs(sums_N - 1) <= _TOLERANCE) & (gate_NE >= 0).all(axis=1)  # NaN compares false
    if not good_N.all():
        row = int(np.argmin(good_N))
        raise MetannError(
            f"specialisation: row {row} of gate_NE sums to {sums_N[row]:.6g} or has a value below 0 ({int((~good_N).sum())} such rows); "
            "give distributions, such as the softmax of the gate's scores"
        )
    return gate_NE / sums_N[:, None]  # float32 rows sum to 1 only roughly


def _classes(given: Any, name: str, gate_NE: np.ndarray) -> np.ndarray:
    classes_N = np.asarray(given)
    if classes_N.shape != (len(gate_NE),) or classes_N.dtype.kind not in "iu":
        raise MetannError(f"specialisation: {name} is {classes_N.dtype} {classes_N.shape}; needed: {len(gate_NE)} whole numbers")
    return classes_N
