"""Which tasks a generator never sees in training. A way to hold tasks out is one function: tasks in, units of tasks out.

A unit is held out as a whole. Units come in the order in which they are taken; the first `held_out_count` are test tasks, the next
ones are validation tasks, on which learning rates are chosen, and all other tasks are trained.
"""

from metann.hypernetwork.schemes import Task
from metann.seeds import derive_seed

Unit = tuple[int, ...]


def tasks(given: list[Task], seed: int) -> list[Unit]:
    """Single tasks, always the last one among them (T99 of the published Experiment 1: woman against worm)."""
    last = len(given) - 1
    return [(last,), *_shuffled([(i,) for i in range(last)], seed)]


def pairs(given: list[Task], seed: int) -> list[Unit]:
    """Pairs of classes in both orientations: nothing about their decision was ever trained."""
    reversed_of = mirrors(given)
    return _shuffled([(i,) if reversed_of[i] < 0 else (i, reversed_of[i]) for i, task in enumerate(given) if not task.flipped], seed)


def flips(given: list[Task], seed: int) -> list[Unit]:
    """One orientation of a pair, whose other orientation is trained; the last task (as in the published code) comes first."""
    found = [(i,) for i, task in enumerate(given) if task.flipped]
    return [*found[-1:], *_shuffled(found[:-1], seed)]


def classes(given: list[Task], seed: int) -> list[Unit]:
    """All tasks that touch a class: neither its images nor its decisions were ever trained. A task goes with the first of its classes."""
    units, taken = [], set()
    for (k,) in _shuffled(sorted({(k,) for task in given for k in task[:2]}), seed):
        unit = tuple(i for i, task in enumerate(given) if k in task[:2] and i not in taken)
        taken |= set(unit)
        units.append(unit)
    return units


def mirrors(given: list[Task]) -> list[int]:
    """For each task the index of the task with the labels reversed, or -1."""
    place = {(task.negative, task.positive): i for i, task in enumerate(given)}
    return [place.get((task.positive, task.negative), -1) for task in given]


def _shuffled(units: list[Unit], seed: int) -> list[Unit]:
    """In an order that depends on the seed alone, whatever the version of Python."""
    return sorted(units, key=lambda unit: derive_seed(seed, "held_out", *unit))
