"""Tasks of classes against classes, and which of them are held out."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann.config.hypernetwork import HypernetworkSection
from metann.errors import MetannError
from metann.hypernetwork import held_out
from metann.hypernetwork.checks import check_experiments
from metann.hypernetwork.tasks import HELD_OUT, SCHEMES, Task, assign_sets, build_tasks, task_columns

CIFAR100 = ["apple", *(f"class {k}" for k in range(1, 98)), "woman", "worm"]


def test_the_published_anchor_tasks() -> None:
    tasks = build_tasks("anchor", CIFAR100)
    assert len(tasks) == 99
    first, last = tasks[0], tasks[98]  # T1 and T99
    assert (CIFAR100[first.negative], CIFAR100[first.positive], first.flipped) == ("apple", "worm", False)
    assert (CIFAR100[last.negative], CIFAR100[last.positive]) == ("woman", "worm")
    assert build_tasks("anchor", list("abcd"), anchor="b") == [Task(0, 1, False), Task(2, 1, False), Task(3, 1, False)]


def test_the_published_mirror_tasks() -> None:
    tasks = build_tasks("mirror", CIFAR100, pairing="offset")
    assert len(tasks) == 100
    assert tasks[0] == Task(0, 50, False)  # T1: classes 1 and 51
    assert tasks[50] == Task(50, 0, True)  # T51 = T1 with labels reversed
    adjacent = build_tasks("mirror", CIFAR100, pairing="adjacent")
    assert adjacent[49] == Task(98, 99, False)  # woman against worm, the list 49 of the published code
    assert adjacent[99] == Task(99, 98, True)  # its mirror, the task that the published code holds out
    assert build_tasks("mirror", CIFAR100) == tasks


def test_all_pairs_of_ten_classes() -> None:
    assert len(build_tasks("all_pairs", list("0123456789"))) == 90
    alone = build_tasks("all_pairs", list("0123456789"), mirrored=False)
    assert len(alone) == 45
    assert {(task.negative, task.positive) for task in alone} == {(i, j) for i in range(10) for j in range(i + 1, 10)}


@pytest.mark.parametrize(
    ("scheme", "names", "options", "words"),
    [
        ("mirrow", "abcd", {}, ["mirrow", "anchor", "mirror"]),
        ("mirror", "abcde", {}, ["5", "odd"]),
        ("mirror", "abcde", {"pairing": "adjacent"}, ["5", "odd"]),
        ("mirror", "ab", {}, ["4 classes", "there are 2"]),
        ("anchor", "ab", {}, ["3 classes", "there are 2"]),
        ("anchor", "abc", {"anchor": "z"}, ["'z'", "a, b, c"]),
        ("anchor", "abc", {"pairing": "offset"}, ["pairing", "anchor"]),
        ("mirror", "abcd", {"pairing": "opposite"}, ["opposite", "offset"]),
    ],
)
def test_bad_schemes_are_refused_in_one_line(scheme: str, names: str, options: dict, words: list[str]) -> None:
    with pytest.raises(MetannError) as error:
        build_tasks(scheme, list(names), **options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


@given(st.sampled_from(sorted(SCHEMES)), st.integers(2, 8), st.sampled_from(sorted(HELD_OUT)), st.integers(0, 99))
def test_units_are_disjoint_and_nothing_is_lost(scheme: str, half: int, way: str, seed: int) -> None:
    tasks = build_tasks(scheme, [str(k) for k in range(2 * half)])
    units = HELD_OUT[way](tasks, seed)
    members = [i for unit in units for i in unit]
    assert len(members) == len(set(members))
    if way != "flips":
        assert sorted(members) == list(range(len(tasks)))
    assert HELD_OUT[way](tasks, seed) == units


def test_what_each_way_leaves_to_training() -> None:
    names = list("0123456789")
    tasks = build_tasks("mirror", names)
    mirrors = held_out.mirrors(tasks)
    assert mirrors == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    pairs = assign_sets(tasks, "pairs", 1, 1)
    assert all(pairs[i] == pairs[mirrors[i]] for i in range(10))  # E2b: no orientation of a held-out pair is trained
    flips = assign_sets(tasks, "flips", 1, 1)
    assert flips[9] == "test"  # E2: the last mirror, whose pair is trained the other way round
    assert flips[mirrors[9]] == "train"
    anchor = build_tasks("anchor", names)
    assert assign_sets(anchor, "tasks", 3, 2)[-1] == "test"  # E1: T99 is always among the held-out tasks
    every = build_tasks("all_pairs", names)
    sets = assign_sets(every, "classes", 2, 1)
    trained = {k for task, name in zip(every, sets, strict=True) if name == "train" for k in task[:2]}
    assert len(trained) == 7  # E2d: neither two test classes nor the validation class are in any trained task
    assert sets.count("test") == 90 - 8 * 7


def test_holding_out_too_much_is_refused() -> None:
    tasks = build_tasks("anchor", list("abcd"))
    with pytest.raises(MetannError, match=r"leave 0 of 3 tasks"):
        assign_sets(tasks, "tasks", 2, 1)
    with pytest.raises(MetannError, match=r"unknown way .*'pair'.*pairs"):
        assign_sets(tasks, "pair", 1, 1)


def test_the_table_has_names_and_mirrors() -> None:
    tasks = build_tasks("mirror", ["a", "b", "c", "d", "e", "f"])
    columns = task_columns(tasks, assign_sets(tasks, "pairs", 1, 1), ["a", "b", "c", "d", "e", "f"])
    assert columns["negative_name"].tolist() == ["a", "b", "c", "d", "e", "f"]
    assert columns["positive_name"].tolist() == ["d", "e", "f", "a", "b", "c"]
    assert columns["mirror"].tolist() == [3, 4, 5, 0, 1, 2]


def test_tasks_need_no_torch() -> None:
    code = "import metann.hypernetwork as h; h.build_tasks('anchor', ['a', 'b', 'c']); import sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("section", "classes", "words"),
    [
        ({"experiments": {"E2": {"scheme": "mirror", "held_out": "pairs", "test": 1, "validation": 1}}}, 7, ["experiments.E2", "odd"]),
        ({"experiments": {"E1": {}}}, 2, ["experiments.E1", "3 classes"]),
        ({"generators": {"a": {"kind": "affine", "z": "fixed", "z_size": 3}}}, 10, ["generators.a", "4 tasks", "z_size 4"]),
    ],
)
def test_a_configuration_is_checked_against_the_number_of_classes(section: dict, classes: int, words: list[str]) -> None:
    with pytest.raises(MetannError) as error:
        check_experiments(HypernetworkSection.model_validate(section), classes)
    assert all(word in str(error.value) for word in words)


def test_a_configuration_that_fits_is_taken() -> None:
    check_experiments(HypernetworkSection.model_validate({"experiments": {"E1": {"options": {"anchor": "worm"}}}}), 10)
