"""Which scale the numbers of a foreign table have, and probabilities out of them. N images, K classes.

Rows that a rounding has kept from summing to 1 are rescaled, percent and log-probabilities are turned into probabilities, each with a
sentence. What is none of these is refused with the likely reason: logits where values lie outside [0, 1], and nothing else there.
"""

from pathlib import Path

import numpy as np

from metann.errors import MetannError

EXACT, ROUNDED = 1e-4, 1e-2 + 1e-9  # how far sums may be from 1: as our own tables; as rounding to bfloat16 or three decimals leaves them
BELOW = 1e-4  # what a difference such as 1 - sum may leave of a 0; in percent as well
_BASES = {"natural logarithms": np.e, "logarithms to base 10": 10.0, "logarithms to base 2": 2.0}


def as_probabilities(values_NK: np.ndarray, path: Path) -> tuple[np.ndarray, list[str]]:
    """(N, K) float32 probabilities whose rows sum to 1, and what was assumed.

    Raises:
        MetannError: not a table of floats, NaN, or no probabilities in any scale.
    """
    if values_NK.ndim != 2 or values_NK.shape[1] < 2 or not len(values_NK) or values_NK.dtype.kind not in "fiu":
        raise MetannError(
            f"{path} holds {values_NK.dtype} {values_NK.shape}; probabilities are floats (images, classes), two classes or more"
        )
    values_NK = values_NK.astype(np.float64) if values_NK.dtype.kind != "f" else values_NK  # whole percent
    gaps_N = np.isnan(values_NK).any(axis=1)
    if gaps_N.any():
        raise MetannError(f"{path}: row {int(np.argmax(gaps_N))} holds NaN; every probability must be a number")
    least, said = float(values_NK.min()), list[str]()
    if -BELOW <= least < 0:
        said.append(f"{int((values_NK < 0).sum())} values just below 0 (down to {least:.2g}) are taken as 0")
        values_NK = np.maximum(values_NK, 0)
    if _good(values_NK, EXACT).all() and values_NK.dtype != np.float16:
        return values_NK.astype(np.float32), said
    wide_NK = values_NK.astype(np.float64)
    if _good(wide_NK, ROUNDED).all():
        return _rescaled(wide_NK, "", said)
    if _good(wide_NK / 100, ROUNDED).all():
        return _rescaled(wide_NK / 100, "values are percent; ", said)
    if (wide_NK <= 1e-6).all():
        for name, base in _BASES.items():
            p_NK = base**wide_NK
            if _good(p_NK, ROUNDED).all():
                return _rescaled(p_NK, f"values are log-probabilities ({name}); ", [])
    raise _refusal(wide_NK, path)


def _good(p_NK: np.ndarray, tolerance: float) -> np.ndarray:
    """(N,) bool rows that are not negative and sum to 1."""
    with np.errstate(invalid="ignore", over="ignore"):
        return (np.abs(p_NK.sum(axis=1, dtype=np.float64) - 1) <= tolerance) & (p_NK >= 0).all(axis=1)


def _rescaled(p_NK: np.ndarray, what: str, more: list[str]) -> tuple[np.ndarray, list[str]]:
    sums_N = p_NK.sum(axis=1)
    away = float(np.abs(sums_N - 1).max())
    said = what + (f"rows sum to 1 within {away:.2g} and are rescaled" if away > 1e-6 else "rows sum to 1")
    return (p_NK / sums_N[:, None]).astype(np.float32), [said, *more]


def _refusal(values_NK: np.ndarray, path: Path) -> MetannError:
    good_N = _good(values_NK, ROUNDED)
    with np.errstate(invalid="ignore"):
        sums_N = values_NK.sum(axis=1)
    row, bad = int(np.argmin(good_N)), int((~good_N).sum())
    low, high = float(values_NK.min()), float(values_NK.max())
    if bad <= max(1, len(values_NK) // 20) < len(values_NK):
        why = "the other rows are probabilities: mend these"
    elif not np.isfinite(high):
        why = f"values run from {low:.3g} to {high:.3g}, which no probability and no logit is"
    elif low >= 0 and high <= 1:
        why = (
            f"all values lie in [0, 1] and rows sum to {sums_N.min():.3g} .. {sums_N.max():.3g}: answers of a sigmoid for each class, or "
            "not all classes? A softmax of them would be something else; export the softmax of the network's logits"
        )
    elif low >= 0:
        why = f"values run from {low:.3g} to {high:.3g}: counts or unscaled scores? Divide each row by its sum if that is what they mean"
    elif high <= 0:
        why = f"values run from {low:.3g} to {high:.3g} and their exponentials do not sum to 1: logits? Apply a softmax over the classes"
    else:
        why = f"values run from {low:.3g} to {high:.3g}: these are logits or other scores; apply a softmax over the classes first"
    return MetannError(
        f"{path}: row {row} sums to {sums_N[row]:.6g} and its least value is {values_NK[row].min():.3g} ({bad} such rows of "
        f"{len(values_NK)}); probabilities are >= 0 and sum to 1; {why}"
    )


def squeezed(p_NK: np.ndarray) -> str | None:
    """A sentence where a table looks like a softmax of probabilities: nothing is less than that can be (so nothing surer), some as sure."""
    least = 1 / (np.e + p_NK.shape[1] - 1)
    surest = float(p_NK.max())
    if p_NK.min() >= 0.999 * least and surest > 0.9 * np.e * least:
        return (
            f"no probability is above {surest:.4f}, the most that a softmax of probabilities of {p_NK.shape[1]} classes gives: taken twice?"
        )
    return None
