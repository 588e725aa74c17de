"""Which rows of a foreign table are for validation: the test of a sorted table and the shares of classes, against plain loops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metann.errors import MetannError
from metann.tables.validation_rows import first_or_fair, named_rows

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=60)


def plain(ids: list[int], labels: list[int], total: int) -> tuple[bool, dict[int, int]]:
    """Whether the first rows will do, and how many of each class a fair share is."""
    n, share = len(ids), total / len(ids)
    first = sorted(range(n), key=ids.__getitem__)[:total]
    classes = sorted(set(labels))
    count = {c: labels.count(c) for c in classes}
    found = {c: sum(labels[i] == c for i in first) for c in classes}
    statistic = sum((found[c] - count[c] * share) ** 2 / (count[c] * share * (1 - share)) for c in classes)
    freedom = max(len(classes) - 1, 1)
    lost = [c for c in classes if count[c] * min(share, 1 - share) >= 1 and found[c] in (0, count[c])]
    quota = {c: count[c] * total // n for c in classes}
    left = total - sum(quota.values())
    for c in sorted(classes, key=lambda c: -(count[c] * total % n))[:left]:  # a stable sort: ties by class
        quota[c] += 1
    return statistic <= freedom + 6 * (2 * freedom) ** 0.5 + 6 and not lost, quota


@given(st.data(), LABELS)
@example(None, [0] * 20 + [1] * 20 + [2] * 3)
@example(None, [0, 1, 2, 3, 4] * 9)
def test_the_first_rows_or_a_share_of_each_class(data: st.DataObject | None, labels: list[int]) -> None:
    ids = list(range(len(labels))) if data is None else data.draw(st.permutations(range(len(labels))))
    total = len(labels) // 3 + 1 if data is None else data.draw(st.integers(1, len(labels) - 1))
    first_will_do, quota = plain(ids, labels, total)
    val_N, said = first_or_fair(np.array(ids), np.array(labels), total)
    assert (val_N.dtype, val_N.sum()) == (bool, total)
    assert bool(said) is not first_will_do
    if first_will_do:
        assert sorted(np.array(ids)[val_N]) == sorted(ids)[:total]
        return
    assert {c: int(val_N[np.array(labels) == c].sum()) for c in sorted(set(labels))} == quota
    order = np.random.default_rng(0).permutation(len(labels))  # the share of an image does not depend on where its row stands
    again, _ = first_or_fair(np.array(ids)[order], np.array(labels)[order], total)
    assert set(np.array(ids)[order][again]) == set(np.array(ids)[val_N])


def test_a_share_is_drawn_and_not_cut_off() -> None:
    labels_N = np.repeat([0, 1], 500)
    val_N, (said,) = first_or_fair(np.arange(1000), labels_N, 300)
    assert said.startswith("rows are sorted by class: the first 300 hold 1 of 2 classes, so a share of each class")
    places = np.flatnonzero(val_N[:500])
    assert len(places) == 150
    assert 200 < places.mean() < 300
    assert (np.diff(places) == 1).mean() < 0.5


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (["Val", " valid ", "VALIDATION", "rest", "rest"], [1, 1, 1, 0, 0]),
        (["dev", "", "", "", ""], [1, 0, 0, 0, 0]),
        (["true", "Yes", "1", "0", "no"], [1, 1, 1, 0, 0]),
        ([1.0, 0.0, 0.0, 1.0, 0.0], [1, 0, 0, 1, 0]),
        ([True, False, True, False, False], [1, 0, 1, 0, 0]),
    ],
)
def test_marks(marks: list, expected: list[int]) -> None:
    found = named_rows("mark", {"mark": np.array(marks)}, np.arange(5), None, Path("t.parquet"))
    assert found.dtype == bool
    assert found.tolist() == [bool(e) for e in expected]


@pytest.mark.bad_input
@pytest.mark.parametrize("marks", [["val", "a", "b", "a", "b"], ["val", "a", "no", "a", "a"], ["x", "y", "z", "y", "z"]])
def test_marks_of_several_kinds(marks: list[str]) -> None:
    with pytest.raises(MetannError, match=r"t\.parquet: column 'mark' holds .*: which rows are for validation\?"):
        named_rows("mark", {"mark": np.array(marks)}, np.arange(5), None, Path("t.parquet"))


@pytest.mark.bad_input
def test_a_file_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ids_N, names_N = np.array([30, 10, 20]), np.array(["a/1.png", "a/caf\u00e9.png", "7"], object)

    def rows(names: np.ndarray | None = None) -> list[bool]:
        return named_rows("ids.txt", {}, ids_N, names, Path("t.parquet")).tolist()

    for text in ("10\n30\n", "id\n10\n30\n", '"30"\n10.0\n', "\ufeff30\r\n10\r\n"):
        Path("ids.txt").write_text(text, encoding="utf-8")
        assert rows() == [True, True, False]
    for text in (".\\a\\1.png\n7\n", "a/1.png\n 7 \n"):  # as another system writes names
        Path("ids.txt").write_text(text, encoding="utf-8")
        assert rows(names_N) == [True, False, True]
    Path("ids.txt").write_text("a/cafe\u0301.png\n", encoding="utf-8")
    assert rows(names_N) == [False, True, False]
    Path("ids.txt").write_text("7\n", encoding="utf-8")  # a name that is a number
    assert rows(names_N) == [False, False, True]
    Path("ids.txt").write_text("filename\na/1.png\n", encoding="utf-8")
    assert rows(names_N) == [True, False, False]
    Path("ids.txt").write_text("007\n008\n", encoding="utf-8")
    assert rows(np.array(["008", "7", "007"], object)) == [True, False, True]
    np.save("ids.npy", np.array([[20.0], [10.0]]))
    assert named_rows("ids.npy", {}, ids_N, None, Path("t.parquet")).tolist() == [False, True, True]
    for text, complaint in [
        ("10.5\n30\n", r"ids\.txt: '10\.5' is no image of t\.parquet \(1 of 2 are not\)"),
        ("nan\n10\n", "'nan' is no image"),
    ]:
        Path("ids.txt").write_text(text, encoding="utf-8")
        with pytest.raises(MetannError, match=complaint):
            rows()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bool]]:
    """Rows of a table of five that a file names."""
    monkeypatch.chdir(tmp_path)

    def rows(content: str | np.ndarray, names: list[str] | None = None, **columns: object) -> list[bool]:
        if isinstance(content, str):
            Path("ids.txt").write_text(content, encoding="utf-8")
        else:
            np.save("ids.npy", content)
        arrays = {name: np.array(values, object if isinstance(values[0], str) else None) for name, values in columns.items()}
        ids_N = np.arange(5) if names is None else np.argsort(np.argsort(names))
        file = "ids.txt" if isinstance(content, str) else "ids.npy"
        return named_rows(file, arrays, ids_N, None if names is None else np.array(names, object), Path("t.parquet")).tolist()

    return rows


MASK = [True, False, False, True, True]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "content",
    [
        np.array(MASK),
        np.array(MASK)[:, None],
        np.array(MASK).astype(np.uint8),
        np.array(MASK).astype(float),
        "1\n0\n0\n1\n1\n",
        "True\nfalse\nFalse\ntrue\nTRUE\n",
        "val\n1\n0\n0\n1\n1\n",
    ],
)
@pytest.mark.parametrize("names", [None, ["0", "1", "2", "3", "4"], ["a", "b", "c", "d", "e"]])
def test_a_file_of_marks(asked: Callable[..., list[bool]], content: str | np.ndarray, names: list[str] | None) -> None:
    """One for each row; that none of them is an id cannot be told by the ids 0 and 1 being there."""
    assert asked(content, names) == MASK


@pytest.mark.bad_input
def test_ids_0_and_1_are_ids(asked: Callable[..., list[bool]]) -> None:
    assert asked(np.array([0, 1])) == asked("1\n0\n") == [True, True, False, False, False]
    assert asked("1\n") == [False, True, False, False, False]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.array(MASK[:4]), r"ids\.npy holds 4 of False, True, and the table has 5 rows; give one for each row, or ids"),
        (np.array([0, 1, 1, 0]), r"ids\.npy holds 4 of 0, 1, and the table has 5 rows"),
        ("3\n2\n3\n3\n", r"ids\.txt: '3' stands there 3 times; give every id once"),
        ("3\n3.0\n", r"'3' stands there 2 times"),
        ("1e400000000\n2\n", "'1e400000000' is no image"),
        ("1_0\n2\n", "'1_0' is no image"),
    ],
)
def test_files_of_ids_that_are_refused(asked: Callable[..., list[bool]], content: str | np.ndarray, complaint: str) -> None:
    with pytest.raises(MetannError, match=complaint):
        asked(content)


@pytest.mark.bad_input
def test_ids_are_compared_to_the_last_digit(asked: Callable[..., list[bool]]) -> None:
    names = ["12345678901234568", "12345678901234567", "12345678901234566", "12e3", "12000"]
    assert asked("12345678901234567\n012345678901234566.0\n", names) == [False, True, True, False, False]
    assert asked("12e3\n", names) == [False, False, False, True, False]
    assert asked("012000\n", names) == [False, False, False, False, True]
    assert asked("2.000000e+00\n4.000000e+00\n") == [False, False, True, False, True]
    for wrong in ("12345678901234565\n", "1.2345678901234568e16\n", "120e2\n"):
        with pytest.raises(MetannError, match=r"is no image of t\.parquet \(1 of 1 are not\)"):
            asked(wrong, names)


@pytest.mark.bad_input
def test_ids_of_another_column(asked: Callable[..., list[bool]]) -> None:
    """A table with names and numbers is asked for by either; the places of names in their order are not ids."""
    names = ["e", "d", "c", "b", "a"]
    both = {"file": names, "sample_id": [10, 20, 30, 40, 50]}
    assert asked("10\n50\n", names, **both) == asked(np.array([10.0, 50.0]), names, **both) == [True, False, False, False, True]
    assert asked("e\na\n", names, **both) == [True, False, False, False, True]
    assert asked("x/1.png\n", names, file=names, Path=[f"x/{i}.png" for i in range(5)]) == [False, True, False, False, False]
    for text in ("0\n1\n2\n", "10\na\n"):
        with pytest.raises(MetannError, match=r"is no image of t\.parquet"):
            asked(text, names, **both)
    with pytest.raises(MetannError, match="is no image"):  # patients are no images
        asked("7\n", names, id=[7, 7, 8, 8, 9])
