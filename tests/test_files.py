import os
import signal
from pathlib import Path

import pytest

from metann.errors import MetannError
from metann.files import atomic, read_json, together, write_json, write_text


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
    with pytest.raises(RuntimeError), together(*paths) as (first, _):
        first.write_text("new")
        raise RuntimeError
    with pytest.raises(MetannError, match=r"cannot write .*a\.txt, .*b\.txt: No such file"), together(*paths) as (first, _):
        first.write_text("new")  # and the second is forgotten
    assert [path.read_text() for path in paths] == ["old", "old"]
    assert sorted(tmp_path.iterdir()) == paths


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

    monkeypatch.setattr("metann.files.os.replace", watched)
    with pytest.raises(MetannError, match="No space left"), together(*paths) as temporaries:
        for temporary in temporaries:
            temporary.write_text("new")
    assert seen == [[], ["new"]]
    assert list(tmp_path.iterdir()) == []


def test_a_signal_waits_until_all_files_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    replace = os.replace

    def interrupted(source: Path, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        replace(source, target)

    monkeypatch.setattr("metann.files.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt), together(*paths) as temporaries:
        for temporary in temporaries:
            temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == paths
