"""Folders of photos from practice: what is read, what is left out and said, and what is refused."""

import gc
import json
import os
import re
import shutil
import struct
import time
import unicodedata
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import metann
from digits_networks import prepared
from PIL import Image

from metann.config.data import DataSection
from metann.data.classes import check_duplicates, recorded
from metann.data.duplicates import find_duplicates
from metann.data.prepared import read_info, read_prepared, write_prepared
from metann.data.raw import load_dataset
from metann.datasets import _pictures, _pixels, _search
from metann.datasets._photos import find_photos, read_photos
from metann.datasets._pictures import read_each, read_pictures
from metann.datasets._search import find_pictures, printable
from metann.datasets._splits import split_of
from metann.datasets._survey import survey
from metann.errors import MetannError
from metann.stages.prepare_data import prepare_data

pytestmark = pytest.mark.bad_input

CASES = Path(__file__).parent.parent.parent / "shared" / "cases"


def settings(root: Path, **keys: object) -> DataSection:
    return DataSection(name="image_folder", root=root, image_size=8, **keys)


def picture(path: Path, shade: int | tuple[int, ...] = 100, kind: str = "PNG", size: int = 12) -> Path:
    """A noisy picture that differs from every other by its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(str(path).encode())
    noise = np.random.default_rng(seed).integers(0, 100, (size, size, 3))
    Image.fromarray((noise + np.array(shade)).clip(0, 255).astype(np.uint8)).save(path, format=kind)
    return path


def fill(root: Path, classes: tuple[str, ...] = ("ant", "bee"), n: int = 6) -> Path:
    for c, name in enumerate(classes):
        for i in range(n):
            picture(root / name / f"{i}.png", 40 * c)
    return root


def made(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of the cases from practice, built in `folder`."""
    script = CASES / name / "make.py"
    if not script.is_file():
        pytest.skip(f"NO CASES: {CASES} is not there")
    monkeypatch.chdir(folder)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # some leave files open
        exec(compile(script.read_text(), script, "exec"), {"__name__": "case"})
        gc.collect()
    return folder


def said(folder: Path, capsys: pytest.CaptureFixture[str], data: DataSection) -> tuple[str, dict]:
    """The log and the description of a prepared folder."""
    capsys.readouterr()
    prepare_data(data=data, output=folder)
    return capsys.readouterr().out, json.loads((folder / "dataset.json").read_text())


# --- the cases from practice ----------------------------------------------------------------------------------------


def test_case_training_and_testing_are_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("01-training-testing-folders", tmp_path, monkeypatch)
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert info["class_names"] == ["leaf", "root", "stem"]
    counts = {split: len(read_prepared(tmp_path / "out").samples.rows(split)) for split in ("train", "val", "test")}
    assert counts["test"] == 24
    assert counts["train"] + counts["val"] == 60
    assert "assumed: folder 'Training' is the split train" in log
    assert "folder 'Testing' is the split test" in info["assumed"]


def test_case_hidden_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("02-hidden-folder-in-class", tmp_path, monkeypatch)
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert len(read_prepared(tmp_path / "out").samples) == 40
    assert info["skipped"] == {"hidden or system files": 16}
    assert "left out: 16 hidden or system files" in log
    assert info["notices"] == []


def test_case_suffixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("03-skipped-photos", tmp_path, monkeypatch)
    raw = load_dataset(settings(tmp_path / "photos"))
    assert np.bincount(raw.labels_N).tolist() == [20, 20]  # .heic holds JPEG here; .jfif, no suffix, .avif and .jpeg_large are read
    assert raw.skipped == {}


def test_case_twelve_and_ten_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("16-twelve-bits-in-16-bit-png", tmp_path, monkeypatch)
    for bits in (12, 10):
        raw = load_dataset(DataSection(name="image_folder", root=tmp_path / f"scans{bits}", image_size=32))
        files = sorted((tmp_path / f"scans{bits}").rglob("*.png"), key=lambda path: (path.parent.name, path.name))
        for row, path in enumerate(files):
            np.testing.assert_array_equal(raw.images_NCHW[row, 0], np.asarray(Image.open(path)).astype(int) >> (bits - 8))
        assert raw.bits == bits
        assert raw.assumed == (f"files of 16 bits use {bits}: white is {2**bits - 1}",)


def test_case_equal_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("27-same-photos-in-train-and-test", tmp_path, monkeypatch)
    data = settings(tmp_path / "photos", val_fraction=0.2)
    log, info = said(tmp_path / "keep", capsys, data)
    assert any(notice.startswith("20 of 20 test images are equal to ") or "of 20 test images" in notice for notice in info["notices"])
    assert "2 images stand under two classes" in log
    assert "photos" not in log.split("such as")[1].split(" and ")[0]  # names are those below the root
    copies = sum(int(notice.split()[0]) for notice in info["notices"] if "test images are equal" in notice)
    assert copies == 20
    prepare_data(data=data.model_copy(update={"duplicates": "drop"}), output=tmp_path / "drop")
    samples = read_prepared(tmp_path / "drop").samples
    assert len(samples.rows("test")) == 20
    assert len(samples) == 41 + 20 - 20 - 2
    with pytest.raises(MetannError, match=r"of 20 test images are equal .*data\.duplicates to drop or keep"):
        prepare_data(data=data.model_copy(update={"duplicates": "refuse"}), output=tmp_path / "refuse")
    assert not (tmp_path / "refuse").exists()
    strict = data.model_copy(update={"duplicates": "refuse"})
    for known in ("keep", "drop"):
        found = recorded(tmp_path / known)
        with pytest.raises(MetannError, match=r"of 20 test images are equal .*data\.duplicates to drop or keep"):
            check_duplicates(strict, found, found["files"])
        check_duplicates(strict, found, "other photos")
        check_duplicates(strict.model_copy(update={"val_fraction": 0.5}), found, found["files"])
        check_duplicates(data, found, found["files"])
    for hostile in ({"equal_images": 5}, {"equal_images": ["a"], "settings": "b"}, {}):
        check_duplicates(strict, hostile, "")


