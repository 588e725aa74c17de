"""The currency: what is written is read back, and anything else is refused in one line that names the file."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann.errors import MetannError
from metann.tables.join import align, joined
from metann.tables.probabilities import (
    ExpertProbabilities,
    Gate,
    Probabilities,
    Samples,
    digest_of,
    read_expert_probabilities,
    read_gate,
    read_probabilities,
    read_samples,
    write_expert_probabilities,
    write_gate,
    write_probabilities,
    write_samples,
)
from metann.tables.sealed import seal

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
    positions = align(one, other)
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
        align(one, change(one))


def test_a_table_knows_its_file(path: Path, tmp_path: Path) -> None:
    """And so an error names both, whoever joins them."""
    one, made = read_probabilities(path), table()
    assert (one.file, one.where) == (path, str(path))
    assert one.select("val").file == one.take(np.arange(3)).file == path
    assert (made.file, made.where) == (None, "a table in memory")
    other = tmp_path / "other.parquet"
    write_probabilities(other, replace(made, metadata=META | {"digest": "another"}))
    with pytest.raises(MetannError, match=f"{other} is of another dataset .another. than {path} .abc."):
        align(one, read_probabilities(other))
    with pytest.raises(MetannError, match=f"a table in memory does not hold the images of {path}: sample"):
        align(one, made.select("val"))
    assert (one.network, made.network, replace(made, metadata={"network": "wide"}).network) == ("probabilities", "unnamed", "wide")


def test_rows_in_another_order(path: Path) -> None:
    one = read_probabilities(path)
    order = np.random.default_rng(3).permutation(9)
    mixed = one.take(order)
    assert np.array_equal(joined(one, mixed).p_NK, one.p_NK)
    assert np.array_equal(joined(one, mixed).label, one.label)
    assert joined(one, one) is one


def test_what_was_declared_is_what_is_written(tmp_path: Path) -> None:
    """The digests are those of the tables that were written before there was one declaration of all kinds."""
    n, rng = 20, np.random.default_rng(5)
    keys = rng.permutation(n).astype(np.int32), np.array(["train", "val", "test"])[np.arange(n) % 3], rng.integers(0, 3, n).astype(np.int16)
    p_NK, log_partition = rng.dirichlet([1, 1, 1], n).astype(np.float32), rng.normal(size=n).astype(np.float32)
    write_samples(tmp_path / "s", Samples(*keys, META))
    write_probabilities(tmp_path / "p", Probabilities(*keys, META, p_NK=p_NK, log_partition=log_partition))
    answers = rng.random(n).astype(np.float32)
    write_expert_probabilities(tmp_path / "e", ExpertProbabilities(*keys, META | {"class": 1}, expert_probability=answers))
    contents = {name: json.loads(pq.read_schema(tmp_path / name).metadata[b"metann"])["content"] for name in "spe"}
    assert contents == {"s": "edfa48aee9894082", "p": "2cb0a8a46527a5a6", "e": "c7b2edf62c1bad6b"}


# -- gates ----------------------------------------------------------------------------------------------------------------


def gate(n: int = 9, experts: int = 4, seed: int = 0) -> Gate:
    one, rng = table(n, seed), np.random.default_rng(seed)
    gate_NE = rng.dirichlet(np.full(experts, 0.3), n).astype(np.float32)
    answer_NE = rng.integers(0, 3, (n, experts)).astype(np.int16)
    facts = {"expert": gate_NE.argmax(axis=1).astype(np.int16), "answer_NE": answer_NE, "macs": rng.random(n) * 1e6}
    return Gate(one.sample_id, one.split, one.label, META | {"setting": "soft", "seed": 0}, gate_NE=gate_NE, p_NK=one.p_NK, **facts)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_a_gate_comes_back(tmp_path_factory: pytest.TempPathFactory, n: int, experts: int, seed: int) -> None:
    target = tmp_path_factory.mktemp("gate") / "gate.parquet"
    written = gate(n, experts, seed)
    write_gate(target, written)
    found = read_gate(target)
    for column in Gate.COLUMNS:
        values = getattr(found, column.field)
        assert np.array_equal(values, getattr(written, column.field)), column.field
        assert column.dtype is str or values.dtype == column.dtype
    assert (found.experts, found.classes, found.file) == (experts, 3, target)
    assert np.array_equal(found.prediction, written.p_NK.argmax(axis=1))
    assert len(read_gate(target, "val")) == (written.split == "val").sum()


def test_the_columns_of_a_gate(tmp_path: Path) -> None:
    write_gate(tmp_path / "gate.parquet", gate(experts=2))
    schema = pq.read_schema(tmp_path / "gate.parquet")
    assert schema.names == ["sample_id", "split", "label", "g_0", "g_1", "expert", "y_0", "y_1", "p_0", "p_1", "p_2", "macs"]
    types = {"g_1": "float", "expert": "int16", "y_0": "int16", "p_2": "float", "macs": "double"}
    assert {name: str(schema.field(name).type) for name in types} == types


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {"gate_NE": t.gate_NE * 1.001}, "the gate's shares of sample .* sum to 1.001, not to 1"),
        (lambda t: {"gate_NE": np.where(t.gate_NE > 0.5, np.nan, t.gate_NE)}, "the gate's shares of sample .* sum to nan"),
        (lambda t: {"expert": (t.expert + 1) % 4}, r"has expert \d; must be the first largest of its gate row"),
        (lambda t: {"expert": t.expert + 4}, "must be the first largest"),
        (lambda t: {"answer_NE": t.answer_NE + 1}, "must be one of the classes"),
        (lambda t: {"answer_NE": t.answer_NE - 1}, "must be one of the classes"),
        (lambda t: {"answer_NE": t.answer_NE[:, :3]}, "3 columns y_0 .. y_E-1, but 4 columns g_0 .. g_E-1"),
        (lambda t: {"p_NK": t.p_NK * 2}, "the probabilities of sample .* are they logits"),
        (lambda t: {"p_NK": t.p_NK[:, :2]}, "2 probability columns but 3 class names"),
        (lambda t: {"macs": t.macs - 1e6}, "multiply-accumulates .* must be a number, 0 or more"),
        (lambda t: {"macs": t.macs * np.nan}, "must be a number, 0 or more"),
        (lambda t: {"macs": t.macs[:4]}, "column macs has 4 rows, sample_id has 9"),
        (lambda t: {"label": t.label + 3}, "labels run from"),
    ],
)
def test_a_gate_that_is_none_is_one_line(tmp_path: Path, change: object, says: str) -> None:
    good = gate()
    with pytest.raises(MetannError, match=says) as error:
        write_gate(tmp_path / "gate.parquet", replace(good, **change(good)))
    assert "\n" not in str(error.value)
    assert str(tmp_path / "gate.parquet") in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", ["g_1", "y_3", "p_0", "expert", "macs"])
def test_a_gate_with_a_lost_column_is_one_line(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "gate.parquet"
    write_gate(path, gate())
    arrow = pq.read_table(path).drop_columns(lost)
    metadata = {key: value for key, value in json.loads(arrow.schema.metadata[b"metann"]).items() if key != "content"}
    pq.write_table(seal(arrow, metadata), path)  # as a program that knows the seal might write it
    with pytest.raises(MetannError, match=r"gate.parquet.*(are not|has no column|columns)"):
        read_gate(path)


def test_a_table_is_written_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="a table of kind 'gate' was given to be written as 'probabilities'"):
        write_probabilities(tmp_path / "p.parquet", gate())


@pytest.mark.parametrize("kind", [Samples, Probabilities, ExpertProbabilities, Gate])
def test_every_field_of_images_is_declared(kind: type[Samples]) -> None:
    declared = {column.field for column in kind.COLUMNS}
    assert declared == {field.name for field in fields(kind)} - {"metadata", "file"}
    for column in kind.COLUMNS:
        assert not column.several or re.fullmatch(r"\w+_N[KE]", column.field)


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
