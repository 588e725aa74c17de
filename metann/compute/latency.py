"""How long a model takes for an image: warm, by the median of repeats."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Latency(NamedTuple):
    """Milliseconds for an image: the median of the rounds, and their quartiles."""

    ms: float
    low: float
    high: float


def batches_of(images_NCHW: np.ndarray, size: int, images: int) -> list[np.ndarray]:
    """At least so many images, in batches of one size; the images come again where they are too few.

    Args:
        images_NCHW: at least one.
        size: of each batch.
        images: in all, rounded up to whole batches.
    """
    number = -(-max(images, size) // size)
    rows = np.arange(number * size) % len(images_NCHW)
    return [np.ascontiguousarray(images_NCHW[rows[start : start + size]]) for start in range(0, len(rows), size)]


def measure(
    answer: Callable[[np.ndarray], Any], batches: Sequence[np.ndarray], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> Latency:
    """Time rounds over batches; the first round is not counted, because in it caches fill and kernels are chosen.

    Args:
        answer: the model.
        batches: of images.
        repeats: rounds that count.
        clock: seconds.
    """
    seconds = []
    for _ in range(repeats + 1):
        start = clock()
        for batch in batches:
            answer(batch)
        seconds.append(clock() - start)
    ms_R = 1000 * np.array(seconds[1:]) / sum(len(batch) for batch in batches)
    low, middle, high = np.quantile(ms_R, [0.25, 0.5, 0.75])
    return Latency(float(middle), float(low), float(high))
