"""The tasks of an experiment: which there are, and which are trained, held back for choosing, or held out for the report. No torch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metann.errors import MetannError, one_of, unknown
from metann.hypernetwork import held_out, schemes
from metann.hypernetwork.schemes import Task
from metann.registry import keyword_settings

__all__ = ["HELD_OUT", "SCHEMES", "Task", "assign_sets", "build_tasks", "task_columns"]

SCHEMES: dict[str, Callable[..., list[Task]]] = {"anchor": schemes.anchor, "mirror": schemes.mirror, "all_pairs": schemes.all_pairs}
HELD_OUT = {"tasks": held_out.tasks, "pairs": held_out.pairs, "flips": held_out.flips, "classes": held_out.classes}


def build_tasks(scheme: str, class_names: Sequence[str], **options: Any) -> list[Task]:
    """All tasks of a scheme, in the published order.

    Args:
        scheme: `anchor`, `mirror` or `all_pairs`.
        class_names: K names, in label order.
        options: of the scheme's function in schemes.py: `anchor`, `pairing`, `mirrored`.

    Returns:
        Tasks with class indices; `negative` has label 0 and `positive` label 1, whether the task is flipped or not.

    Raises:
        MetannError: unknown scheme or option, too few classes, or an odd number of classes where they are paired.
    """
    if scheme not in SCHEMES:
        raise unknown("scheme", scheme, SCHEMES, "metann/hypernetwork/schemes.py")
    known = keyword_settings("hypernetwork/schemes.py", scheme)
    for option in options:
        if option not in known:
            raise MetannError(f"unknown option {option!r} of scheme {scheme}; known: {one_of(known)}")
    return SCHEMES[scheme](tuple(class_names), **options)


def assign_sets(tasks: Sequence[Task], way: str, test: int, validation: int, seed: int = 0) -> list[str]:
    """Say of each task whether it is trained, held back for choosing learning rates, or held out.

    Args:
        tasks: of a scheme.
        way: how tasks are held out, a function of held_out.py.
        test: units that are held out: tasks, pairs, flips or classes.
        validation: further units that are held back.
        seed: names the choice; the same for all generators and training seeds.

    Returns:
        `train`, `val` or `test` for each task.

    Raises:
        MetannError: unknown way, or fewer than two tasks left to train on.
    """
    if way not in HELD_OUT:
        raise unknown("way to hold tasks out", way, HELD_OUT, "metann/hypernetwork/held_out.py")
    units = HELD_OUT[way](list(tasks), seed)
    sets = ["train"] * len(tasks)
    for name, chosen in (("test", units[:test]), ("val", units[test : test + validation])):
        for unit in chosen:
            for i in unit:
                sets[i] = name
    if len(units) < test + validation or sets.count("train") < 2:
        raise MetannError(
            f"{test} + {validation} {way} held out of {len(units)} leave {sets.count('train')} of {len(tasks)} tasks to train on; "
            "two or more are needed: hold fewer out, or use more classes"
        )
    return sets


def task_columns(tasks: Sequence[Task], sets: Sequence[str], class_names: Sequence[str]) -> dict[str, Any]:
    """The table of tasks, as columns: indices and names of the classes, set and mirror."""
    return {
        "task": np.arange(len(tasks), dtype=np.int16),
        "negative": np.array([task.negative for task in tasks], np.int16),
        "positive": np.array([task.positive for task in tasks], np.int16),
        "negative_name": np.array([class_names[task.negative] for task in tasks]),
        "positive_name": np.array([class_names[task.positive] for task in tasks]),
        "flipped": np.array([task.flipped for task in tasks]),
        "set": np.array(list(sets)),
        "mirror": np.array(held_out.mirrors(list(tasks)), np.int16),
    }
