"""Tables made elsewhere: what is accepted, and the one line that says why not."""

import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import metann

from metann.config.network import NetworkSection
from metann.errors import MetannError
from metann.stages.import_probabilities import import_probabilities
from metann.tables.join import align
from metann.tables.probabilities import Probabilities, read_probabilities, write_probabilities
from metann.workflow.provenance import stage_code

N, K = 30, 4


@pytest.fixture
def p_NK(rng):  # noqa: N802 - a fixture named as the array it is
    return rng.dirichlet(np.ones(K), N).astype(np.float32)


@pytest.fixture
def files(tmp_path, p_NK, rng):
    np.save(tmp_path / "p.npy", p_NK)
    np.save(tmp_path / "labels.npy", rng.integers(0, K, N))
    return tmp_path


def imported(folder, probabilities="p.npy", labels="labels.npy", name="theirs", **keys):
    network = NetworkSection(probabilities=folder / probabilities, labels=folder / labels if labels else None, **keys)
    import_probabilities(name=name, network=network, output=folder / "out.parquet")
    return read_probabilities(folder / "out.parquet")


def test_npy(files, p_NK, capsys):
    table = imported(files, val_rows=10, macs=5e6)
    np.testing.assert_array_equal(table.p_NK, p_NK)
    np.testing.assert_array_equal(table.sample_id, np.arange(N))
    np.testing.assert_array_equal(table.label, np.load(files / "labels.npy"))
    assert (table.split == np.repeat(["val", "test"], [10, N - 10])).all()
    assert not table.log_partition.any()
    facts = {
        "network": "theirs",
        "macs": 5e6,
        "seed": None,
        "architecture": None,
        "code": stage_code("import_probabilities"),
        "class_names": ["c0", "c1", "c2", "c3"],
    }
    assert facts.items() <= table.metadata.items()
    right = table.p_NK.argmax(axis=1) == table.label
    said = capsys.readouterr().out.splitlines()[:2]
    assert said == [f"test: 20 images, accuracy {right[10:].mean():.4f}", f"val: 10 images, accuracy {right[:10].mean():.4f}"]


def test_networks_of_the_same_images_meet(files, p_NK):
    first = imported(files)
    np.save(files / "q.npy", p_NK[:, ::-1])
    second = imported(files, "q.npy", name="other")
    assert np.array_equal(align(first, second), np.arange(N))
    np.save(files / "labels.npy", 3 - np.load(files / "labels.npy"))
    with pytest.raises(MetannError, match="another dataset"):
        align(first, imported(files))


def test_half_precision_is_scaled_to_sum_to_one(files, p_NK):
    np.save(files / "p.npy", p_NK.astype(np.float16))
    np.testing.assert_allclose(imported(files).p_NK, p_NK, atol=1e-3)


def test_labels_as_floats_or_as_a_column(files):
    labels = np.load(files / "labels.npy")
    np.save(files / "labels.npy", labels[:, None].astype(float))
    np.testing.assert_array_equal(imported(files).label, labels)


def write_parquet(folder, p_NK, **columns):
    frame = pd.DataFrame(p_NK, columns=[f"p_{k}" for k in range(p_NK.shape[1])]).assign(**columns)
    frame.to_parquet(folder / "p.parquet")


def test_any_parquet_with_the_columns(files, p_NK):
    labels = np.load(files / "labels.npy")
    write_parquet(files, p_NK, label=labels, p_value=0.5, note="ignored")
    table = imported(files, "p.parquet", None, split="val")
    np.testing.assert_array_equal(table.p_NK, p_NK)
    np.testing.assert_array_equal(table.label, labels)
    assert set(table.split) == {"val"}
    write_parquet(files, p_NK)
    np.testing.assert_array_equal(imported(files, "p.parquet").label, labels)


