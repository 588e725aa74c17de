"""A stream of images with duplicates, some of them turned: what a camera that looks twice gives a memory.

Shapes: N images of the base set, D duplicates, M = N + D images of the stream.
"""

import random
from dataclasses import dataclass

import numpy as np

from metann.errors import MetannError

TURNS = ("none", "left", "right", "half", "flip")  # quarter turn left, right, half turn, upside-down mirror


@dataclass(frozen=True)
class Workload:
    """Which image arrives when.

    Attributes:
        source_M: int64 position in the base set.
        turn_M: int64 index in `TURNS`; 0 for every original.
        duplicate_M: bool, whether it is a duplicate rather than the original.
    """

    source_M: np.ndarray
    turn_M: np.ndarray
    duplicate_M: np.ndarray

    def __len__(self) -> int:
        return len(self.source_M)


def build_workload(n: int, duplicates: float = 0.0, rotations: float = 0.0, shuffled: bool = True, seed: int = 42) -> Workload:
    """Add duplicates to a base set of n images.

    Args:
        n: images of the base set.
        duplicates: D / n. Its whole part duplicates every image so often, its fraction a random choice without repeats.
        rotations: share of the duplicates that are turned, each in one of four ways at random.
        shuffled: mix originals and duplicates; else all originals come first.
        seed: of Python's generator, whose numbers are the same in every version.

    Raises:
        MetannError: negative duplicates, or a share of rotations outside [0, 1].
    """
    if not 0 <= duplicates < 1e6 or not 0 <= rotations <= 1:
        raise MetannError(f"a workload of {duplicates} duplicates and {rotations} rotations; duplicates are 0 or more, rotations in [0, 1]")
    generator = random.Random(seed)
    whole = int(duplicates)
    extra = list(range(n)) * whole + generator.sample(range(n), round((duplicates - whole) * n))
    turn = [0] * len(extra)
    for position in generator.sample(range(len(extra)), round(rotations * len(extra))):
        turn[position] = generator.randrange(1, len(TURNS))
    order = list(range(n + len(extra)))
    if shuffled:
        generator.shuffle(order)
    order_M = np.array(order, np.int64)
    source_M = np.concatenate([np.arange(n), np.array(extra, np.int64)])
    turn_M = np.concatenate([np.zeros(n, np.int64), np.array(turn, np.int64)])
    return Workload(source_M[order_M], turn_M[order_M], order_M >= n)


def turned(images_NHWC: np.ndarray, turn_N: np.ndarray) -> np.ndarray:
    """A copy of the images, each turned as `turn_N` says.

    Raises:
        MetannError: images that are not square and a quarter turn.
    """
    if images_NHWC.shape[1] != images_NHWC.shape[2] and np.isin(turn_N, [1, 2]).any():
        raise MetannError(
            f"images of {images_NHWC.shape[1]} x {images_NHWC.shape[2]} pixels cannot be turned by a quarter; set rotations to 0"
        )
    images_NHWC = images_NHWC.copy()
    for turn, how in enumerate(
        [lambda x: np.rot90(x, 1, (1, 2)), lambda x: np.rot90(x, -1, (1, 2)), lambda x: x[:, ::-1, ::-1], lambda x: x[:, ::-1]], 1
    ):
        rows = np.flatnonzero(turn_N == turn)
        if len(rows):
            images_NHWC[rows] = how(images_NHWC[rows])
    return images_NHWC


def expected_hit_rate(duplicates: float) -> float:
    """Share of the stream that a perfect, unbounded memory answers when no image of the base set stands in it twice."""
    return duplicates / (1 + duplicates)
