"""The prepared dataset on disk: what is written is read, and what is damaged is named."""

import dataclasses
import json

import numpy as np
import pytest

from metann.config.data import DataSection
from metann.data.prepared import channel_statistics, read_info, read_prepared, write_prepared
from metann.data.raw import RawDataset
from metann.errors import MetannError
from metann.tables.probabilities import read_samples, write_samples

SETTINGS = DataSection(name="digits")


def raw(n=60, channels=3, size=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, channels, size, size), dtype=np.uint8)
    return RawDataset(images, np.arange(n, dtype=np.int16) % classes, np.full(n, "train"), tuple(f"class {k}" for k in range(classes)))


@pytest.fixture
def folder(tmp_path):
    write_prepared(tmp_path / "data", raw(), SETTINGS)
    return tmp_path / "data"


def test_what_is_written_is_read(folder):
    source, prepared = raw(), read_prepared(folder)
    assert isinstance(prepared.images_NCHW, np.memmap)
    assert prepared.images_NCHW.flags.c_contiguous
    np.testing.assert_array_equal(prepared.images_NCHW, source.images_NCHW)
    np.testing.assert_array_equal(prepared.samples.label, source.labels_N)
    assert prepared.info.class_names == source.class_names
    assert (prepared.info.channels, prepared.info.image_size) == (3, 5)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "images.npy", "samples.parquet"]
    pixels = source.images_NCHW[prepared.samples.rows("train")] / 255
    np.testing.assert_allclose(prepared.info.mean, pixels.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(prepared.info.std, pixels.std(axis=(0, 2, 3)))


def test_a_constant_channel_can_be_divided_by():
    mean, std = channel_statistics(np.full((3, 2, 4, 4), 51, np.uint8))
    assert mean == pytest.approx((0.2, 0.2))
    assert std == (1.0, 1.0)


def test_the_digest_names_pixels_labels_and_splits(tmp_path):
    def digest(source, settings=SETTINGS):
        return write_prepared(tmp_path, source, settings).info.digest

    source = raw()
    first = digest(source)
    assert digest(raw()) == first
    images = source.images_NCHW.copy()
    images[0, 0, 0, 0] ^= 1
    assert digest(dataclasses.replace(source, images_NCHW=images)) != first
    assert digest(dataclasses.replace(source, labels_N=np.roll(source.labels_N, 1))) != first
    assert digest(source, DataSection(name="digits", split_seed=1)) != first


def test_the_same_input_makes_the_same_bytes(folder, tmp_path):
    write_prepared(tmp_path / "again", raw(), SETTINGS)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def other_images(path):
    np.save(path, np.zeros((60, 3, 5, 4), np.uint8))


def pickled(path):
    np.save(path, np.array([{}, {}]), allow_pickle=True)


def archive(path):
    with path.open("wb") as file:
        np.savez(file, np.zeros(3))


def other_digest(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0" * 16}))


def other_keys(path):
    path.write_text('{"name": "digits"}')


def other_ids(path):
    table = read_samples(path)
    write_samples(path, dataclasses.replace(table, sample_id=table.sample_id[::-1]))


@pytest.mark.parametrize("name", ["images.npy", "samples.parquet", "dataset.json"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), truncate, lambda path: path.write_bytes(b"")])
def test_a_missing_or_truncated_file_is_named(folder, name, damage):
    damage(folder / name)
    with pytest.raises(MetannError, match=name) as caught:
        read_prepared(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("images.npy", other_images),
        ("images.npy", pickled),
        ("images.npy", archive),
        ("dataset.json", other_digest),
        ("dataset.json", other_keys),
        ("samples.parquet", other_ids),
    ],
)
def test_files_that_do_not_belong_together(folder, name, damage):
    damage(folder / name)
    with pytest.raises(MetannError, match=f"{name}.*run prepare-data again"):
        read_prepared(folder)


def test_a_description_of_other_images_is_gone_before_new_ones_come(folder, monkeypatch):
    """Killed half-way, prepare-data leaves no dataset.json that describes the old images."""
    monkeypatch.setattr("metann.data.prepared.np.save", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_prepared(folder, raw(seed=1), SETTINGS)
    with pytest.raises(MetannError, match=r"dataset\.json"):
        read_info(folder)


def test_a_class_without_training_images_is_named(tmp_path):
    source = raw(classes=3)
    with pytest.raises(MetannError, match="no training images of class class 1"):
        write_prepared(tmp_path, dataclasses.replace(source, labels_N=source.labels_N // 2 * 2), SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        {"images_NCHW": np.zeros((60, 3, 5, 5))},
        {"images_NCHW": np.zeros((60, 5, 5), np.uint8)},
        {"images_NCHW": np.zeros((60, 1, 5, 4), np.uint8)},
        {"labels_N": np.zeros(59, np.int16)},
        {"labels_N": np.full(60, 3, np.int16)},
        {"official_split": np.full(60, "valid")},
        {"class_names": ("a", "a", "b")},
        {"class_names": ("a",)},
    ],
)
def test_a_dataset_that_no_stage_could_use(change):
    with pytest.raises(MetannError):
        dataclasses.replace(raw(), **change)