# --- others of their kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("TRAIN", "train"), ("train_set", "train"), ("Training Images", "train"), ("seg_train", "train"), ("Trainset", "train")),
        *(("VALID", "val"), ("Validation", "val"), ("validation-set", "val"), ("dev", "val")),
        *(("test_data", "test"), ("TESTING", "test"), ("Tests", "test"), ("testset", "test")),
        *(("trains", None), ("contest", None), ("pregnancy test", None), ("test track", None), ("holdout", None), ("images", None)),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_three_spelled_splits(tmp_path: Path) -> None:
    for split, n in (("TRAIN", 5), ("Validation", 2), ("test_set", 3)):
        fill(tmp_path / split, n=n)
    raw = load_dataset(settings(tmp_path))
    assert raw.class_names == ("ant", "bee")
    assert [(raw.official_split == split).sum() for split in ("train", "val", "test")] == [10, 4, 6]


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (("Training", "train", "test"), "'?Training'?, train all mean train"),
        (("Training", "Testing", "leftover"), "'leftover' stands beside Testing, Training.*data.classes"),
        (("Testing", "Validation"), "'train' is missing beside Testing, Validation"),
        (("Train", "Valid", "validation"), "Valid, validation all mean val"),
    ],
)
def test_splits_that_are_unclear(tmp_path: Path, folders: tuple[str, ...], complaint: str) -> None:
    for name in folders:
        fill(tmp_path / name)
    with pytest.raises(MetannError, match=complaint):
        load_dataset(settings(tmp_path))


def test_departments_of_a_firm_are_classes(tmp_path: Path) -> None:
    names = ("Marketing", "Testing", "Training course")
    assert load_dataset(settings(fill(tmp_path / "a", names))).class_names == names
    athletes = fill(tmp_path / "b", ("Testing", "Training"))
    with pytest.raises(MetannError, match=r"0 class folders.*name them all in data\.classes"):
        load_dataset(settings(athletes))
    assert load_dataset(settings(athletes, classes=("Training", "Testing"))).class_names == ("Training", "Testing")


def test_a_folder_too_high(tmp_path: Path) -> None:
    for split in ("Training", "Testing"):
        fill(tmp_path / "archive" / split)
    with pytest.raises(MetannError, match=r"Testing, Training, set data\.root to .*archive"):
        load_dataset(settings(tmp_path))


@pytest.mark.parametrize("name", [".AppleDouble", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "__pycache__", ".thumbnails"])
def test_system_folders_at_every_depth(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    picture(tmp_path / "ant" / "deep" / "er" / "good.png")
    for place in ("", "ant", "ant/deep", "bee/more"):
        picture(tmp_path / place / name / "inner" / "x.png")
    raw = load_dataset(settings(tmp_path))
    assert len(raw.labels_N) == 13
    assert raw.class_names == ("ant", "bee")
    assert sum(raw.skipped.values()) == 4


def test_a_class_may_be_called_like_a_price(tmp_path: Path) -> None:
    names = ("#1", "$5 note", "@home")
    assert load_dataset(settings(fill(tmp_path, names))).class_names == names


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "photos")
    ant = tmp_path / "photos" / "ant"
    for name in ("notes.txt", "more.txt", "._0.png", "Thumbs.db", "desktop.ini"):
        (ant / name).write_bytes(b"\x00\x05\x16\x07")
    (ant / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(30))
    (ant / "camera.NEF").write_bytes(b"MM\x00*" + bytes(30))
    (ant / "README").write_text("words")
    shutil.copy(ant / "0.png", ant / "0.png~")
    shutil.copy(ant / "0.png", ant / "1.jpg.part")
    (tmp_path / "photos" / "labels.csv").write_text("a,b")
    os.mkfifo(ant / "pipe.png")
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert len(read_prepared(tmp_path / "out").samples) == 12
    assert info["skipped"] == {
        "files with suffix .txt": 2,
        "hidden or system files": 3,
        "HEIC pictures, which are not read; save them as JPEG or PNG": 1,
        "camera raw pictures, which are not read; save them as JPEG or PNG": 1,
        "files without a suffix that are no pictures": 1,
        "backups or unfinished downloads": 2,
        "files beside the class folders": 1,
        "pipes, sockets or devices": 1,
    }
    for reason, number in info["skipped"].items():
        assert f"left out: {number} {reason}\n" in log
    assert read_info(tmp_path / "out").skipped == info["skipped"]


