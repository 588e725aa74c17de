"""Which binary tasks a set of classes gives. A scheme is one function: K classes in, tasks out; its options are keyword-only."""

from itertools import combinations
from typing import NamedTuple

from metann.errors import MetannError, unknown


class Task(NamedTuple):
    """Tell two classes apart.

    Attributes:
        negative: index of the class with label 0.
        positive: index of the class with label 1.
        flipped: this is the second orientation of its pair: an earlier task has the same images with labels reversed.
    """

    negative: int
    positive: int
    flipped: bool


def anchor(class_names: tuple[str, ...], *, anchor: str | None = None) -> list[Task]:
    """Every class against the anchor, whose images are positive in all tasks (the published Experiment 1).

    Args:
        class_names: K names.
        anchor: a class name; None is the last class. CIFAR-100: T1 = apple against worm, .., T99 = woman against worm.
    """
    _at_least(3, class_names, "anchor")
    if anchor is not None and str(anchor) not in class_names:
        raise unknown("class (in anchor)", anchor, class_names)
    positive = len(class_names) - 1 if anchor is None else class_names.index(str(anchor))
    return [Task(k, positive, False) for k in range(len(class_names)) if k != positive]


def mirror(class_names: tuple[str, ...], *, pairing: str = "offset") -> list[Task]:
    """K / 2 pairs of classes, then the same pairs with labels reversed (the published Experiment 2).

    Args:
        class_names: K names, K even.
        pairing: `offset` pairs class i with i + K/2 (the published text), `adjacent` 2j with 2j + 1 (the published code).
    """
    _at_least(4, class_names, "mirror")
    if pairing not in ("offset", "adjacent"):
        raise unknown("pairing", pairing, ("offset", "adjacent"))
    classes = len(class_names)
    if classes % 2:
        raise MetannError(f"scheme 'mirror' pairs classes, and {classes} is an odd number of them; leave one out, or use scheme all_pairs")
    half = classes // 2
    pairs = [(i, i + half) for i in range(half)] if pairing == "offset" else [(2 * j, 2 * j + 1) for j in range(half)]
    return _both_ways(pairs)


def all_pairs(class_names: tuple[str, ...], *, mirrored: bool = True) -> list[Task]:
    """All K (K - 1) / 2 pairs of classes, then, if `mirrored`, the same pairs with labels reversed."""
    _at_least(3, class_names, "all_pairs")
    pairs = list(combinations(range(len(class_names)), 2))
    return _both_ways(pairs) if mirrored else [Task(first, second, False) for first, second in pairs]


def _both_ways(pairs: list[tuple[int, int]]) -> list[Task]:
    return [Task(first, second, False) for first, second in pairs] + [Task(second, first, True) for first, second in pairs]


def _at_least(needed: int, class_names: tuple[str, ...], scheme: str) -> None:
    if len(class_names) < needed:
        raise MetannError(
            f"scheme {scheme!r} needs {needed} classes or more, there are {len(class_names)}; use a dataset with more classes"
        )
