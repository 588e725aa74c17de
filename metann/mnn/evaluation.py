"""Any switch function, evaluated from the prefix table: one integer per image, one gather, no network.

Shapes: N images, K classes, J = K + 1 prefixes, T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metann import registry
from metann.errors import MetannError, unknown
from metann.mnn import checks, switch_functions
from metann.mnn.prefix_table import in_blocks, prefix_order


@dataclass(frozen=True)
class PrefixCounts:
    """What a choice of prefix lengths does to the images; single numbers, or arrays with one entry per threshold.

    Attributes:
        n: images.
        correct: images classified rightly.
        baseline_correct: images that the switch alone classifies rightly.
        fixed: wrong without experts, right with them.
        broken: right without experts, wrong with them.
        mean_experts: experts asked per image; NaN without images.
    """

    n: int
    correct: Any
    baseline_correct: int
    fixed: Any
    broken: Any
    mean_experts: Any

    @property
    def accuracy(self) -> Any:
        """Share of images classified rightly; NaN without images."""
        return self.correct / (self.n or np.nan)


def prefix_lengths(name: str, parameters: Sequence[float], switch_NK: Any) -> np.ndarray:
    """Number of active classes per image by a switch function of metann/mnn/switch_functions.py.

    Args:
        name: of the function, such as `top_p`.
        parameters: its parameters in order, such as (0.9,).
        switch_NK: (N, K) probabilities of the switch.

    Returns:
        (N,) int64 in 0..K.

    Raises:
        MetannError: unknown function, wrong number of parameters, or a broken table.
    """
    known = registry.switch_functions()
    if name not in known:
        raise unknown("switch function", name, known, "metann/mnn/switch_functions.py")
    if len(parameters) != len(known[name]):
        raise MetannError(f"switch function {name} takes ({', '.join(known[name])}), given {len(parameters)} parameters")
    return getattr(switch_functions, name)(switch_NK, *parameters)


def prefix_mask(switch_NK: Any, lengths_N: Any) -> np.ndarray:
    """Which classes are active when each image's prefix has the given length: the `active_NK` of `combine`.

    Returns:
        (N, K) bool with lengths_N[n] true entries in row n; of equal probabilities the lower class comes first.
    """
    switch_NK = checks.probability_table("switch_NK", switch_NK)
    lengths_N = checks.prefix_lengths(lengths_N, (len(switch_NK), switch_NK.shape[1] + 1))
    active_NK = np.empty(switch_NK.shape, bool)
    active_NK[np.arange(len(switch_NK))[:, None], prefix_order(switch_NK)] = np.arange(switch_NK.shape[1]) < lengths_N[:, None]
    return active_NK


def lengths_at(switch_NK: Any, thresholds_T: Any) -> np.ndarray:
    """Prefix lengths for many thresholds: #{k: S_nk >= t}, compared in float64.

    Returns:
        (N, T) int64.
    """
    switch_NK, thresholds_T = checks.probability_table("switch_NK", switch_NK), np.atleast_1d(checks.thresholds(thresholds_T))
    lengths_NT = np.zeros((len(switch_NK), len(thresholds_T)), np.int64)
    for class_N in switch_NK.T:
        lengths_NT += class_N[:, None] >= thresholds_T
    return lengths_NT


def correct_at(correct_NJ: Any, lengths_N: Any) -> np.ndarray:
    """Whether each image is classified rightly at its own prefix length.

    Args:
        correct_NJ: (N, K + 1) bool of `prefix_correct`.
        lengths_N: (N,) or (N, T) whole numbers in 0..K.

    Returns:
        bool of the shape of `lengths_N`.

    Raises:
        MetannError: shapes that do not belong together, or lengths outside 0..K.
    """
    correct_NJ = checks.prefix_table(correct_NJ)
    lengths = np.asarray(lengths_N)
    if lengths.ndim == 2 and len(lengths) == len(correct_NJ):
        checks.prefix_lengths(lengths.ravel(), (lengths.size, correct_NJ.shape[1]))
        return np.take_along_axis(correct_NJ, lengths, axis=1)
    return correct_NJ[np.arange(len(correct_NJ)), checks.prefix_lengths(lengths, correct_NJ.shape)]


def evaluate_lengths(correct_NJ: Any, lengths_N: Any) -> PrefixCounts:
    """Counts of one switch function.

    Args:
        correct_NJ: (N, K + 1) bool of `prefix_correct`.
        lengths_N: (N,) whole numbers in 0..K, of `prefix_lengths`.

    Returns:
        PrefixCounts of single numbers.

    Raises:
        MetannError: as in `correct_at`.
    """
    correct_NJ = checks.prefix_table(correct_NJ)
    lengths_N = checks.prefix_lengths(lengths_N, correct_NJ.shape)
    after_N, before_N = correct_at(correct_NJ, lengths_N), correct_NJ[:, 0]
    fixed, broken = int(np.count_nonzero(after_N & ~before_N)), int(np.count_nonzero(before_N & ~after_N))
    baseline = int(np.count_nonzero(before_N))
    mean_experts = float(lengths_N.mean()) if len(lengths_N) else float("nan")
    return PrefixCounts(len(lengths_N), baseline + fixed - broken, baseline, fixed, broken, mean_experts)


def evaluate_thresholds(switch_NK: Any, correct_NJ: Any, thresholds_T: Any) -> PrefixCounts:
    """Counts of the switch function `threshold` at every threshold of a grid, in one pass over the N*K probabilities.

    As a threshold falls below one value of S, one image goes from state j - 1 to j; the change of each count is booked at the
    first threshold of the grid (from above) that this value reaches, and summed from above.

    Args:
        switch_NK: (N, K) probabilities of the switch.
        correct_NJ: (N, K + 1) bool of `prefix_correct`.
        thresholds_T: (T,) in any order.

    Returns:
        PrefixCounts with (T,) arrays, in the order of `thresholds_T`.

    Raises:
        MetannError: shapes that do not belong together, or NaN.
    """
    switch_NK = checks.probability_table("switch_NK", switch_NK)
    correct_NJ = checks.prefix_table(correct_NJ, switch_NK.shape)
    grid_T, inverse_T = np.unique(np.atleast_1d(checks.thresholds(thresholds_T)), return_inverse=True)
    fixed_T, broken_T, experts_T = np.zeros((3, len(grid_T) + 1))  # whole numbers, exact in float64
    n = len(switch_NK)
    for rows in in_blocks(*switch_NK.shape):
        correct, before = correct_NJ[rows], correct_NJ[rows, :1]
        falling = -np.sort(-switch_NK[rows], axis=1)
        reached = np.searchsorted(grid_T, falling.ravel(), side="right")  # so many thresholds of the grid lie at or below the value
        for total_T, state in ((fixed_T, correct & ~before), (broken_T, before & ~correct)):
            total_T += np.bincount(reached, np.diff(state.astype(np.int8), axis=1).ravel(), len(grid_T) + 1)
        experts_T += np.bincount(reached, minlength=len(grid_T) + 1)
    fixed_T, broken_T, experts_T = (_from_above(steps)[inverse_T] for steps in (fixed_T, broken_T, experts_T))
    baseline = int(np.count_nonzero(correct_NJ[:, 0]))
    return PrefixCounts(n, baseline + fixed_T - broken_T, baseline, fixed_T, broken_T, experts_T / (n or np.nan))


def _from_above(steps: np.ndarray) -> np.ndarray:
    """Entry i: the sum of steps[i + 1:], as whole numbers."""
    return np.cumsum(steps[::-1])[::-1][1:].astype(np.int64)
