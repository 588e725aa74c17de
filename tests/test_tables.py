"""The currency: what is written is read back, and anything else is refused in one line that names the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann.errors import MetannError
from metann.tables.join import align
from metann.tables.probabilities import (
    ExpertProbabilities,
    Probabilities,
    Samples,
    digest_of,
    read_expert_probabilities,
    read_probabilities,
    read_samples,
    write_expert_probabilities,
    write_probabilities,
    write_samples,
)

META = {"dataset": "d", "digest": "abc", "class_names": ["x", "y", "z"], "macs": 5}


def table(n: int = 9, seed: int = 0) -> Probabilities:
    rng = np.random.default_rng(seed)
    split = np.array(["train", "val", "test"])[np.arange(n) % 3]
    p_NK = rng.dirichlet([1, 1, 1], n).astype(np.float32)
    ids = rng.permutation(n).astype(np.int32)
    return Probabilities(
        ids, split, rng.integers(0, 3, n).astype(np.int16), META, p_NK=p_NK, log_partition=rng.normal(size=n).astype(np.float32)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "deep" / "probabilities.parquet"
    write_probabilities(target, table())
    return target


@given(st.integers(1, 40), st.integers(0, 5))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, n: int, seed: int) -> None:
    target = tmp_path_factory.mktemp("round") / "p.parquet"
    written = table(n, seed)
    write_probabilities(target, written)
    found = read_probabilities(target)
    for name in ("sample_id", "split", "label", "p_NK", "log_partition"):
        assert np.array_equal(getattr(found, name), getattr(written, name)), name
    assert {key: found.metadata[key] for key in META} == META


def test_types_are_those_of_the_contract(path: Path) -> None:
    schema = pq.read_schema(path)
    assert schema.names == ["sample_id", "split", "label", "p_0", "p_1", "p_2", "log_partition"]
    assert [str(schema.field(name).type) for name in ("sample_id", "label", "p_0", "log_partition")] == ["int32", "int16", "float", "float"]
    assert pa.types.is_dictionary(schema.field("split").type)


def test_one_split(path: Path) -> None:
    found = read_probabilities(path, split="val")
    assert len(found) == 3
    assert set(found.split) == {"val"}
    frame = found.to_pandas()
    assert list(frame.columns[-4:]) == ["p_0", "p_1", "p_2", "log_partition"]
    with pytest.raises(MetannError, match="unknown split 'valid'; known: train, val, test"):
        read_probabilities(path, split="valid")


def test_samples_and_experts(tmp_path: Path) -> None:
    t = table()
    write_samples(tmp_path / "s.parquet", Samples(t.sample_id, t.split, t.label, META))
    assert np.array_equal(read_samples(tmp_path / "s.parquet").label, t.label)
    expert = ExpertProbabilities(t.sample_id, t.split, t.label, META | {"class": 1}, expert_probability=np.full(9, 0.25, np.float32))
    write_expert_probabilities(tmp_path / "e.parquet", expert)
    assert read_expert_probabilities(tmp_path / "e.parquet").metadata["class"] == 1
    with pytest.raises(MetannError, match="must be in"):
        write_expert_probabilities(tmp_path / "e.parquet", replace(expert, expert_probability=np.full(9, 1.5, np.float32)))
    with pytest.raises(MetannError, match="not a metann table of kind 'probabilities'"):
        read_probabilities(tmp_path / "e.parquet")


def test_a_refused_write_leaves_no_file(tmp_path: Path) -> None:
    t = table()
    with pytest.raises(MetannError, match="sum to"):
        write_probabilities(tmp_path / "p.parquet", replace(t, p_NK=t.p_NK * 2))
    assert not list(tmp_path.iterdir())


def spoil(path: Path, change: str) -> None:
    """Write a broken table as some other program might."""
    arrow = pq.read_table(path)
    if change == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif change == "empty":
        path.write_bytes(b"")
    elif change == "text":
        path.write_text("sample_id,split\n1,train\n")
    elif change == "no metadata":
        pq.write_table(arrow.replace_schema_metadata(None), path)
    elif change == "older schema":
        pq.write_table(arrow.replace_schema_metadata({b"metann": b'{"kind": "probabilities", "schema": 0}'}), path)
    elif change == "broken metadata":
        pq.write_table(arrow.replace_schema_metadata({b"metann": b"{"}), path)
    else:
        column, values = {
            "duplicate id": ("sample_id", pa.array(np.zeros(9, np.int32))),
            "logits": ("p_0", pa.array(np.full(9, 7, np.float32))),
            "nan": ("p_1", pa.array(np.full(9, np.nan, np.float32))),
            "nulls": ("p_1", pa.array([None] * 9, pa.float32())),
            "text column": ("p_1", pa.array(["a"] * 9)),
            "label out of range": ("label", pa.array(np.full(9, 3, np.int16))),
            "negative label": ("label", pa.array(np.full(9, -1, np.int16))),
            "unknown split": ("split", pa.array(["holdout"] * 9)),
            "split of numbers": ("split", pa.array(np.zeros(9))),
            "gap in the classes": ("p_1", None),
            "no partition": ("log_partition", None),
            "no ids": ("sample_id", None),
        }[change]
        index = arrow.schema.get_field_index(column)
        pq.write_table(arrow.remove_column(index) if values is None else arrow.set_column(index, column, values), path)


@pytest.mark.parametrize(
    "change",
    [
        *(
            "truncated",
            "empty",
            "text",
            "no metadata",
            "older schema",
            "broken metadata",
            "duplicate id",
            "logits",
            "nan",
            "nulls",
            "text column",
        ),
        *("label out of range", "negative label", "unknown split", "split of numbers", "gap in the classes", "no partition", "no ids"),
    ],
)
def test_a_broken_table_is_one_line_that_names_it(path: Path, change: str) -> None:
    spoil(path, change)
    with pytest.raises(MetannError) as error:
        read_probabilities(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(MetannError, match=r"no table .*run the stage"):
        read_probabilities(tmp_path / "p.parquet")


def test_align_joins_by_id_whatever_the_order() -> None:
    one = table()
    order = np.random.default_rng(1).permutation(9)
    other = replace(one, sample_id=one.sample_id[order], split=one.split[order], label=one.label[order], p_NK=one.p_NK[order])
    positions = align(one, other, Path("a"), Path("b"))
    assert np.array_equal(other.p_NK[positions], one.p_NK)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: replace(t, metadata=META | {"digest": "other"}), "of another dataset"),
        (lambda t: replace(t, metadata=META | {"class_names": ["z", "y", "x"]}), "of another class order"),
        (lambda t: replace(t, label=(t.label + 1) % 3), "disagree on the label"),
        (lambda t: replace(t, split=np.roll(t.split, 1)), "disagree on the split"),
        (lambda t: t.select("val"), "does not hold the images"),
        (lambda t: replace(t, sample_id=t.sample_id + 1), "is missing"),
        (lambda t: replace(t, sample_id=t.sample_id[:0], label=t.label[:0], split=t.split[:0]), "is missing"),
    ],
)
def test_tables_that_do_not_meet(change: object, says: str) -> None:
    one = table()
    with pytest.raises(MetannError, match=says):
        align(one, change(one), Path("a"), Path("b"))


def test_digest_sees_values_types_and_shapes() -> None:
    array = np.arange(6, dtype=np.int16)
    digests = {
        digest_of(array),
        digest_of(array.reshape(2, 3)),
        digest_of(array.astype(np.int32)),
        digest_of(array + 1),
        digest_of(array, array),
    }
    assert len(digests) == 5
    assert digest_of(array) == digest_of(np.stack([array, array])[0])
