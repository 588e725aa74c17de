"""Networks and the images that they have not learned from: validation images choose, test images report.

Shapes: N images (validation and test together), K classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from metann.cascade.rowwise import first_argmax


@dataclass(frozen=True, eq=False)
class Network:
    """What one network says of the held-out images.

    Attributes:
        name: as configured.
        macs: multiply-accumulates per image; NaN where unknown.
        p_NK: class probabilities.
    """

    name: str
    macs: float
    p_NK: np.ndarray


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Networks on the same held-out images.

    Attributes:
        networks: at least two, rows in the same order.
        labels_N: true classes.
        val_N: bool, True where the image chooses, False where it reports.
        confidence: of every interval.
    """

    networks: Sequence[Network]
    labels_N: np.ndarray
    val_N: np.ndarray
    confidence: float = 0.95

    def __post_init__(self) -> None:
        object.__setattr__(self, "_right", {a.name: first_argmax(a.p_NK) == self.labels_N for a in self.networks})

    def named(self, name: str) -> Network:
        """The network of a name."""
        return next(network for network in self.networks if network.name == name)

    def right(self, name: str) -> np.ndarray:
        """(N,) bool, whether a network alone is right."""
        return self._right[name]  # type: ignore[attr-defined]

    def better_of(self, names: Iterable[str]) -> str:
        """The network of the best validation accuracy, the cheaper of equals."""
        return max(names, key=lambda name: (self.right(name)[self.val_N].sum(), -np.nan_to_num(self.named(name).macs)))

    def pairs(self) -> list[tuple[str, str]]:
        """All ordered pairs."""
        return list(permutations([network.name for network in self.networks], 2))
