import errno
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from metann.errors import MetannError
from metann.files import atomic, read_json, write_json, write_text


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