def test_a_class_that_loses_most_of_its_photos_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, n=3)
    for i in range(5):
        (tmp_path / "bee" / f"{i}.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(30))
    with pytest.raises(MetannError, match=r"bee: of 8 pictures only 3 can be read; left out: 5 HEIC pictures.*save them as JPEG"):
        load_dataset(settings(tmp_path))
    for i in range(20):
        (tmp_path / "ant" / f"{i}.xml").write_text("<annotation/>")  # no pictures: no loss
    for i in range(4):
        (tmp_path / "bee" / f"{i}.HEIC").unlink()
    assert load_dataset(settings(tmp_path)).skipped["files with suffix .xml"] == 20


def test_links_are_followed_and_circles_found(tmp_path: Path) -> None:
    fill(tmp_path / "photos")
    store = fill(tmp_path / "elsewhere", ("cat",), n=4) / "cat"
    (tmp_path / "photos" / "cat").symlink_to(store, target_is_directory=True)
    (tmp_path / "photos" / "ant" / "one.png").symlink_to(store / "0.png")
    (tmp_path / "photos" / "ant" / "up").symlink_to("..", target_is_directory=True)
    (tmp_path / "photos" / "bee" / "self").symlink_to(".", target_is_directory=True)
    (tmp_path / "photos" / "all").symlink_to(tmp_path, target_is_directory=True)
    (store / "there").symlink_to(tmp_path / "photos" / "bee", target_is_directory=True)
    (tmp_path / "photos" / "bee" / "and back").symlink_to(store, target_is_directory=True)
    raw = load_dataset(settings(tmp_path / "photos"))
    assert raw.class_names == ("ant", "bee", "cat")
    assert np.bincount(raw.labels_N).tolist() == [7, 6 + 4, 4 + 6]
    assert raw.skipped["links back to a folder above them"] == 6


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda root: (root / "cat").symlink_to("/nowhere/cat"), r"cat is a link to /nowhere/cat, which is not there"),
        (lambda root: (root / "ant" / "x.jpg").symlink_to("gone.jpg"), r"x\.jpg is a link to gone\.jpg, which is not there"),
        (lambda root: (root / "bee" / "more").symlink_to("/nowhere", target_is_directory=True), r"more is a link to /nowhere"),
        (lambda root: (root / "bee" / "o.png").symlink_to("o.png"), r"o\.png is a link to o\.png, in a circle"),
    ],
)
def test_dangling_links_are_named(tmp_path: Path, make: object, complaint: str) -> None:
    make(fill(tmp_path))
    with pytest.raises(MetannError, match=complaint) as caught:
        load_dataset(settings(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    (tmp_path / "ant" / "locked").mkdir()
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(_search.os, "listdir", refuse)
    with pytest.raises(MetannError, match=r"locked is a folder that cannot be read: permission denied"):
        load_dataset(settings(tmp_path))


def test_one_unicode_form(tmp_path: Path) -> None:
    name = "caf\u00e9"
    fill(tmp_path / "train", (name, "tea"))
    fill(tmp_path / "test", (unicodedata.normalize("NFD", name), "tea"), n=2)
    raw = load_dataset(settings(tmp_path))
    assert raw.class_names == (name, "tea")
    assert np.bincount(raw.labels_N).tolist() == [8, 8]
    other = fill(tmp_path.with_name("both"), (name, unicodedata.normalize("NFD", name), "tea"))
    with pytest.raises(MetannError, match=r"two folders .* another Unicode form"):
        load_dataset(settings(other))
    assert load_dataset(settings(tmp_path, classes=("tea", unicodedata.normalize("NFD", name)))).class_names == ("tea", name)


def test_a_class_folder_that_is_no_text(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(MetannError, match=r"caf\\xe9.*rename it"):
        load_dataset(settings(tmp_path))


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\x85b", "a\u2028b", "a\u202eb", "a\u2067b"])
def test_a_class_folder_that_would_garble_lines(tmp_path: Path, name: str) -> None:
    with pytest.raises(MetannError, match=r"no printable text.*rename it") as caught:
        load_dataset(settings(fill(tmp_path, ("ant", name), n=2)))
    assert str(caught.value).isprintable()


def test_class_names_of_any_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Persian with a joint that is not seen, a family of emoji, blanks of other widths, a mark of direction, a soft hyphen."""
    names = ("family \U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "10\u00a0cm")
    names = (*names, "\u30ab\u30e1\u3000\u732b", "\u05d0\u200f", "tea\u00adcup")
    _, info = said(tmp_path / "out", capsys, settings(fill(tmp_path / "photos", names, n=5)))
    assert info["class_names"] == sorted(names)
    assert read_info(tmp_path / "out").class_names == tuple(sorted(names))
    assert load_dataset(settings(tmp_path / "photos", classes=names)).class_names == names


def test_deep_colours_keep_their_levels(tmp_path: Path) -> None:
    """12 bits in 16-bit colour PNG, of which Pillow alone would keep 16 levels."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4096, (3, 8, 8), dtype=np.uint16)
    values[0, 0, 0] = 4095
    for c, name in enumerate(("ant", "bee")):
        (tmp_path / name).mkdir()
        for i in range(3):
            write_deep(tmp_path / name / f"{i}.png", np.roll(values, 2 * i + c, axis=2))
    raw = load_dataset(settings(tmp_path))
    assert raw.bits == 12
    np.testing.assert_array_equal(raw.images_NCHW[0], values >> 4)
    assert len(np.unique(raw.images_NCHW[0])) > 60


def write_deep(path: Path, values_CHW: np.ndarray) -> None:
    """A PNG of 16 bits a channel, by hand, which Pillow does not write."""
    channels, height, width = values_CHW.shape
    rows = values_CHW.transpose(1, 2, 0).astype(">u2").reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6, 2: 4}[channels], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))


def test_pictures_of_many_bands_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A band of any height gives the same pixels, of deep grey and of transparency alike."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 4096, (37, 41), dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(rng.integers(0, 256, (37, 41, 4), dtype=np.uint8), "RGBA").save(tmp_path / "clear.png")
    paths = [tmp_path / "deep.png", tmp_path / "clear.png"]
    whole = read_pictures(paths, 11)
    monkeypatch.setattr(_pixels, "_BAND", 5)
    banded = read_pictures(paths, 11)
    assert (banded.images_NCHW == whole.images_NCHW).all()
    assert banded.bits == whole.bits == 12


