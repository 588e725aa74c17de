"""The stage prepare_data, as a function and on the command line."""

import numpy as np
import pytest
from conftest import metann

from metann.config.data import DataSection
from metann.data.prepared import read_prepared
from metann.stages.prepare_data import prepare_data


def test_says_in_one_line_what_it_made(tmp_path, capsys):
    prepare_data(data=DataSection(name="digits"), output=tmp_path / "new" / "data")
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "digits: train 1294, val 144, test 359 images of 10 classes, 1 x 8 x 8" in said


def test_command_line(tmp_path):
    metann("prepare-data", "--data.name=fashion_mnist_small", "--data.split-seed=7", f"--output={tmp_path}")
    prepared = read_prepared(tmp_path)
    assert [len(prepared.samples.rows(name)) for name in ("train", "val", "test")] == [10_000, 2_000, 10_000]
    other = tmp_path / "other"
    prepare_data(data=DataSection(split_seed=8), output=other)
    assert not np.array_equal(read_prepared(other).samples.split, prepared.samples.split)


@pytest.mark.parametrize(
    "flags",
    [
        ["--data.name=fashion_mnist_smal"],
        ["--data.name=cifar10", "--data.root=nowhere", "--data.no-download"],
        ["--data.name=image_folder", "--data.root=nowhere"],
        ["--data.val-fraction=1"],
    ],
)
def test_bad_input_is_one_line(tmp_path, flags):
    done = metann("prepare-data", *flags, f"--output={tmp_path / 'out'}", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("metann: error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_an_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    done = metann("prepare-data", "--data.name=digits", f"--output={tmp_path / 'file'}", check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
