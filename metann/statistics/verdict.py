"""What may be said of a difference, in words."""

import pandas as pd

from metann.statistics.intervals import t_interval
from metann.statistics.paired import PairedComparison


def verdict(comparison: PairedComparison) -> str:
    """One plain sentence; 'no evidence of a gain' whenever the interval of the gain holds 0.

    A gain or a loss is one only when the exact test agrees: with few differing images the normal interval is too narrow.
    """
    c = comparison
    sure = c.p <= 1 - c.confidence
    if sure and c.low > 0:
        word = "a gain"
    elif sure and c.high < 0:
        word = "no evidence of a gain but of a loss"
    else:
        word = "no evidence of a gain"
    return (
        f"{word}: {100 * c.gain:+.2f} points ({100 * c.confidence:g} % interval {100 * c.low:+.2f} to {100 * c.high:+.2f}, "
        f"{c.fixed} fixed and {c.broken} broken of {c.n} images, exact McNemar p = {c.p:.2g})"
    )


def over_seeds(rows: pd.DataFrame, confidence: float) -> tuple[float, float, float]:
    """Gain with its interval: the row's own paired interval for one seed, Student's t over several."""
    if len(rows) == 1:
        return tuple(float(rows[name].iloc[0]) for name in ("gain", "low", "high"))
    return tuple(t_interval(rows["gain"].to_numpy(), confidence))