def test_huge_pictures_wait_for_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        Image.new("RGB", (30, 30)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(_pictures, "_HUGE", 800)
    monkeypatch.setattr(_pictures, "_LARGE", 400)
    inside, most = [], []
    square = _pictures._square

    def counted(*given: object) -> np.ndarray:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return square(*given)

    monkeypatch.setattr(_pictures, "_square", counted)
    assert not read_pictures(sorted(tmp_path.iterdir()), 8).problems
    assert max(most) == 1


def test_deep_transparency_shows_white(tmp_path: Path) -> None:
    values = np.full((4, 8, 8), 65535, np.uint16)
    values[:3] = 1000
    values[3, :, :4] = 0
    write_deep(tmp_path / "colours.png", values)
    write_deep(tmp_path / "grey.png", values[2:])
    for name in ("colours", "grey"):
        pictures = read_pictures([tmp_path / f"{name}.png"], 8)
        assert pictures.bits == 16
        assert (pictures.images_NCHW[0, 0, :, :4] == 255).all()
        assert (pictures.images_NCHW[0, 0, :, 4:] == 1000 >> 8).all()


def test_bits_of_one_bright_picture_hold_for_all(tmp_path: Path) -> None:
    for name, top in (("a", 900), ("b", 16_000)):
        Image.fromarray(np.full((8, 8), top, np.uint16)).save(tmp_path / f"{name}.png")
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    assert read_pictures(paths, 8).bits == 14
    assert read_pictures(paths, 8).images_NCHW[:, 0, 0, 0].tolist() == [900 >> 6, 16_000 >> 6]
    assert read_pictures(paths[:1], 8, bits=14).images_NCHW[0, 0, 0, 0] == 900 >> 6  # as predict does
    assert read_pictures(paths[1:], 8, bits=12).images_NCHW[0, 0, 0, 0] == 255
    Image.new("L", (8, 8), 7).save(tmp_path / "c.png")
    assert read_pictures([tmp_path / "c.png"], 8).bits is None


def test_duplicates_against_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (200, 1, 2, 2), dtype=np.uint8)
    labels, split = rng.integers(0, 3, 200).astype(np.int16), rng.choice(["train", "val", "test"], 200)
    found = find_duplicates(images, labels, split)
    rank = {"test": 0, "val": 1, "train": 2}
    for i in range(200):
        equal = [j for j in range(200) if (images[i] == images[j]).all()]
        assert found.torn_N[i] == (len({labels[j] for j in equal}) > 1)
        assert found.across_N[i] == (min(rank[split[j]] for j in equal) < rank[split[i]])
    for front, behind in (("test", "val"), ("test", "train"), ("val", "train")):
        n = sum(any((images[i] == images[j]).all() for j in np.flatnonzero(split == behind)) for i in np.flatnonzero(split == front))
        assert any(notice.startswith(f"{n} of {(split == front).sum()} {front} images are equal to {behind}") for notice in found.notices)


def test_equal_photos_in_val_and_one_under_three_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "photos"
    for split in ("train", "val", "test"):
        fill(root / split, ("ant", "bee", "cat"), n=4)
    shutil.copy(root / "train/ant/0.png", root / "val/ant/again.png")
    for name in ("bee", "cat"):
        shutil.copy(root / "train/ant/1.png", root / f"train/{name}/same.png")
    _, info = said(tmp_path / "out", capsys, settings(root))
    assert len(info["notices"]) == 2
    assert info["notices"][0].startswith("1 of 13 val images are equal to train images (such as val/ant/again.png and train/ant/0.png)")
    assert info["notices"][1].startswith("3 images stand under two classes or more (1 different images, such as train/ant/1.png and ")
    prepare_data(data=settings(root, duplicates="drop"), output=tmp_path / "drop")
    samples = read_prepared(tmp_path / "drop").samples
    assert [len(samples.rows(split)) for split in ("train", "val", "test")] == [12 + 2 - 3 - 1, 13, 12]


def test_dropping_may_not_empty_a_split(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    with pytest.raises(MetannError, match="leaves no image for"):
        write_prepared(tmp_path / "out", load_dataset(settings(tmp_path)), settings(tmp_path, duplicates="drop"))


def test_dropping_may_not_empty_a_class(tmp_path: Path) -> None:
    """It says that dropping did it, and only where it did."""
    fill(tmp_path / "train")
    fill(tmp_path / "test", n=2)
    shutil.copytree(tmp_path / "train" / "bee", tmp_path / "val" / "bee")
    picture(tmp_path / "val" / "ant" / "own.png")
    raw = load_dataset(settings(tmp_path))
    write_prepared(tmp_path / "out", raw, settings(tmp_path))
    why = r"data\.duplicates: drop leaves no training image of class bee: 6 images left out: .*; keep them, or give others"
    with pytest.raises(MetannError, match=why):
        write_prepared(tmp_path / "out", raw, settings(tmp_path, duplicates="drop"))
    short = replace(raw, class_names=(*raw.class_names, "cow"))
    with pytest.raises(MetannError, match="image_folder has no training images of class cow"):
        write_prepared(tmp_path / "out", short, settings(tmp_path))


@pytest.mark.parametrize("other", ["Cat", "cat ", "\u200bcat", "c\u0430t"])
def test_classes_that_look_alike_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str) -> None:
    _, info = said(tmp_path / "out", capsys, settings(fill(tmp_path / "photos", ("cat", "dog", other))))
    assert len(info["class_names"]) == 3
    first, second = sorted(("cat", other))
    assert info["assumed"] == ([] if other == "c\u0430t" else [f"{first!r} and {second!r} are 2 classes, not one"])
    assert load_dataset(settings(tmp_path / "photos", classes=("cat", other, "dog"))).assumed == ()


# --- the same search for what is predicted --------------------------------------------------------------------------


def test_find_photos(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "ant" / "._003.png").write_bytes(b"\x00\x05\x16\x07")
    shutil.copy(tmp_path / "ant" / "0.png", tmp_path / "photo without suffix")
    found = find_photos([tmp_path / "bee" / "1.png", tmp_path])
    assert len(found.pictures) == 14
    assert found.pictures[0] == tmp_path / "bee" / "1.png"
    assert found.skipped == {"hidden or system files": 1}
    assert find_pictures(tmp_path).pictures == found.pictures[1:]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: os.mkfifo(path), "is a pipe, socket or device"),
        (lambda path: path.symlink_to("/dev/null"), "is a pipe, socket or device"),
        (lambda path: path.symlink_to("gone.png"), "no image .*a link to gone.png, which is not there"),
        (lambda path: None, "no image "),  # noqa: ARG005
        (lambda path: path.mkdir(), "no images in folder"),
    ],
)
def test_paths_without_a_picture(tmp_path: Path, make: object, complaint: str) -> None:
    make(tmp_path / "x.png")
    with pytest.raises(MetannError, match=complaint):
        find_photos([tmp_path / "x.png"])


