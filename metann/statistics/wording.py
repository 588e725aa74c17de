"""Differences of accuracies, their intervals and p values as text."""

import numpy as np


def points(share: float) -> str:
    """0.0012 -> '+0.12'; a difference of two accuracies."""
    if not np.isfinite(share):
        return "unknown"
    return f"{100 * share + 0.0:+.2f}".replace("-0.00", "+0.00")


def interval(low: float, high: float, confidence: float, kind: str = "interval") -> str:
    """'95 % interval -0.10 to +0.30'; says so where one value knows no spread."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "no interval"
    return f"{100 * confidence:g} % {kind} {points(low)} to {points(high)}"


def p_value(p: float, bare: bool = False) -> str:
    """'p = 0.013', 'p < 0.001'; without 'p =' where bare."""
    if not np.isfinite(p):
        return ""
    if p < 0.001:
        return "< 0.001" if bare else "p < 0.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return text if bare else f"p = {text}"
