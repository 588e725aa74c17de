"""A preparation that would fail is refused before the results of the last one are removed; without its photos nothing asks for one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_border_photos import fill, picture, settings

from metann.config.data import DataSection
from metann.data.classes import fingerprint, recorded
from metann.data.rehearsal import rehearse
from metann.errors import MetannError
from metann.files.digests import FileDigests
from metann.stages.prepare_data import prepare_data
from metann.workflow.outside import as_prepared

pytestmark = pytest.mark.bad_input


def rehearsed(data: DataSection, folder: Path) -> bool:
    before, digests = recorded(folder), FileDigests()
    return rehearse(data, before, fingerprint(data, digests), digests)


@pytest.fixture
def finished(tmp_path: Path) -> tuple[DataSection, Path]:
    """Settings and prepared data of two classes of six photos."""
    data = settings(fill(tmp_path / "photos"))
    prepare_data(data=data, output=tmp_path / "data")
    return data, tmp_path / "data"


def twin(root: Path) -> None:
    shutil.copy(root / "ant/0.png", root / "bee/twin.png")


def doubles(root: Path) -> None:
    """Every photo of a class stands in the other too."""
    for path in sorted((root / "ant").iterdir()):
        shutil.copy(path, root / "bee" / f"of_ant_{path.name}")


def but_one(root: Path) -> None:
    for path in sorted(root.glob("*/*.png")):
        if path.name != "0.png":
            path.unlink()


@pytest.mark.parametrize(
    ("change", "asked", "complaint"),
    [
        (None, {"test_fraction": 0.99}, "leave none for val"),
        (but_one, {}, "leave none for test"),
        (twin, {"duplicates": "refuse"}, "stand under two classes or more .* remove them, or set data.duplicates"),
        (
            doubles,
            {"duplicates": "drop"},
            r"duplicates: drop leaves no training image of class ant: 12 images left out: .* stand under two classes",
        ),
        (lambda root: (root / "ant/9.png").write_bytes(b"no picture"), {}, r"ant/9\.png"),
        (lambda root: shutil.rmtree(root / "ant"), {}, "bee"),
        (shutil.rmtree, {"image_size": 9}, r"data\.image_size 9, not 8, needs the images of .* which are not there; bring them back"),
        (shutil.rmtree, {"val_fraction": 0.3, "split_seed": 1}, r"data\.split_seed 1, not 42, data\.val_fraction 0\.3, not"),
    ],
)
def test_what_would_fail(finished: tuple[DataSection, Path], change: Callable[[Path], object] | None, asked: dict, complaint: str) -> None:
    data, folder = finished
    if change:
        change(Path(data.root))
    with pytest.raises(MetannError, match=complaint) as caught:
        rehearsed(data.model_copy(update=asked), folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (None, {}),
        (None, {"image_size": 9, "test_fraction": 0.3}),
        (None, {"duplicates": "refuse"}),
        (twin, {}),
        (twin, {"duplicates": "drop"}),
        (lambda root: picture(root / "ant/new.png"), {"duplicates": "refuse"}),
        (lambda root: fill(root, ("wasp",)), {}),
    ],
)
def test_what_may_run(finished: tuple[DataSection, Path], change: Callable[[Path], object] | None, asked: dict) -> None:
    data, folder = finished
    if change:
        change(Path(data.root))
    data = data.model_copy(update=asked)
    assert rehearsed(data, folder) is False
    prepare_data(data=data, output=folder)


def test_photos_that_are_gone(finished: tuple[DataSection, Path], tmp_path: Path) -> None:
    """Nothing to do, wherever they are said to be; and nothing to say of what was never prepared."""
    data, folder = finished
    (tmp_path / "photos").rename(tmp_path / "archive")
    assert rehearsed(data, folder) is True
    assert rehearsed(data.model_copy(update={"root": tmp_path / "nowhere"}), folder) is True
    assert rehearsed(data.model_copy(update={"root": tmp_path / "archive"}), folder) is False
    assert rehearse(data, {}, "", FileDigests()) is False
    assert rehearse(DataSection(name="digits"), recorded(folder), "", FileDigests()) is False


def test_files_that_can_be_fetched_again(tmp_path: Path) -> None:
    """A published data set whose files are gone is prepared anew where it may be downloaded, and refused where not."""
    data = DataSection(name="cifar10", root=tmp_path, download=True)
    before = {"settings": {"name": "cifar10"}, "files": "0123456789abcdef"}
    assert rehearse(data, before, "", FileDigests()) is False
    with pytest.raises(MetannError, match="which are not there; bring them back"):
        rehearse(data.model_copy(update={"download": False}), before, "", FileDigests())


def test_what_the_rule_was_told_when_the_photos_were_there(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text(json.dumps({"params": ["'c0de'", "'files'", "['--data.root=photos']"]}))
    assert as_prepared(["--data.root=x"], "other", "files", record) == (["--data.root=photos"], "c0de")
    for text in ("", "null", "{}", '{"params": ["f("]}', '{"params": ["\'a\'", "\'b\'", "[]"]}', '{"params": 3}'):
        record.write_text(text)
        assert as_prepared(["--data.root=x"], "other", "files", record) == (["--data.root=x"], "other")
    assert as_prepared(["x"], "other", "files", None) == (["x"], "other")