def test_one_bad_path_costs_the_others_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    raw = tmp_path / "raw.nef"
    raw.write_bytes(b"II*\0" + bytes(100))
    heic = tmp_path / "a.heic"
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    odd = tmp_path / "photo~"
    shutil.copy(tmp_path / "good/ant/0.png", odd)
    bad = {
        tmp_path / "gone.png": "no image .*gone.png$",
        tmp_path / "empty": "no images in folder",
        tmp_path / "pipe.png": "is a pipe, socket or device",
        tmp_path / ("x" * 300): "no image .*too long",
        raw: "camera raw pictures, which are not read; save them as JPEG or PNG",
        heic: "HEIC pictures, which are not read; save them as JPEG or PNG",
    }
    found = find_photos([*list(bad)[:3], tmp_path / "good/ant/1.png", *list(bad)[3:], odd])
    assert found.pictures == [tmp_path / "good/ant/1.png", odd]
    assert sorted(found.problems) == sorted(bad)
    for path, problem in found.problems.items():
        assert re.search(bad[path], problem), problem
    nothing = list(bad)[:3]
    with pytest.raises(MetannError, match=r"no image .*gone\.png; give image files"):
        find_photos(nothing)


def test_the_depth_of_a_predicted_file_is_its_own(tmp_path: Path) -> None:
    """Not that of the files beside it, where those of the training had no depth."""
    ramp = np.linspace(0, 1023, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "ten.png")
    Image.fromarray((ramp * 64).astype(np.uint16)).save(tmp_path / "sixteen.png")
    alone = read_photos([tmp_path / "ten.png"], 1, 8)
    both = read_photos([tmp_path / "ten.png", tmp_path / "sixteen.png"], 1, 8)
    np.testing.assert_array_equal(alone.images_NCHW[0], both.images_NCHW[0])
    np.testing.assert_array_equal(both.images_NCHW[0], both.images_NCHW[1])
    assert (alone.bits, both.bits, alone.images_NCHW.max()) == (10, 16, 255)
    known = read_photos([tmp_path / "ten.png"], 1, 8, 12)
    assert known.images_NCHW.max() == 63
    assert read_each([tmp_path / "ten.png", tmp_path / "sixteen.png"], 8).images_NCHW[0].max() == 3  # a data set has one depth


