import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from metann.errors import MetannError
from metann.files.atomic import atomic, together
from metann.files.text import read_json, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"x": 1})

    def fail() -> None:
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_json(target) == {"x": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MetannError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_a_missing_input_is_not_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    def copy(read: Callable[[], bytes]) -> None:
        with atomic(tmp_path / "out" / "a.bin") as temporary:
            temporary.write_bytes(read())

    with pytest.raises(FileNotFoundError, match="photo"):
        copy((tmp_path / "photo").read_bytes)
    with pytest.raises(FileNotFoundError):  # pyarrow's carries no name
        copy(lambda: pq.read_table(tmp_path / "table"))
    assert not list((tmp_path / "out").iterdir())


def test_a_full_disk_is_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    def fill(*name: str) -> None:
        with atomic(tmp_path / "a.bin"):
            raise OSError(errno.ENOSPC, "No space left on device", *name)

    for name in ((), (str(tmp_path),)):
        with pytest.raises(MetannError, match=r"cannot write .*a\.bin: No space left on device; free space"):
            fill(*name)
    with pytest.raises(MetannError, match="cannot write"), atomic(tmp_path / "never written"):
        pass


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_unreadable_json_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MetannError, match=r"a\.json") as error:
        read_json(path)
    assert "\n" not in str(error.value)


def test_several_files_come_together(tmp_path: Path) -> None:
    paths = [tmp_path / "deeper" / name for name in ("a.txt", "b.json")]
    for text in ("one", "two"):
        with together(*paths) as (first, second):
            assert (first.suffix, second.suffix) == (".txt", ".json")
            write_text(first, text)
            assert not paths[0].exists() or paths[0].read_text() == "one"
            write_json(second, text)
        assert (paths[0].read_text(), read_json(paths[1])) == (text, text)
        assert sorted((tmp_path / "deeper").iterdir()) == paths


def test_of_several_files_none_comes_when_one_fails(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("old")

    def fail() -> None:
        with together(*paths) as (first, _):
            first.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(MetannError, match=r"cannot write .*a\.txt, .*b\.txt: No such file"), together(*paths) as (first, _):
        first.write_text("new")  # and the second is forgotten
    assert [path.read_text() for path in paths] == ["old", "old"]
    assert sorted(tmp_path.iterdir()) == paths


def write_both(paths: list[Path]) -> None:
    with together(*paths) as temporaries:
        for temporary in temporaries:
            temporary.write_text("new")


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(MetannError, match=r"cannot write .*b\.txt: "):
        write_both([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert list(tmp_path.iterdir()) == [tmp_path / "b.txt"]


def test_new_files_never_stand_beside_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("old")
    replace, seen = os.replace, []

    def watched(source: Path, target: Path) -> None:
        seen.append([path.read_text() for path in paths if path.exists()])
        if target == paths[1] and len(seen) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("metann.files.atomic.os.replace", watched)
    with pytest.raises(MetannError, match="No space left"):
        write_both(paths)
    assert seen == [[], ["new"]]
    assert list(tmp_path.iterdir()) == []


def test_a_signal_waits_until_all_files_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    replace, ended = os.replace, threading.Event()

    def interrupted(source: Path, target: Path) -> None:
        signal.pthread_kill(other.ident, signal.SIGINT)  # as the kernel may, where there are several threads
        time.sleep(0.05)
        replace(source, target)

    monkeypatch.setattr("metann.files.atomic.os.replace", interrupted)
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            write_both(paths)
    finally:
        ended.set()
        other.join()
    assert sorted(tmp_path.iterdir()) == paths


def test_many_files_in_one_folder_do_not_list_it_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 cells would list 20,000 names 20,000 times."""
    listed = []

    def slow(folder: str) -> list[str]:
        listed.append(folder)
        time.sleep(0.2)
        return []

    monkeypatch.setattr(os, "listdir", slow)
    for number in range(50):
        write_text(tmp_path / f"{number}.txt", "x")
    assert len(listed) <= 10  # one, on a machine that is not stopped for seconds
