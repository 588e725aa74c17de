"""What the seeds say of a difference: one rule for one seed and for several.

With one seed of accuracies the images are compared in pairs (normal interval, exact McNemar). With several the seeds are the
values: Student's t interval, and the exact sign-flip test has to agree from the number of seeds on at which it can reach the level.
Other measures than accuracy have no images to pair: one seed says nothing of their spread.
"""

from dataclasses import dataclass

import numpy as np

from metann.statistics.intervals import t_interval
from metann.statistics.paired import compare_paired
from metann.statistics.permutation import sign_flip_p


@dataclass(frozen=True)
class Evidence:
    """A difference, second minus first.

    Attributes:
        difference: mean over seeds.
        low, high: ends of its interval; NaN where nothing is known of the spread.
        p: exact McNemar for one seed, exact sign-flip for several; NaN where there is no test.
        floor: the smallest p that this many seeds can give; 0 for one seed.
        seeds: how many.
        sign: 1 for evidence that the second is larger, -1 that it is smaller, 0 for no evidence.
    """

    difference: float
    low: float
    high: float
    p: float
    floor: float
    seeds: int
    sign: int


def evidence(difference_S: np.ndarray, pair: tuple[np.ndarray, np.ndarray] | None = None, confidence: float = 0.95) -> Evidence:
    """Judge differences, one for each seed.

    Args:
        difference_S: second minus first.
        pair: for one seed of accuracies, (N,) bool each: whether the first and the second are right, on the same images.
        confidence: of the interval.
    """
    difference_S = np.asarray(difference_S, np.float64)
    seeds = len(difference_S)
    if seeds == 1 and pair is not None:
        compared = compare_paired(*pair, confidence)
        mean, low, high, p, floor = compared.gain, compared.low, compared.high, compared.p, 0.0
    elif seeds == 1:
        mean, low, high, p, floor = float(difference_S[0]), float("nan"), float("nan"), float("nan"), 1.0
    else:
        mean, low, high = t_interval(difference_S, confidence)
        p, floor = sign_flip_p(difference_S), 2.0 ** (1 - seeds)
    agrees = not (floor <= 1 - confidence < p)
    sign = int(low > 0) - int(high < 0) if agrees else 0  # NaN compares false
    return Evidence(float(mean), float(low), float(high), float(p), floor, seeds, sign)