def test_printable() -> None:
    assert printable("a b/\u732b.png") == "a b/\u732b.png"
    assert printable(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"
    assert printable("a\nb\x1b[31m") == "a\\nb\\x1b[31m"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network of digits that was never trained."""
    from metann.mnn.model import MetaNeuralNetwork
    from metann.mnn.setting import Rule
    from metann.networks._build import build

    folder = tmp_path_factory.mktemp("packed")
    info = read_info(prepared(folder / "data"))
    header = {
        "architecture": "small_cnn",
        "settings": {"width": 4, "depth": 2},
        "num_classes": 10,
        "channels": 1,
        "image_size": 8,
        "class_names": list(info.class_names),
        "mean": list(info.mean),
        "std": list(info.std),
    }
    torch.manual_seed(0)
    parts = [build("small_cnn", 10, 1, 8, width=4, depth=2) for _ in range(2)]
    rule = Rule(switch_function="top_k(1)", combine="product")
    MetaNeuralNetwork(parts[0], [parts[1]] + [None] * 9, rule, header).save(folder / "model.safetensors")
    return folder / "model.safetensors"


def test_a_broken_file_costs_its_own_answer(packed: Path, tmp_path: Path) -> None:
    photos = fill(tmp_path / "photos", ("x",), n=4)
    whole = (photos / "x" / "3.png").read_bytes()
    (photos / "x" / "3.png").write_bytes(whole[:100])
    (photos / "x" / "._003.png").write_bytes(b"\x00\x05\x16\x07")
    (photos / "x" / "gone.png").symlink_to("nowhere.png")
    done = metann("predict", packed, photos, "--json", check=False)
    assert done.returncode == 2
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(photos / "x" / f"{i}.png") for i in range(3)]
    left, error = done.stderr.splitlines()
    assert left.startswith("metann: left out: 1 hidden or system files")
    assert error.startswith("metann: error: 2 of 5 images cannot be read: ")
    assert "3.png (" in error
    assert "gone.png (a link to nowhere.png, which is not there)" in error
    (photos / "x" / "3.png").write_bytes(whole)
    (photos / "x" / "gone.png").unlink()
    assert metann("predict", packed, photos).returncode == 0


def test_a_file_name_that_is_no_text(packed: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    picture(tmp_path / "\u732b <b> | $x_1$.png")
    done = metann("predict", packed, tmp_path)
    assert "caf\\xe9.png" in done.stdout
    assert "\u732b <b> | $x_1$.png" in done.stdout


# --- splits in other words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("TRAIN", "VAL", "TEST"), ("train", "val", "test")),
        (("train2017", "val2017"), ("train", "val")),
        (("1_train", "2_test"), ("train", "test")),
        (("TrainData", "TestData"), ("train", "test")),
        (("X_train", "X_test"), ("train", "test")),
        (("Train", "Evaluation"), ("train", "val")),
        (("Training Set", "Test Set"), ("train", "test")),
        (("01 Training", "02 Validation", "03 Testing"), ("train", "val", "test")),
    ],
)
def test_splits_in_other_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...], splits: tuple[str, ...]) -> None:
    for name in names:
        fill(tmp_path / "photos" / name, ("ant", "bee"), n=4)
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert info["class_names"] == ["ant", "bee"]
    for name, split in zip(names, splits, strict=True):
        assert f"assumed: folder '{name}' is the split {split}" in log


@pytest.mark.parametrize("other", ["Holdout", "Unlabeled", "Fold 2"])
def test_what_looks_like_a_split_is_no_class(tmp_path: Path, other: str) -> None:
    for name in ("Train", other):
        fill(tmp_path / "photos" / name, ("ant", "bee"), n=2)
    with pytest.raises(MetannError, match=rf"'{other}' stands beside Train; .* name them all in data\.classes"):
        load_dataset(settings(tmp_path / "photos"))
    named = settings(tmp_path / "photos", classes=("Train", other))
    assert load_dataset(named).class_names == ("Train", other)


def test_classes_that_sound_like_splits(tmp_path: Path) -> None:
    """Vehicles by day and by night; tests of a laboratory."""
    for name in ("Bus", "Car", "Train"):
        fill(tmp_path / "roads" / name, ("day",), n=2)
    assert load_dataset(settings(tmp_path / "roads")).class_names == ("Bus", "Car", "Train")
    fill(tmp_path / "laboratory", ("Test 1", "Test 2", "blank"))
    assert load_dataset(settings(tmp_path / "laboratory")).class_names == ("Test 1", "Test 2", "blank")
    fill(tmp_path / "numbered", ("train1", "train2"))
    assert load_dataset(settings(tmp_path / "numbered")).class_names == ("train1", "train2")


# --- splits where classes are looked for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("cars_train", "cars_test"),
        ("train cars 2", "test cars 2"),
        ("\uff34\uff32\uff21\uff29\uff2e", "\uff34\uff25\uff33\uff34"),
    ],
)
def test_splits_with_a_name_in_common(tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, str]) -> None:
    for name, n in zip(names, (5, 3), strict=True):
        fill(tmp_path / "photos" / name, ("cat", "dog"), n=n)
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert info["class_names"] == ["cat", "dog"]
    assert len(read_prepared(tmp_path / "out").samples.rows("test")) == 6
    for name, split in zip(names, ("train", "test"), strict=True):
        assert f"assumed: folder '{name}' is the split {split}" in log


@pytest.mark.parametrize(
    "names",
    [
        ("Trainingsdaten", "Testdaten"),
        ("\u8bad\u7ec3", "\u6d4b\u8bd5"),
        ("tr", "te"),
        ("xtrain", "xtest"),
        ("trainA", "trainB", "testA", "testB"),
        ("fold1", "fold2", "fold3"),
    ],
)
def test_splits_in_unknown_words_are_told(tmp_path: Path, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """They may be classes as well: buses by day and by night."""
    for name in names:
        fill(tmp_path / "photos" / name, ("cat", "dog"), n=4)
    log, _ = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert (
        f"assumed: {', '.join(sorted(names))} are classes, each with the folders cat, dog; if they are splits, name them train, val" in log
    )
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos", classes=names))
    assert info["class_names"] == list(names)
    assert "each with the folders" not in log


def test_folders_inside_classes_are_no_splits(tmp_path: Path) -> None:
    """Other folders inside, one in common, pictures beside them: classes as before."""
    for name, inside in (("ant", ("2019", "2020")), ("bee", ("2020", "2021"))):
        fill(tmp_path / "years" / name, inside, n=2)
    fill(tmp_path / "loose" / "ant", ("day", "night"), n=2)
    fill(tmp_path / "loose" / "bee", ("day", "night"), n=2)
    picture(tmp_path / "loose" / "bee" / "own.png")
    for root in ("years", "loose"):
        raw = load_dataset(settings(tmp_path / root))
        assert raw.class_names == ("ant", "bee")
        assert raw.assumed == ()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("names", [("cat", "dog"), ("images", "masks")])
def test_splits_below_the_classes_are_not_merged(tmp_path: Path, names: tuple[str, str], named: bool) -> None:
    for name in names:
        fill(tmp_path / name, ("Test", "train"), n=2)
    (tmp_path / names[0] / "Test").rename(tmp_path / names[0] / "testing")  # one spelling each
    with pytest.raises(MetannError, match=rf"splits \(test, train\) stand inside {names[0]}, {names[1]}; .*train/{names[0]}.*data\.root"):
        load_dataset(settings(tmp_path, classes=names if named else ()))


def test_classes_that_are_called_like_splits_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "photos", ("ant", "bee", "Test", "Validation"), n=4)
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert info["class_names"] == ["Test", "Validation", "ant", "bee"]
    assert info["assumed"] == ["folder 'Test' is a class, not the split test", "folder 'Validation' is a class, not the split val"]
    assert "assumed: folder 'Test' is a class, not the split test\n" in log
    assert load_dataset(settings(tmp_path / "photos", classes=("ant", "bee", "Test", "Validation"))).assumed == ()


def test_splits_inside_one_class_are_told(tmp_path: Path) -> None:
    fill(tmp_path, ("dog",))
    fill(tmp_path / "cat", ("train", "test"))
    assert load_dataset(settings(tmp_path)).assumed == ("folders test, train inside 'cat' are parts of this class, not splits",)


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.parametrize("kind", ["class folders", "nothing", "loose pictures"])
def test_a_split_without_pictures_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, split: str) -> None:
    fill(tmp_path / "photos" / "train", n=10)
    (tmp_path / "photos" / split).mkdir()
    for i, name in enumerate(("ant", "bee")):
        if kind == "class folders":
            (tmp_path / "photos" / split / name).mkdir()
        elif kind == "loose pictures":
            picture(tmp_path / "photos" / split / f"{i}.png")
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    sentence = f"folder of split {split} has no picture in a class folder; a share of train (data.{split}_fraction) takes its place"
    assert info["assumed"] == [sentence]
    assert f"assumed: {sentence}\n" in log
    assert info["skipped"] == ({"files beside the class folders": 2} if kind == "loose pictures" else {})
    assert survey(settings(tmp_path / "photos")).assumed == (sentence,)


# --- what a search meets ----------------------------------------------------------------------------------------------


def test_hidden_folders_beside_the_classes_are_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "photos", ("ant", "bee", ".NET", "__background__", "~snapshot", "@__thumb", "RECYCLED", ".snapshot"))
    (tmp_path / "photos" / ".git").mkdir()
    (tmp_path / "photos" / ".git" / "HEAD").write_text("x")
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert info["class_names"] == ["__background__", "ant", "bee"]
    assert info["skipped"] == {"hidden or system files": 6 + 1 + 6 + 6 + 1 + 1}  # copies of a whole drive are not walked
    sentence = "folder '.NET' holds pictures and is hidden, so it is no class; rename it to make it one"
    assert info["assumed"] == [sentence]
    assert f"assumed: {sentence}\n" in log
    for name in ("~snapshot", "@__thumb", "RECYCLED"):
        shutil.move(tmp_path / "photos" / name, tmp_path / "photos" / "ant" / name)
    raw = load_dataset(settings(tmp_path / "photos"))
    assert np.bincount(raw.labels_N).tolist() == [6, 6, 6]


def test_files_without_permission_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    (tmp_path / "ant" / "notes.txt").write_text("words")
    (tmp_path / "ant" / "old.txt").symlink_to("gone.txt")
    stat = Path.stat

    def refuse(path: Path, **keys: object) -> os.stat_result:
        if path.name in locked:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **keys)

    monkeypatch.setattr(Path, "stat", refuse)
    locked = {"notes.txt"}
    assert load_dataset(settings(tmp_path)).skipped == {"files that cannot be read": 1, "links that lead nowhere": 1}
    for name in ("3.png", "bee"):
        locked = {name}
        with pytest.raises(MetannError, match=rf"{name} is a file or folder that cannot be read: permission denied.*mend or remove it"):
            load_dataset(settings(tmp_path))


@pytest.mark.parametrize("name", ["Train", "train/ant", "Holdout"])
def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fill(tmp_path / name.split("/")[0])
    fill(tmp_path / "test")
    lists = {"listdir": os.listdir, "scandir": os.scandir}

    def refuse(how: str, path: Path) -> object:
        if str(path) == str(tmp_path / name):
            raise PermissionError(13, "Permission denied", str(path))
        return lists[how](path)

    for how in lists:
        monkeypatch.setattr(os, how, lambda path=".", how=how: refuse(how, path))
    if name == "Holdout":
        (tmp_path / "test").rename(tmp_path / "Train")  # not enough to call both splits
    with pytest.raises(MetannError, match=rf"{tmp_path / name}\b.* cannot be read|cannot read image folder {tmp_path / name}: Permission"):
        load_dataset(settings(tmp_path))


def test_folders_that_link_to_one_another_are_searched_once(tmp_path: Path) -> None:
    fill(tmp_path)
    rooms = [tmp_path / "ant" / f"room {i}" for i in range(7)]
    for i, room in enumerate(rooms):
        picture(room / f"own {i}.png")
    for room in rooms:
        for other in rooms:
            if other != room:
                (room / other.name).symlink_to(other, target_is_directory=True)
    (tmp_path / "bee" / "of ant").symlink_to(rooms[0], target_is_directory=True)  # another class searches anew
    raw = load_dataset(settings(tmp_path))
    assert np.bincount(raw.labels_N).tolist() == [6 + 7, 6 + 7]
    # Every link but those that `bee` needs leads to a folder known already.
    assert raw.skipped["folders reached twice"] + raw.skipped["links back to a folder above them"] == 42 + 42 - 6


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.bmp", "RGB"), ("a.pbm", "1"), ("a.pgm", "L"), ("a.ppm", "RGB"), ("a.tif", "L"), ("a.gif", "P"), ("a.webp", "RGB")],
)
def test_pictures_without_a_suffix_are_known_by_their_first_bytes(tmp_path: Path, name: str, mode: str) -> None:
    Image.new(mode, (9, 8), 1 if mode == "1" else 77).save(tmp_path / name, **({"big_tiff": True} if name == "a.tif" else {}))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).rename(tmp_path / "scan")
    found = find_pictures(tmp_path)
    assert found.pictures == [tmp_path / "scan"]
    assert not read_pictures(found.pictures, 8).problems
    if name == "a.tif":
        assert whole[2] == 43, "a BigTIFF"
    if name.endswith("m"):
        (tmp_path / "scan").write_bytes(whole[:2] + b"\n# made by a scanner\n" + whole[3:])
        assert find_pictures(tmp_path).pictures == [tmp_path / "scan"]


def test_texts_that_begin_like_pictures_are_none(tmp_path: Path) -> None:
    texts = (b"BMI of all patients: ", b"P1 is the first person", b"P2", b"P6 12 apples", b"BM", b"II+", b"Planes")
    for i, text in enumerate(texts):
        (tmp_path / f"note{i}").write_bytes(text)
    assert find_pictures(tmp_path).skipped == {"files without a suffix that are no pictures": len(texts)}


# --- 16 bits in other formats -----------------------------------------------------------------------------------------


def tiff(path: Path, values_HWC: np.ndarray, photometric: int = 2, order: str = "<", **tags: int) -> None:
    """A TIFF of 16 bits, by hand, which Pillow does not write in colour."""
    height, width, channels = values_HWC.shape
    data = (values_HWC.transpose(2, 0, 1) if tags.get("planes") == 2 else values_HWC).astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if tags.get("compression") == 8 else data
    planes = channels if tags.get("planes") == 2 else 1
    at = [1000 + len(data) // planes * plane for plane in range(planes)]
    given = {256: [width], 257: [height], 258: [16] * channels, 259: [tags.get("compression", 1)], 262: [photometric], 273: at}
    given |= {274: [tags.get("orientation", 1)], 277: [channels], 278: [height], 279: [len(data) // planes] * planes}
    given |= {284: [tags.get("planes", 1)]} | ({338: [tags["extra"]]} if "extra" in tags else {})
    entries, more = b"", b""
    for tag, numbers in given.items():
        raw = struct.pack(f"{order}{len(numbers)}I", *numbers)
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers))
        entries += raw if len(raw) == 4 else struct.pack(f"{order}I", 500 + len(more))
        more += raw if len(raw) > 4 else b""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(given)) + entries + bytes(4)
    path.write_bytes((head.ljust(500, b"\0") + more).ljust(1000, b"\0") + data)


def twelve_bits(channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 4096, (8, 8, channels), dtype=np.uint16)
    values[0, 0, 0] = 4095
    return values


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_deep_colours_of_tiff_keep_their_levels(tmp_path: Path, order: str, compression: int) -> None:
    values = twelve_bits()
    tiff(tmp_path / "a.tif", values, order=order, compression=compression)
    tiff(tmp_path / "turned.tif", np.rot90(values), order=order, compression=compression, orientation=6)
    more = np.concatenate([values, np.full((8, 8, 1), 7, np.uint16)], axis=2)
    tiff(tmp_path / "unused.tif", more, order=order, compression=compression, extra=0)
    found = read_pictures([tmp_path / f"{name}.tif" for name in ("a", "turned", "unused")], 8)
    assert found.bits == 12
    for picture_CHW in found.images_NCHW:
        np.testing.assert_array_equal(picture_CHW.transpose(1, 2, 0), values >> 4)


def test_deep_transparency_and_inks_of_tiff(tmp_path: Path) -> None:
    half = np.full((8, 8, 4), 32896, np.uint16)
    half[..., :3] = (32896, 16448, 0)
    tiff(tmp_path / "apart.tif", half, extra=2)
    tiff(tmp_path / "multiplied.tif", half, extra=1)
    tiff(tmp_path / "ink.tif", half, photometric=5)
    apart, multiplied, ink = read_pictures([tmp_path / f"{name}.tif" for name in ("apart", "multiplied", "ink")], 8, bits=16).images_NCHW
    assert apart[:, 0, 0].tolist() == [191, 159, 127]
    assert multiplied[:, 0, 0].tolist() == pytest.approx([255, 191, 127], abs=1)
    assert ink[:, 0, 0].tolist() == pytest.approx([63, 95, 127], abs=1)


def test_deep_colours_in_planes_are_refused(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", twelve_bits(), planes=2)
    with pytest.raises(MetannError, match=r"a\.tif \(16-bit colours in separate planes; save it as PNG of 16 bits\)"):
        read_pictures([tmp_path / "a.tif"], 8)
    fill(tmp_path)
    (tmp_path / "a.tif").rename(tmp_path / "ant" / "a.tif")
    (problem,) = survey(settings(tmp_path)).unreadable
    assert problem.endswith("a.tif (16-bit colours in separate planes; save it as PNG of 16 bits)")


def test_deep_grey_of_film_is_no_negative(tmp_path: Path) -> None:
    values = twelve_bits(1)
    values[0, 1] = 0
    tiff(tmp_path / "film.tif", values, photometric=0)
    tiff(tmp_path / "screen.tif", values, photometric=1)
    found = read_pictures([tmp_path / "film.tif", tmp_path / "screen.tif"], 8)
    assert found.bits == 12
    np.testing.assert_array_equal(found.images_NCHW[0, 0], 255 - (values[..., 0] >> 4))
    np.testing.assert_array_equal(found.images_NCHW[1, 0], values[..., 0] >> 4)


@pytest.mark.parametrize("kind", ["P6", "P3"])
def test_deep_colours_of_ppm_keep_their_levels(tmp_path: Path, kind: str) -> None:
    values = twelve_bits()
    head = f"{kind}\n# of a camera\n8 8\n65535\n".encode()
    body = values.astype(">u2").tobytes() if kind == "P6" else b"\n".join(b"%d" % value for value in values.ravel())
    (tmp_path / "a.ppm").write_bytes(head + body)
    found = read_pictures([tmp_path / "a.ppm"], 8)
    assert found.bits == 12
    np.testing.assert_array_equal(found.images_NCHW[0].transpose(1, 2, 0), values >> 4)
    (tmp_path / "a.ppm").write_bytes(head.replace(b"65535", b"4095") + body)  # says itself where white is
    np.testing.assert_allclose(read_pictures([tmp_path / "a.ppm"], 8).images_NCHW[0].transpose(1, 2, 0), values / 4095 * 255, atol=1)
    (tmp_path / "a.ppm").write_bytes((head + body)[:-9])
    with pytest.raises(MetannError, match="1 of 1 images cannot be read"):
        read_pictures([tmp_path / "a.ppm"], 8)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif", ".avif"])
def test_frames_behind_the_first_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(5)]
    path = fill(tmp_path / "photos") / "ant" / f"moving{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    log, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert info["skipped"] == {"frames or pages behind the first of a file": 4}
    assert "left out: 4 frames or pages behind the first of a file\n" in log
    with Image.open(path) as image:
        first = image.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR, box=(5, 0, 45, 40))
    np.testing.assert_array_equal(read_pictures([path], 8).images_NCHW[0].transpose(1, 2, 0), np.asarray(first))
    if suffix in (".gif", ".tif"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with warnings.catch_warnings(action="ignore"):
            assert read_pictures([path], 8).images_NCHW.shape == (1, 3, 8, 8)