def test_parquet_with_keys_of_its_own(files, p_NK):
    split = np.repeat(["train", "test"], N // 2)
    write_parquet(files, p_NK, label=np.arange(N) % K, split=split, sample_id=np.arange(N)[::-1], log_partition=1.5)
    table = imported(files, "p.parquet", None)
    np.testing.assert_array_equal(table.sample_id, np.arange(N)[::-1])
    np.testing.assert_array_equal(table.split, split)
    assert (table.log_partition == 1.5).all()


def test_a_table_of_ours_keeps_what_it_says(files, p_NK):
    metadata = {"dataset": "d", "digest": "1", "class_names": list("abcd"), "network": "old", "macs": 7, "seed": 3, "code": "old"}
    keys = np.arange(N, dtype=np.int32), np.full(N, "val"), (np.arange(N) % K).astype(np.int16)
    write_probabilities(files / "own.parquet", Probabilities(*keys, metadata, p_NK=p_NK, log_partition=np.ones(N, np.float32)))
    table = imported(files, "own.parquet", None, name="new")
    assert table.metadata == metadata | {"network": "new"} | {key: table.metadata[key] for key in table.metadata.keys() - metadata.keys()}
    assert imported(files, "own.parquet", None, macs=9.0).metadata["macs"] == 9
    for wrong in ({"val_rows": 3}, {"labels": "labels.npy"}):
        with pytest.raises(MetannError, match="leave val_rows and labels out"):
            imported(files, "own.parquet", wrong.get("labels"), val_rows=wrong.get("val_rows", 0))


def spoil(change):
    def damage(folder, p_NK):
        changed = p_NK.copy()
        np.save(folder / "p.npy", change(changed))

    return damage


def with_value(row, column, value):
    def change(p_NK):
        p_NK[row, column] = value
        return p_NK

    return change


def new_labels(labels):
    return lambda folder, _: np.save(folder / "labels.npy", labels)


def pickled(folder, p_NK):
    (folder / "p.npy").write_bytes(pickle.dumps(p_NK))


def archive(folder, p_NK):
    with (folder / "p.npy").open("wb") as file:
        np.savez(file, p_NK)


DAMAGE = [
    (spoil(with_value(7, 2, np.nan)), r"p\.npy: row 7 holds NaN"),
    (spoil(with_value(7, 2, np.inf)), r"p\.npy: row 7 sums to inf"),
    (spoil(lambda p: np.log(p) + 3), r"row 0 sums to .*\(30 such rows of 30\).*these are logits or other scores"),
    (spoil(lambda p: 1000 * p), r"row 0 sums to 1000 .*counts or unscaled scores"),
    (spoil(lambda p: np.stack([p[:, 0] + 2, -p[:, 0] - 1], axis=1)), "its least value is -"),
    (spoil(lambda p: p[:0]), r"p\.npy holds float32 \(0, 4\)"),
    (spoil(lambda p: p[:, :1]), r"p\.npy holds float32 \(30, 1\)"),
    (spoil(lambda p: p.argmax(axis=1)), r"p\.npy holds int64 \(30,\)"),
    (spoil(lambda p: p.astype(object)), r"p\.npy is not a whole \.npy file.*pickle can run code"),
    (spoil(lambda p: p[:-1]), r"labels\.npy: label has shape \(30,\), the probabilities have 29 rows"),
    (pickled, r"p\.npy is not a whole \.npy file"),
    (archive, r"p\.npy is an archive"),
    (lambda folder, _: (folder / "p.npy").write_bytes((folder / "p.npy").read_bytes()[:200]), r"p\.npy is not a whole \.npy file"),
    (lambda folder, _: (folder / "p.npy").write_bytes(b""), r"p\.npy is not a whole \.npy file"),
    (lambda folder, _: (folder / "p.npy").unlink(), r"no file .*p\.npy"),
    (lambda folder, _: (folder / "labels.npy").unlink(), r"no file .*labels\.npy"),
    (new_labels(np.full(N, K)), "label runs from 4 to 4; it must lie in 0 .. 3"),
    (new_labels(np.full(N, -1)), "label runs from -1 to -1"),
    (new_labels(np.full(N, 0.5)), "float64, not whole numbers"),
    (new_labels(np.full(N, np.nan)), "float64, not whole numbers"),
    (new_labels(np.full(N, "cat")), "<U3, not whole numbers"),
    (new_labels(np.eye(K)[np.arange(N) % K]), r"label has shape \(30, 4\)"),
]


@pytest.mark.parametrize(("damage", "complaint"), DAMAGE)
def test_bad_arrays_are_one_line(files, p_NK, damage, complaint):
    damage(files, p_NK)
    with pytest.raises(MetannError, match=complaint) as caught:
        imported(files)
    assert "\n" not in str(caught.value)
    assert not (files / "out.parquet").exists()


@pytest.mark.parametrize(
    ("columns", "drop", "complaint"),
    [
        ({}, [], "has no true classes; add a column 'label'"),
        ({"label": 0}, ["p_1"], r"columns \[p_0, p_2, p_3, label\] are not p_0 \.\. p_K-1"),
        ({"label": 0}, ["p_0", "p_1", "p_2", "p_3"], r"columns \[label\] are not p_0"),
        ({"label": "cat"}, [], "column 'label' is"),
        ({"label": [0] * (N - 1) + [None]}, [], "column 'label' is .* with 1 nulls|not whole numbers"),
        ({"label": 0, "sample_id": 5}, [], "sample_id repeats"),
        ({"label": 0, "sample_id": np.arange(N) + 2**40}, [], "sample_id runs from"),
        ({"label": 0, "split": "holdout"}, [], r"unknown split 'holdout'; known: test, train, val;.*p\.parquet"),
    ],
)
def test_bad_parquet_columns_are_one_line(files, p_NK, columns, drop, complaint):
    frame = pd.DataFrame(p_NK, columns=[f"p_{k}" for k in range(K)]).assign(**columns).drop(columns=drop)
    frame.to_parquet(files / "p.parquet")
    with pytest.raises(MetannError, match=complaint) as caught:
        imported(files, "p.parquet", None)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_parquet(files, p_NK):
    with pytest.raises(MetannError, match=r"no file .*p\.parquet"):
        imported(files, "p.parquet", None)
    write_parquet(files, p_NK, label=0)
    (files / "p.parquet").write_bytes((files / "p.parquet").read_bytes()[:-20])
    with pytest.raises(MetannError, match=r"p\.parquet is not a whole Parquet file"):
        imported(files, "p.parquet", None)
    with pytest.raises(MetannError, match=r"p\.xlsx is not a file of \.npy, \.npz"):
        imported(files, "p.xlsx")


def test_too_many_validation_rows(files, p_NK):
    with pytest.raises(MetannError, match="val_rows = 30, but"):
        imported(files, val_rows=N)
    write_parquet(files, p_NK, label=0, split="test")
    with pytest.raises(MetannError, match="leave val_rows out"):
        imported(files, "p.parquet", None, val_rows=3)


def test_published_network_on_the_command_line(shared, tmp_path):
    folder = shared / "data" / "probabilities"
    flags = [f"--network.probabilities={folder / 'mobilenet_v2_test.npy'}", f"--network.labels={folder / 'labels_test.npy'}"]
    done = metann("import-probabilities", "--name=mobilenet", *flags, f"--output={tmp_path / 'p.parquet'}")
    assert done.stdout == "test: 10000 images, accuracy 0.8936\n"
    assert len(read_probabilities(tmp_path / "p.parquet", "test")) == 10_000


def test_command_line_error_is_one_line(files):
    np.save(files / "p.npy", np.zeros((N, K)))
    flags = [f"--network.probabilities={files / 'p.npy'}", f"--network.labels={files / 'labels.npy'}"]
    done = metann("import-probabilities", "--name=x", *flags, f"--output={files / 'out.parquet'}", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("metann: error: ")
    assert done.stderr.count("\n") == 1
