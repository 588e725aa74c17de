"""A configuration for a folder of photos: the look is image_folder's own, every number keeps its rule, and the file always reads back."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import metann
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from metann.config.data import DataSection
from metann.config.run import Config
from metann.config.section import read_section
from metann.config.training import TrainingSection
from metann.data.raw import load_dataset
from metann.data.split import assign_splits
from metann.data.suggestion import ASKED, SIZES, WIDTH, as_yaml, suggest
from metann.data.survey import Survey
from metann.datasets._survey import survey
from metann.errors import MetannError
from metann.networks._build import build
from metann.plan.estimate import estimated_times
from metann.training import speed


def pictures(folder: Path, n: int, side: int = 20, mode: str = "RGB") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(n)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (side + i, side + 3 * i, 3)).astype(np.uint8)).convert(mode).save(folder / f"{i}.png")


def photos(root: Path, mode: str = "RGB") -> Path:
    for name, n in (("ant", 8), ("bee", 5), ("cow", 6)):
        pictures(root / name, n, mode=mode)
    (root / "ant" / "notes.txt").write_text("no picture")
    (root / "bee" / ".hidden.png").write_text("of a file manager")
    return root


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_look_is_what_image_folder_reads(tmp_path: Path, mode: str) -> None:
    section = DataSection(name="image_folder", root=photos(tmp_path / "photos", mode), image_size=8)
    found, raw = survey(section), load_dataset(section)
    labels = Counter(raw.class_names[label] for label in raw.labels_N)
    assert found.of_class == dict(labels)
    assert (found.names, found.grey) == (raw.class_names, raw.images_NCHW.shape[1] == 1)
    assert found.sides == (20, 23, 27)
    for reason in raw.skipped:
        assert reason in found.skipped
    split = assign_splits(raw.official_split, raw.labels_N, section)
    assert found.shared(section.test_fraction, section.val_fraction) == dict(Counter(split.tolist()))


def test_splits_of_the_folders_are_kept(tmp_path: Path) -> None:
    for split, n in (("Training", 4), ("test", 3)):
        for name in ("1", "2", "10"):
            pictures(tmp_path / split / name, n)
    found = survey(DataSection(name="image_folder", root=tmp_path))
    assert found.of_split == {"train": 12, "test": 9}
    assert found.shared(0.5, 0.25) == {"train": 9, "test": 9, "val": 3}
    assert "folder 'Training' is the split train" in found.assumed
    given_ = suggest(found, small_cnn_macs)
    assert given_.classes == ("1", "2", "10")
    config = read_section(Config, yaml.safe_load(as_yaml(given_, found, "x", str(tmp_path))))
    assert config.data.classes == ("1", "2", "10")
    assert "test_fraction" not in config.data.model_fields_set


def test_broken_pictures_are_counted_and_a_folder_of_them_refused(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    (root / "cow" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (problem,) = survey(DataSection(name="image_folder", root=root)).unreadable
    assert "cow/broken.png" in problem
    for path in root.rglob("[0-9].png"):
        path.write_bytes(b"")
    with pytest.raises(MetannError, match="none of the 20 pictures that were opened can be read, such as"):
        survey(DataSection(name="image_folder", root=root))


def test_pictures_that_prepare_data_refuses_are_told(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    Image.new("1", (9_750, 9_750)).save(root / "cow" / "map.png")
    (root / "cow" / "empty.png").write_bytes(b"")
    Image.new("F", (20, 20)).save(root / "cow" / "heights.tif")
    section = DataSection(name="image_folder", root=root)
    assert [problem.split("cow/")[1] for problem in survey(section).unreadable] == [
        "empty.png (empty file)",
        "heights.tif (floating-point pixels have no known white; save it with 8 or 16 bits)",
        f"map.png (more than {Image.MAX_IMAGE_PIXELS} pixels)",
    ]
    with pytest.raises(MetannError, match=r"3 of 22 .*empty\.png.*heights\.tif.*map\.png \(more than"):
        load_dataset(section)


@pytest.mark.parametrize("empty", [("test",), ("val",), ("test", "val")])
def test_splits_of_empty_folders_take_a_share(tmp_path: Path, empty: tuple[str, ...]) -> None:
    """`prepare-data` fills them from the training images; the file gives their shares as where no folder is."""
    for name in ("ant", "bee"):
        pictures(tmp_path / "train" / name, 10)
        for split in {"test", "val"} - set(empty):
            pictures(tmp_path / split / name, 3)
        for split in empty:
            (tmp_path / split / name).mkdir(parents=True)
    section = DataSection(name="image_folder", root=tmp_path, image_size=8)
    found = survey(section)
    given_ = suggest(found, small_cnn_macs)
    text = as_yaml(given_, found, "x", str(tmp_path))
    config = read_section(Config, yaml.safe_load(text))
    assert {f"{split}_fraction" for split in empty} == config.data.model_fields_set & {"test_fraction", "val_fraction"}
    raw = load_dataset(section)
    assert given_.images == dict(Counter(assign_splits(raw.official_split, raw.labels_N, config.data).tolist()))


def test_one_picture_of_each_class_is_too_few(tmp_path: Path) -> None:
    """The words of `prepare-data`; three and one can be shared out, and no class gives its last."""
    pictures(tmp_path / "ant", 1)
    pictures(tmp_path / "bee", 1)
    with pytest.raises(MetannError, match=r"2 training images, at most one per class, leave none for test; give more"):
        suggest(survey(DataSection(name="image_folder", root=tmp_path)), small_cnn_macs)
    for n in (2, 3):
        images = {("train", "ant"): n, ("train", "bee"): 1}
        found = Survey(images, ("ant", "bee"), (20, 20, 20), False, 2)
        if n == 2:
            with pytest.raises(MetannError, match="leave none for val"):
                found.shared(0.9, 0.9)
        else:
            assert found.shared(0.1, 0.9) == {"train": 2, "test": 1, "val": 1}
            assert found.shared(0.1, 0.9) == dict(
                Counter(assign_splits(np.array(["train"] * 4), np.array([0, 0, 0, 1]), DataSection(test_fraction=0.1, val_fraction=0.9)))
            )


def small_cnn_macs(width: int, depth: int, size: int) -> float:
    """Of convolutions alone, in colour."""
    widths = [3, *(width * 2**stage for stage in range(depth))]
    return sum(9 * widths[stage] * widths[stage + 1] * (size >> stage) ** 2 for stage in range(depth))


@st.composite
def surveys(draw: st.DrawFn) -> Survey:
    names = tuple(sorted(draw(st.sets(st.text(min_size=1, max_size=8), min_size=2, max_size=33))))
    images = {("train", name): draw(st.integers(2, 3000)) for name in names}
    images |= {("val", name): 0 for name in names} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        images |= {("test", name): 5 for name in names}
    low = draw(st.integers(1, 500))
    texts = st.text(max_size=20)
    return Survey(
        images, names, (low, low + 5, low + 90), draw(st.booleans()), 5, (), draw(texts), tuple(draw(st.lists(texts, max_size=2)))
    )


@settings(max_examples=30)
@given(surveys(), st.text(min_size=1, max_size=20).filter(lambda root: not root.startswith("~")))
def test_every_folder_gets_a_configuration_that_reads_back(found: Survey, root: str) -> None:
    given_ = suggest(found, small_cnn_macs)
    text = as_yaml(given_, found, "mine", root)
    config = read_section(Config, yaml.safe_load(text))
    assert str(config.data.root) == str(DataSection(root=root).root)
    assert (config.run, config.families, config.data.image_size) == ("mine", ("mnn",), given_.image_size)
    assert config.training.epochs == given_.epochs
    assert config.mnn is not None
    assert config.mnn.dataset_thresholds == given_.dataset_thresholds == tuple(sorted(set(given_.dataset_thresholds)))
    assert all(0 < threshold <= 0.2 for threshold in given_.dataset_thresholds)
    assert given_.image_size == SIZES[0] or given_.image_size <= found.sides[0]
    assert not any(given_.image_size < size <= found.sides[0] for size in SIZES)
    for network in config.networks.values():
        assert network.settings["depth"] == given_.depth
    assert given_.image_size >> (given_.depth - 1) >= 1, "the architecture can be built"
    goal = (1 + ASKED) * small_cnn_macs(WIDTH, given_.depth, given_.image_size)
    off = [abs(small_cnn_macs(width, given_.depth, given_.image_size) - goal) for width in range(1, 100)]
    assert off[given_.wide - 1] == min(off), "no other width costs more nearly as much as switch and experts"
    assert config.training_of("longer").epochs == config.training.epochs + config.mnn.expert.epochs
    assert sum(given_.images.values()) == sum(found.images.values())


@pytest.mark.parametrize(
    ("names", "flip"), [(("0", "1", "9"), False), (("turn left", "turn right"), False), (("a", "b"), False), (("ant", "bee"), True)]
)
def test_what_a_mirror_changes_is_not_mirrored(names: tuple[str, ...], flip: bool) -> None:
    found = Survey({("train", name): 50 for name in names}, names, (40, 50, 60), False, 5)
    assert suggest(found, small_cnn_macs).flip is flip


def test_times_are_epochs_answers_and_starts() -> None:
    found = Survey({("train", name): 100 for name in "xy"}, ("x", "y"), (40, 50, 60), False, 5)
    given_ = suggest(found, small_cnn_macs)
    config = read_section(Config, yaml.safe_load(as_yaml(given_, found, "mine", "photos")))
    images = {"train": 120, "val": 30, "test": 50}
    speeds = {"switch": (0.5, 0.1), "longer": (0.5, 0.1), "wide": (1.0, 0.2)}
    times = estimated_times(config, images, 2, speeds, 7.0, ["draw_figure"])
    epochs, expert = config.training.epochs, config.mnn.expert.epochs
    assert times.network["wide"] == pytest.approx(7 + epochs * (120 * 1.0 + 30 * 0.2))
    assert times.network["longer"] == pytest.approx(7 + (epochs + expert) * (120 * 0.5 + 30 * 0.1))
    assert times.export["switch"] == pytest.approx(7 + 200 * 0.1)
    assert times.expert == pytest.approx(expert * (1.5 * 60 * 0.5 + 30 * 0.1) + 200 * 0.1)
    assert (times.expert_start, times.rules) == (7, {"draw_figure": 7})


def test_a_speed_is_of_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: float(next(clock)))  # every measured piece takes one second
    module = build("small_cnn", 3, 1, 8, width=2, depth=2)
    training = TrainingSection(batch_size=10, crop_padding=1)
    assert speed.seconds_per_image(module, 1, 8, training, torch.device("cpu")) == (1 / 30, 1 / 30)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--photos", "nowhere"], "no folder nowhere; give one that has a folder of pictures for each class"),
        (["--photos", "photos"], "photos.yaml is there already and is not written over; give another --output"),
        (["--photos", "photos", "--output", "no/x.yaml"], "no folder no to write x.yaml into; make it, or give another --output"),
        (["--photos", "photos/ant", "--output", "x.yaml"], "photos/ant holds 0 class folders"),
    ],
)
def test_what_cannot_be_written_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "photos.yaml").write_text("mine")
    done = metann("new", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"metann: error: {says}")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "photos.yaml").read_text() == "mine"
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.slow
def test_the_file_dry_runs_and_the_time_is_told(tmp_path: Path) -> None:
    photos(tmp_path / "my photos")
    done = metann("new", "--photos", "my photos", cwd=tmp_path)
    assert "my photos: 3 classes, 19 pictures (train 12, test 4 (split here), val 3 (split here)), colour" in done.stdout
    assert "1 hidden or system files (such as my photos/bee/.hidden.png)" in done.stdout
    assert "wrote my-photos.yaml: 24 jobs, about 0:0" in done.stdout
    assert done.stdout.endswith("run it: snakemake --cores all --configfile my-photos.yaml\n")
