"""What may be said of a difference: the one rule of evidence, which every page follows.

A gain (or a loss) is one when two things say so: an interval that leaves 0 out, and a test that needs no normal distribution. The
interval alone is too narrow with few differing images or few seeds (two seeds that happen to gain the same have one of no width);
the test alone says nothing of the size. Everything else is 'no evidence'.

| what is known | interval | test |
|---|---|---|
| one seed, images counted | normal, paired | McNemar, exact |
| several seeds | Student's t of the seeds' gains | exact sign flips of the seeds' gains, where they are enough for it |
| several seeds, too few for that | Student's t of the seeds' gains | McNemar's of every seed: the least p times the number of seeds |

Sign flips of S gains cannot have a p below 2 / 2^S: at a confidence of 0.95 five seeds or fewer could never show a gain, however large,
and t alone would hang on the gains being normal, which nobody can see in five numbers. There the images have to speak in place of the
seeds: t still asks whether the seeds agree, Bonferroni's p (valid however the tests depend on one another; they share their images)
whether in any seed more images changed than chance would. Few seeds without any test of their own are no evidence.

Six seeds or more speak of other trainings that are judged on these same images: chance in the choice of the images is not in their
interval, it is in that of each seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from metann.errors import MetannError
from metann.statistics.intervals import checked_confidence, checked_values, normal_quantile, t_interval
from metann.statistics.paired import compare_counts, mcnemar_p
from metann.statistics.permutation import sign_flip_p
from metann.statistics.wording import interval, p_value, points

Word = Literal["gain", "loss", "no evidence"]
_HEADS: dict[Word, str] = {"gain": "Evidence of a gain", "loss": "Evidence of a loss", "no evidence": "No evidence of a gain"}


@dataclass(frozen=True)
class Verdict:
    """What may be said of a gain.

    Attributes:
        word: 'gain', 'loss' or 'no evidence'.
        gain, low, high: shares (0.01 is one point); the mean over seeds where there are several. NaN ends: no interval.
        p: of the test that has to agree with the interval; NaN where no test can speak.
        n: images of a seed; None where they were not counted.
        seeds: how many.
        numbers: gain, interval and test in words.
    """

    word: Word
    gain: float
    low: float
    high: float
    p: float
    n: int | None
    seeds: int
    numbers: str

    @property
    def head(self) -> str:
        """'Evidence of a gain', 'Evidence of a loss' or 'No evidence of a gain'."""
        return _HEADS[self.word]

    @property
    def sentence(self) -> str:
        """'evidence of a gain: +0.60 points (95 % interval +0.40 to +0.80; ..., exact McNemar p < 0.001)'."""
        return f"{self.head[0].lower()}{self.head[1:]}: {self.numbers}"


def verdict_of_counts(n: Any, fixed: Any, broken: Any, confidence: float = 0.95) -> Verdict:
    """Whether images changed for the better.

    Args:
        n: images; one number, or one for each seed.
        fixed: wrong before, right after; likewise.
        broken: right before, wrong after; likewise.
        confidence: of the interval; the test's p may be 1 - confidence at most.

    Raises:
        MetannError: no seeds, no images, or more differences than images.
    """
    n_S, fixed_S, broken_S = (_counts(counts) for counts in (n, fixed, broken))
    if not len(n_S) == len(fixed_S) == len(broken_S):
        raise MetannError(f"images of {len(n_S)} seeds, fixed of {len(fixed_S)}, broken of {len(broken_S)}; give one count for each seed")
    each = [compare_counts(*counts, confidence) for counts in zip(n_S, fixed_S, broken_S, strict=True)]
    if len(each) > 1:
        return verdict_over_seeds([c.gain for c in each], confidence, mcnemar_p(fixed_S, broken_S), int(n_S[0]))
    c = each[0]
    changed = f"{c.fixed:,} fixed and {c.broken:,} broken of {c.n:,} images"
    numbers = f"{points(c.gain)} points ({interval(c.low, c.high, confidence)}; {changed}, exact McNemar {p_value(c.p)})"
    return Verdict(_word(c.low, c.high, c.p, confidence), c.gain, c.low, c.high, c.p, c.n, 1, numbers)


def verdict_over_seeds(gains: Any, confidence: float = 0.95, p_of_seeds: Sequence[float] | None = None, n: int | None = None) -> Verdict:
    """Whether seeds gain.

    Args:
        gains: (S,) shares, one for each seed.
        confidence: of the interval; the test's p may be 1 - confidence at most.
        p_of_seeds: (S,) of an exact test within each seed, which decides where sign flips cannot.
        n: images of a seed, where known.

    Raises:
        MetannError: no gains, gains that are not finite, or another number of p.
    """
    gains_S = checked_values(gains)
    seeds = len(gains_S)
    mean, low, high = t_interval(gains_S, confidence)
    flips, least = sign_flip_p(gains_S), 2.0 ** (1 - seeds)
    said = f"sign-flip {p_value(flips)}, which cannot be below {least:.2g}"
    enough = least <= 1 - checked_confidence(confidence)
    if enough:
        p = flips
    elif p_of_seeds is None:
        p, said = float("nan"), f"{said}: too few seeds for it"
    else:
        p_S = checked_values(p_of_seeds)
        if len(p_S) != seeds:
            raise MetannError(f"{seeds} gains and {len(p_S)} p; give one of each for every seed")
        p = float(min(1.0, seeds * p_S.min()))
        said += f", so that the images decide: least exact {p_value(float(p_S.min()))} of {seeds} seeds, corrected {p_value(p)}"
    numbers = f"{points(mean)} points, mean of {seeds} seeds ({interval(low, high, confidence, 't interval')}; {said})"
    if seeds == 1:
        numbers = f"{points(mean)} points (one seed, no interval)"
    return Verdict(_word(low, high, p, confidence), mean, low, high, p, n, seeds, numbers)


def verdict_of_difference(gain: float, low: float, high: float, p: float, n: int, confidence: float = 0.95) -> Verdict:
    """Whether one share is above another where the images of one seed were counted apart, from an interval and an exact test of them.

    Args:
        gain, low, high: shares.
        p: of Fisher's exact test.
        n: images of each.
        confidence: of the interval.
    """
    numbers = f"{points(gain)} points ({interval(low, high, confidence)}; exact Fisher {p_value(p)})"
    return Verdict(_word(low, high, p, confidence), float(gain), low, high, p, n, 1, numbers)


def verdict_of_chance(gain: Any, low: Any, high: Any, confidence: float = 0.95) -> Verdict:
    """Whether a choice is better than the same dealt at random, from the mean and standard deviation over all ways to deal.

    These are exact, and the distribution is close to normal (Hoeffding 1951), so that one seed's interval is its test too.

    Args:
        gain, low, high: shares with the normal interval; one number each, or one for each seed.
        confidence: of the intervals.
    """
    gain_S, low_S, high_S = (checked_values(np.atleast_1d(values)) for values in (gain, low, high))
    p_S = _normal_p(gain_S, (high_S - low_S) / 2, confidence)
    if len(gain_S) > 1:
        return verdict_over_seeds(gain_S, confidence, p_S)
    mean, below, above, p = (float(values[0]) for values in (gain_S, low_S, high_S, p_S))
    return Verdict(
        _word(below, above, p, confidence), mean, below, above, p, None, 1, f"{points(mean)} points ({interval(below, above, confidence)})"
    )


def _counts(given: Any) -> np.ndarray:
    """(S,) int64; a table may keep counts as floats."""
    counts_S = checked_values(np.atleast_1d(np.asarray(given)))
    if not np.array_equal(counts_S, np.rint(counts_S)):
        raise MetannError(f"images are counted in whole numbers; given {counts_S.tolist()}")
    return counts_S.astype(np.int64)


def _normal_p(gain_S: np.ndarray, half_S: np.ndarray, confidence: float) -> np.ndarray:
    """Two-sided p of gains with normal intervals."""
    from scipy.special import ndtr

    # One image in 10^9 would be 1e-9; what is left below where every way to deal is the same comes of rounding.
    noise_S = np.maximum(half_S / normal_quantile(confidence), 1e-12)
    return 2 * ndtr(-np.abs(gain_S) / noise_S)


def _word(low: float, high: float, p: float, confidence: float) -> Word:
    """The rule. NaN, which compares false, is no evidence."""
    if not p <= 1 - confidence:
        return "no evidence"
    return "gain" if low > 0 else "loss" if high < 0 else "no evidence"
