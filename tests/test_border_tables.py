"""Tables of probabilities from elsewhere: which scale, which rows, which images; right values and fitting reasons."""

import bz2
import gzip
import lzma
import os
import threading
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_border_photos import made

from metann.config.network import NetworkSection
from metann.config.section import flags, read_section
from metann.errors import MetannError
from metann.stages.import_probabilities import import_probabilities
from metann.tables.foreign import read_columns
from metann.tables.join import align
from metann.tables.probabilities import Probabilities, read_probabilities
from metann.tables.scales import as_probabilities, squeezed

pytestmark = pytest.mark.bad_input

N, K = 60, 5
BACKWARDS = [f"{i:02}.png" for i in range(N)][::-1]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with labels beside tables of a good network."""
    monkeypatch.chdir(tmp_path)
    np.save("y.npy", np.arange(N) % K)
    logits = rng.normal(0, 1, (N, K)) + 4 * np.eye(K)[np.arange(N) % K]
    np.save("z.npy", logits)
    e = np.exp(logits)
    np.save("p.npy", e / e.sum(1, keepdims=True))
    return tmp_path


def imported(probabilities: str, labels: str | None = "y.npy", **keys: object) -> Probabilities:
    network = read_section(NetworkSection, {"probabilities": probabilities, "labels": labels} | keys)
    import_probabilities(name="theirs", network=network, output=Path("out.parquet"))
    return read_probabilities(Path("out.parquet"))


def frame(p_NK: np.ndarray, **columns: object) -> pd.DataFrame:
    return pd.DataFrame(p_NK, columns=[f"p_{k}" for k in range(p_NK.shape[1])]).assign(**columns)


# --- the cases from practice ----------------------------------------------------------------------------------------


def test_case_rounded_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("10-bfloat16-and-rounded-tables", tmp_path, monkeypatch)
    exact = np.load("float32.npy")
    for name, tolerance, sentence in [
        ("float32", 0, ""),
        ("bf16", 1e-2, "rows sum to 1 within"),
        ("half", 1e-3, ""),
        ("decimals4", 1e-3, "rows sum to 1 within"),
        ("decimals3", 3e-3, "rows sum to 1 within"),
        ("percent", 1e-5, "values are percent; "),
        ("logp", 1e-5, "values are log-probabilities (natural logarithms); "),
    ]:
        capsys.readouterr()
        table = imported(f"{name}.npy")
        np.testing.assert_allclose(table.p_NK, exact, atol=tolerance)
        np.testing.assert_allclose(table.p_NK.sum(1), 1, atol=1e-6)
        assert sentence in capsys.readouterr().out
        assert any(sentence in said for said in table.metadata["assumed"]) or not sentence
    with pytest.raises(MetannError, match=r"all values lie in \[0, 1\] and rows sum to .*sigmoid") as caught:
        imported("sigmoid.npy")
    assert "logits?" not in str(caught.value)
    assert any("taken twice?" in said for said in imported("bf16_softmaxed_as_advised.npy").metadata["notices"])


def test_case_rows_sorted_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("09-val-rows-of-a-sorted-table", tmp_path, monkeypatch)
    table = imported("cheap.npy", val_rows=500)
    for split in ("val", "test"):
        assert np.bincount(table.select(split).label).tolist() == [50] * 10
    assert "the first 500 hold 5 of 10 classes, so a share of each class" in capsys.readouterr().out
    np.testing.assert_array_equal(imported("dear.npy", val_rows=500).split, table.split)
    capsys.readouterr()
    table = imported("cheap_s.npy", "y_s.npy", val_rows=500)  # shuffled: the first rows, as asked
    assert (table.split[:500] == "val").all()
    assert "share of each class" not in capsys.readouterr().out


def test_case_files_name_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("28-file-column-ignored", tmp_path, monkeypatch)
    first = imported("a.parquet", None)
    aligned = imported("b_aligned.parquet", None)
    np.testing.assert_array_equal(first.sample_id, aligned.sample_id)
    assert first.metadata["digest"] == aligned.metadata["digest"]
    other = pd.read_parquet("b_aligned.parquet").sample(frac=1, random_state=0)
    other.to_parquet("c.parquet")
    joined = imported("c.parquet", None)
    positions = align(first, joined)
    np.testing.assert_array_equal(joined.p_NK[positions], aligned.p_NK)
    with pytest.raises(MetannError, match="disagree on the split"):  # there the split went with the row, not with the image
        align(first, imported("b_other_order.parquet", None))


# --- scales ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p.round(2), "rows sum to 1 within"),
        (lambda p: (100 * p).round(1), "values are percent; rows sum to 1 within"),
        (lambda p: np.log2(p), "log-probabilities (logarithms to base 2)"),
        (lambda p: np.log10(p), "log-probabilities (logarithms to base 10)"),
        (lambda p: np.log(p.astype(np.float16)), "log-probabilities (natural logarithms)"),
        (lambda p: np.log(np.where(p > p.max(1, keepdims=True) - 1e-9, 1.0, 0.0)), "log-probabilities"),  # -inf is the log of 0
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_scales_that_are_recognised(change: Callable[[np.ndarray], np.ndarray], sentence: str) -> None:
    p = np.load("p.npy")
    np.save("q.npy", change(p))
    table = imported("q.npy")
    assert sentence in table.metadata["assumed"][0]
    assert (table.p_NK.argmax(1) == p.argmax(1)).all()
    np.testing.assert_allclose(table.p_NK.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: np.load("z.npy"), "these are logits or other scores; apply a softmax over the classes first"),  # noqa: ARG005
        (lambda p: np.load("z.npy") - 40, "exponentials do not sum to 1: logits"),  # noqa: ARG005
        (lambda p: (p > 0.05).astype(float), "answers of a sigmoid"),
        (lambda p: p[:, :3], "not all classes"),
        (lambda p: 7 * p, "counts or unscaled scores"),
        (lambda p: np.where(np.arange(N)[:, None] == 3, 0.5, p), "row 3 sums to 2.5 .*the other rows are probabilities: mend these"),
        (lambda p: np.where(p > 0.9, np.inf, p), "which no probability and no logit is"),
    ],
)
def test_what_is_no_probability(change: Callable[[np.ndarray], np.ndarray], reason: str) -> None:
    np.save("q.npy", change(np.load("p.npy")))
    np.save("y3.npy", np.arange(N) % 3)
    with pytest.raises(MetannError, match=reason) as caught:
        imported("q.npy", "y3.npy")
    assert "\n" not in str(caught.value)
    assert not Path("out.parquet").exists()


def test_a_table_that_is_exact_is_not_touched(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(7), 50).astype(np.float32)
    found, assumed = as_probabilities(p, Path("p"))
    np.testing.assert_array_equal(found, p)
    assert assumed == []
    assert squeezed(p) is None
    unsure = np.full((50, 7), 1 / 7, np.float32)
    assert squeezed(unsure) is None


@pytest.mark.parametrize(("away", "accepted"), [(0.0099, True), (-0.0099, True), (0.0102, False), (-0.0102, False)])
def test_how_far_sums_may_be(away: float, accepted: bool) -> None:
    """Of one row; the sentence names the distance."""
    p = np.load("p.npy")
    p[7] *= 1 + away
    if not accepted:
        with pytest.raises(MetannError, match=r"row 7 sums to .*\(1 such rows of 60\).*the other rows are probabilities"):
            as_probabilities(p, Path("p"))
        return
    found, assumed = as_probabilities(p, Path("p"))
    assert assumed == ["rows sum to 1 within 0.0099 and are rescaled"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.load("p.npy"), rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "least", "assumed"),
    [
        (1, -6e-8, ["1 values just below 0 (down to -6e-08) are taken as 0"]),
        (1, -9e-5, ["1 values just below 0 (down to -9e-05) are taken as 0"]),
        (100, -6e-6, ["values are percent; rows sum to 1", "1 values just below 0 (down to -6e-06) are taken as 0"]),
    ],
)
def test_values_just_below_zero(scale: float, least: float, assumed: list[str]) -> None:
    """As 1 - sum leaves them where a probability is 0."""
    p = scale * np.load("p.npy")
    p[7] = [0.4 * scale, 0.3 * scale, 0.3 * scale, 0, least]
    found, said = as_probabilities(p, Path("p"))
    assert said == assumed
    assert found.min() == found[7, 4] == 0
    np.testing.assert_allclose(found, np.where(p < 0, 0, p) / scale, atol=1e-6)


def test_values_well_below_zero() -> None:
    p = np.load("p.npy")
    p[7] = [0.4, 0.3, 0.3, 0.00011, -0.00011]
    with pytest.raises(MetannError, match=r"row 7 sums to 1 and its least value is -0\.00011 .*the other rows are probabilities"):
        as_probabilities(p, Path("p"))
    sigmoid = np.where(np.eye(K, dtype=bool)[np.arange(N) % K], 0.9, np.where(np.arange(K) % 2 == 0, 0.4, -6e-8))
    with pytest.raises(MetannError, match=r"all values lie in \[0, 1\] and rows sum to .*answers of a sigmoid"):
        as_probabilities(sigmoid, Path("p"))


@pytest.mark.parametrize(("rows", "mend"), [(1, True), (3, True), (4, False), (60, False)])
def test_a_few_broken_rows_are_told_from_a_broken_table(rows: int, mend: bool) -> None:
    """A twentieth at most."""
    p = np.load("p.npy")
    p[:rows] *= 0.5
    with pytest.raises(MetannError) as caught:
        as_probabilities(p, Path("p"))
    assert ("the other rows are probabilities: mend these" in str(caught.value)) is mend
    assert f"({rows} such rows of 60)" in str(caught.value)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_a_softmax_that_was_taken_twice(k: int) -> None:
    """exp(1) / (exp(1) + K - 1) is the most that it gives, 1 / (exp(1) + K - 1) the least."""
    once = np.where(np.eye(k, dtype=bool), 1 - 1e-4 * (k - 1), 1e-4)
    twice = np.exp(once) / np.exp(once).sum(axis=1, keepdims=True)
    assert "taken twice?" in squeezed(twice)
    assert f"{np.e / (np.e + k - 1):.3f}"[:4] in squeezed(twice)
    for other in (
        np.vstack([twice, once]),  # surer than twice can be
        np.full((4, k), 1 / k),  # nowhere as sure
        0.5 * twice + 0.5 / k,
    ):
        assert squeezed(other) is None
    if k > 2:
        sparse = twice.copy()  # as sure at the top, and less than twice can be elsewhere
        sparse[0] = 0
        sparse[0, :2] = twice[0, 0], 1 - twice[0, 0]
        assert squeezed(sparse) is None


# --- containers -----------------------------------------------------------------------------------------------------


def write_lists(kind: str) -> Callable[[np.ndarray, np.ndarray], None]:
    def write(p: np.ndarray, y: np.ndarray) -> None:
        types = {"list": pa.list_(pa.float32()), "large": pa.large_list(pa.float64()), "fixed": pa.list_(pa.float32(), K)}
        pq.write_table(pa.table({"probs": pa.array(p.tolist(), types[kind]), "label": y}), "t.parquet")

    return write


def write_decimals(p: np.ndarray, y: np.ndarray) -> None:
    columns = {f"p_{k}": pa.array([Decimal(f"{value:.5f}") for value in p[:, k]], pa.decimal128(7, 5)) for k in range(K)}
    pq.write_table(pa.table(columns | {"label": y}), "t.parquet")


def write_bfloat16(p: np.ndarray, y: np.ndarray) -> None:
    raw = torch.from_numpy(p).bfloat16().view(torch.int16).numpy()
    columns = {f"p_{k}": pa.array([value.tobytes() for value in raw[:, k]], pa.binary(2)) for k in range(K)}
    pq.write_table(pa.table(columns | {"label": y}), "t.parquet")


def write_half(p: np.ndarray, y: np.ndarray) -> None:
    pq.write_table(pa.table({f"p_{k}": p[:, k].astype(np.float16) for k in range(K)} | {"label": y}), "t.parquet")


@pytest.mark.parametrize(
    "write", [write_lists("list"), write_lists("large"), write_lists("fixed"), write_decimals, write_bfloat16, write_half]
)
def test_columns_of_many_types(write: Callable[[np.ndarray, np.ndarray], None]) -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    write(p, y)
    table = imported("t.parquet", None)
    np.testing.assert_allclose(table.p_NK, p, atol=4e-3)
    np.testing.assert_array_equal(table.label, y)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"probs": [[0.5, 0.5]] * (N - 1) + [[1.0]], "label": [0] * N}, "'probs' holds lists of 1, 2 numbers"),
        ({"probs": [[0.5, 0.5]] * (N - 1) + [None], "label": [0] * N}, "with 1 nulls"),
        ({"a": [[0.5, 0.5]] * N, "b": [[0.5, 0.5]] * N, "label": [0] * N}, "are not p_0"),
        ({"p_0": ["0.5"] * N, "p_1": [0.5] * N, "label": [0] * N}, r"'p_0' is text \(string\).*numbers are needed"),
        ({"p_0": [0.5] * N, "p_1": [0.5] * N, "label": ["cat"] * N}, "class numbers from 0, not names"),
        ({"p_0": [0.5] * N, "p_1": [0.5] * N, "label": [1] * (N - 1) + [2]}, r"runs from 1 to 2.*do they count from 1\?"),
        ({"p_0": [True] * N, "p_1": [False] * N, "label": [0] * N}, "'p_0' is bool"),
    ],
)
def test_columns_that_are_refused(columns: dict, complaint: str) -> None:
    pq.write_table(pa.table(columns), "t.parquet")
    with pytest.raises(MetannError, match=complaint) as caught:
        imported("t.parquet", None)
    assert "\n" not in str(caught.value)


def test_archives_and_text() -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    np.savez("one.npz", p)
    np.savez_compressed("two.npz", probabilities=p.astype(np.float32), y_true=y, features=np.zeros((N, 7)))
    frame(p, label=y).to_csv("t.csv", index=False)
    frame(p, label=y).to_csv("t.tsv", index=False, sep="\t")
    frame(p, label=y).to_csv("t.TSV", index=False, sep="\t", quoting=1)
    frame(p, label=y).to_csv("semicolon.csv", index=False, sep=";")
    np.savetxt("bare.csv", p, delimiter=",")
    pd.DataFrame(p).to_csv("numbered.csv", index=False)
    np.savetxt("y.txt", y, fmt="%d")
    pd.DataFrame({"class": y}).to_csv("y.csv", index=False)
    for table in (
        *(
            imported("one.npz"),
            imported("two.npz", None),
            imported("t.csv", None),
            imported("t.tsv", None),
            imported("t.TSV", None),
            imported("semicolon.csv", None),
        ),
        *(imported("bare.csv", "y.txt"), imported("numbered.csv", "y.csv")),
    ):
        np.testing.assert_allclose(table.p_NK, p, atol=1e-6)
        np.testing.assert_array_equal(table.label, y)
    assert imported("t.csv", None).metadata["assumed"] == []


def test_bfloat16_of_numpy() -> None:
    raw = torch.from_numpy(np.load("p.npy")).bfloat16().view(torch.int16).numpy()
    np.save("b.npy", raw.view("V2"))
    np.testing.assert_allclose(imported("b.npy").p_NK, np.load("p.npy"), atol=4e-3)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("x.npz", b"PK\x03\x04 no archive", r"x\.npz is not a whole \.npz file"),
        ("x.csv", b"\x00\x01\xff" * 50, r"x\.csv"),
        ("x.csv", b"", r"x\.csv is not a whole \.csv file"),
        ("x.csv", b"p_0,p_1\n0.5,0.5\n0.5\n", r"x\.csv is not a whole \.csv file"),
        ("x.txt", b"0.5", r"x\.txt is not a file of \.npy, \.npz, \.csv"),
        (
            "x.npy",
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 4), }" + b" " * 30,
            r"x\.npy",
        ),
        (
            "x.npy",
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 400), }" + b" " * 37,
            r"x\.npy",
        ),
    ],
)
def test_files_that_are_none(name: str, content: bytes, complaint: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(MetannError, match=complaint) as caught:
        imported(name)
    assert "\n" not in str(caught.value)


class Opens:
    """A pickle that makes a file when it is read."""

    def __reduce__(self) -> tuple:
        return (open, ("opened", "w"))


def test_an_archive_that_would_run_code() -> None:
    np.savez("t.npz", probabilities=np.load("p.npy"), other=np.array([Opens()], object))
    with pytest.raises(MetannError, match=r"t\.npz is not a whole \.npz file of numbers \(a pickle can run code and is never read\)"):
        imported("t.npz")
    assert not Path("opened").exists()


def test_what_an_archive_says_of_each_image() -> None:
    """One value for each, also as a column; what has several is no key, and one table needs no name."""
    p, y = np.load("p.npy"), np.load("y.npy")
    names = np.array([f"{i}.png" for i in range(N)])
    np.savez("t.npz", mine=p, y=y[:, None], image=names, weight=np.ones((N, 1)), box=np.zeros((N, 4, 2)))
    found = read_columns(Path("t.npz"))
    assert (sorted(found.columns), sorted(found.labels)) == (["image", "weight"], ["y"])
    assert found.dropped == {"box": "shape (60, 4, 2)"}
    np.testing.assert_array_equal(found.p_NK, p)
    np.testing.assert_array_equal(imported("t.npz", None).label, y)
    np.savez("two.npz", softmax=p, features=p[:, :2], image=names)
    assert sorted(read_columns(Path("two.npz")).columns) == ["image"]


def test_names_in_a_dictionary_column() -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    names = [f"{i:02}.png" for i in range(N)][::-1]
    columns = {f"p_{k}": p[:, k] for k in range(K)}
    pq.write_table(pa.table(columns | {"label": y, "file": pa.array(names).dictionary_encode(), "blurred": [False] * N}), "t.parquet")
    found = read_columns(Path("t.parquet")).columns
    assert (found["file"].tolist(), found["blurred"].dtype) == (names, bool)
    np.testing.assert_array_equal(imported("t.parquet", None).sample_id, np.arange(N)[::-1])


def test_labels_by_another_name_stand_once() -> None:
    pq.write_table(pa.table({"mine": np.load("p.npy").tolist(), "target": np.load("y.npy")}), "t.parquet")
    found = read_columns(Path("t.parquet"))
    assert (sorted(found.labels), found.columns) == (["target"], {})
    np.testing.assert_array_equal(imported("t.parquet", None).label, np.load("y.npy"))


def test_lists_in_pieces() -> None:
    """A column of lists that the file holds in several row groups."""
    p = np.load("p.npy")
    pq.write_table(pa.table({"probs": p.tolist()}), "t.parquet", row_group_size=7)
    np.testing.assert_array_equal(read_columns(Path("t.parquet")).p_NK, p)


def test_several_arrays_without_names() -> None:
    np.savez("t.npz", a=np.load("p.npy"), b=np.load("p.npy"))
    with pytest.raises(MetannError, match=r"which of \[a, b\] are the probabilities"):
        imported("t.npz")


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [7, 13, 48, 59])
def test_a_sorted_table_is_split_by_class(total: int) -> None:
    order = np.argsort(np.load("y.npy"), kind="stable")
    np.save("q.npy", np.load("p.npy")[order])
    np.save("yq.npy", np.load("y.npy")[order])
    table = imported("q.npy", "yq.npy", val_rows=total)
    counts = np.bincount(table.select("val").label, minlength=K)
    assert counts.sum() == total
    assert counts.max() - counts.min() <= 1  # equal shares, rounded


def test_rows_marked_by_a_column_or_a_file() -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    want = np.arange(N) % 3 == 0
    names = [f"dir/{i:03}.png" for i in range(N)]
    frame(p, label=y, file=names, marked=want, part=np.where(want, "Validation", "rest"), ones=want.astype(int)).to_parquet("t.parquet")
    Path("ids.txt").write_text("\n".join(name for name, chosen in zip(names, want, strict=True) if chosen))
    np.save("rows.npy", np.flatnonzero(want))
    for wanted in ("marked", "part", "ones", "ids.txt"):
        np.testing.assert_array_equal(imported("t.parquet", None, val_rows=wanted).split == "val", want)
    np.testing.assert_array_equal(imported("p.npy", val_rows="rows.npy").split == "val", want)
    for wanted, complaint in [
        ("label", "marks no rows"),
        ("no_such", r"neither a column of t\.parquet .* nor a file"),
        ("rows.npy", "is no image of"),
    ]:
        with pytest.raises(MetannError, match=complaint):
            imported("t.parquet", None, val_rows=wanted)


@pytest.mark.parametrize(("value", "meant"), [("500", 500), (7, 7), ("part", "part"), ("ids of mine.txt", "ids of mine.txt"), (0, 0)])
def test_val_rows_in_a_configuration(value: object, meant: object) -> None:
    network = read_section(NetworkSection, {"probabilities": "p.parquet", "val_rows": value})
    assert network.val_rows == meant
    assert f"--network.val-rows={meant}" in flags("network", network)
    for wrong in (-1, True, 1.5, [3]):
        with pytest.raises(MetannError, match="val_rows"):
            read_section(NetworkSection, {"probabilities": "p.parquet", "val_rows": wrong})


# --- names ----------------------------------------------------------------------------------------------------------


def test_names_of_images_join_tables(rng: np.random.Generator) -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    names = np.array([f"caf\u00e9/img{i}.png" for i in range(N)], object)
    frame(p, label=y, path=names).to_parquet("a.parquet")
    order = rng.permutation(N)
    frame(
        p[order], label=y[order], filename=[f".\\{name}".replace("/", "\\").replace("\u00e9", "e\u0301") for name in names[order]]
    ).to_csv("b.csv", index=False)
    first, second = imported("a.parquet", None), imported("b.csv", None)
    np.testing.assert_allclose(second.p_NK[align(first, second)], p, atol=1e-6)
    assert first.metadata["image_names"] == second.metadata["image_names"]


def test_tables_of_other_images_are_refused() -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    frame(p, label=y, file=[f"a{i:03}" for i in range(N)]).to_parquet("a.parquet")
    frame(p, label=y, file=[f"b{i:03}" for i in range(N)]).to_parquet("b.parquet")
    first, second, nameless = imported("a.parquet", None), imported("b.parquet", None), imported("p.npy")
    with pytest.raises(MetannError, match=r"out\.parquet names other images than out\.parquet"):
        align(first, second)
    with pytest.raises(MetannError, match=r"names its images and .* does not; give both a column 'file'"):
        align(nameless, first)
    frame(p, label=y, file=["same"] * 2 + [f"b{i:03}" for i in range(N - 2)]).to_parquet("c.parquet")
    with pytest.raises(MetannError, match="'file' says 'same' 2 times"):
        imported("c.parquet", None)


def test_ids_in_another_order_meet(rng: np.random.Generator) -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    order = rng.permutation(N)
    frame(p, label=y, sample_id=np.arange(N)).to_parquet("a.parquet")
    frame(p[order], label=y[order], id=order).to_parquet("b.parquet")
    first, second = imported("a.parquet", None), imported("b.parquet", None)
    np.testing.assert_allclose(second.p_NK[align(first, second)], p, atol=1e-6)
    frame(p, label=y, id=np.arange(N) // 2).to_parquet("patients.parquet")  # no key: two images of each patient
    np.testing.assert_array_equal(imported("patients.parquet", None).sample_id, np.arange(N))


def test_columns_that_are_never_a_label(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("y4.npy", 1 + np.arange(N) % (K - 1))
    notices = imported("p.npy", "y4.npy").metadata["notices"]
    assert notices[0] == "1 of 5 columns are never a label (p_0); do labels count from 0, and in the order of the columns?"
    assert any("is chance" in notice for notice in notices)
    assert capsys.readouterr().out.count("WARNING: ") == len(notices)


# --- more of the same kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("semicolons and decimal commas", lambda table: table.to_csv(index=False, sep=";", decimal=",")),
        ("tabs and decimal commas", lambda table: table.to_csv(index=False, sep="\t", decimal=",")),
        ("quotes", lambda table: table.to_csv(index=False, quoting=1)),
        ("an index", lambda table: table.to_csv()),
        ("line ends of Windows", lambda table: table.to_csv(index=False).replace("\n", "\r\n")),
        (
            "names of files beside decimal commas",
            lambda table: table.assign(file=BACKWARDS[::-1]).to_csv(index=False, sep=";", decimal=","),
        ),
        ("decimal commas in quotes", lambda table: table.to_csv(index=False, decimal=",", quoting=1)),
        ("blanks after commas", lambda table: table.to_csv(index=False).replace(",", ", ")),
        ("a line for Excel", lambda table: "sep=;\r\n" + table.to_csv(index=False, sep=";", decimal=",")),
        ("a line for Excel, a mark of UTF-8 and a bar", lambda table: "\ufeffsep=|\n" + table.to_csv(index=False, sep="|")),
        ("empty lines first", lambda table: "\n \r\n\n" + table.to_csv(index=False)),
        ("a mark of UTF-8", lambda table: "\ufeff" + table.to_csv(index=False, sep=";")),
    ],
)
def test_csv_as_programs_write_it(name: str, text: Callable[[pd.DataFrame], str]) -> None:
    Path("p.csv").write_text(text(frame(np.load("p.npy"), label=np.load("y.npy"))), newline="")
    np.testing.assert_allclose(imported("p.csv", None).p_NK, np.load("p.npy"), atol=1e-6, err_msg=name)


def test_whole_numbers_before_decimal_commas() -> None:
    p = np.load("p.npy").round(3)
    p[:3] = np.eye(K)[:3]
    for rows in (p, p[::-1]):
        for sep, name in ((";", "p.csv"), ("\t", "p.tsv")):
            lines = [sep.join(f"{value:g}".replace(".", ",") for value in row) for row in rows]
            Path(name).write_text("\n".join(lines))
            np.testing.assert_allclose(imported(name).p_NK, rows / rows.sum(1, keepdims=True), atol=1e-6)


def test_a_first_row_of_two_classes() -> None:
    """`0,1` is a row where the labels say so, and else the heading of a data frame."""
    p = np.stack([np.arange(N) / N, 1 - np.arange(N) / N], axis=1)
    np.save("y2.npy", np.arange(N) % 2)
    for lines in ("{0:g},{1:g}", "{0:g};{1:g}", '"{0:g}","{1:g}"'):
        Path("p.csv").write_text("\n".join(lines.format(*row) for row in p))
        np.testing.assert_allclose(imported("p.csv", "y2.npy").p_NK, p, atol=1e-5)
    pd.DataFrame(p).to_csv("p.csv", index=False)
    np.testing.assert_allclose(imported("p.csv", "y2.npy").p_NK, p, atol=1e-6)
    Path("p.csv").write_text(Path("p.csv").read_text() + "0.5,0.5\n" * 3)
    with pytest.raises(MetannError, match=r"label has shape \(60,\), the probabilities have 63 rows"):
        imported("p.csv", "y2.npy")


@pytest.mark.parametrize(
    ("name", "pack", "what"), [("p.csv", gzip.compress, "gzip"), ("p.tsv", lzma.compress, "xz"), ("p.csv", bz2.compress, "bzip2")]
)
def test_packed_text(name: str, pack: Callable[[bytes], bytes], what: str) -> None:
    Path(name).write_bytes(pack(frame(np.load("p.npy"), label=np.load("y.npy")).to_csv(index=False).encode()))
    with pytest.raises(MetannError, match=rf"{name} is {what}, not plain text; unpack it"):
        imported(name, None)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_csv_in_utf_16(encoding: str) -> None:
    Path("p.csv").write_text(frame(np.load("p.npy"), label=np.load("y.npy")).to_csv(index=False), encoding=encoding)
    with pytest.raises(MetannError, match=r"p\.csv is UTF-16 .* save it as UTF-8"):
        imported("p.csv", None)


@pytest.mark.parametrize("kind", ["int64", "uint8", "int32"])
def test_whole_percent(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    p = np.load("p.npy")
    np.save("w.npy", np.round(p * 100).astype(kind))
    np.testing.assert_allclose(imported("w.npy").p_NK, p, atol=0.015)
    assert "values are percent" in capsys.readouterr().out
    np.save("w.npy", np.round(p * 255).astype(np.uint8))
    with pytest.raises(MetannError, match="counts or unscaled scores"):
        imported("w.npy")


def test_splits_in_other_words() -> None:
    words = np.resize(["Validation", "TEST", "Training", "testing", " val "], N)
    frame(np.load("p.npy"), label=np.load("y.npy"), split=words).to_parquet("s.parquet")
    found = imported("s.parquet", None).split
    assert found[:5].tolist() == ["val", "test", "train", "test", "val"]


def test_ids_that_are_text_or_missing() -> None:
    p, y, names = np.load("p.npy"), np.load("y.npy"), [f"scan-{i:02d}" for i in range(N)]
    order = np.random.default_rng(3).permutation(N)
    frame(p, label=y, sample_id=names).to_parquet("a.parquet")
    frame(p[order], label=y[order], sample_id=np.array(names)[order]).to_parquet("b.parquet")
    first, second = imported("a.parquet", None), imported("b.parquet", None)
    np.testing.assert_allclose(second.p_NK[align(first, second)], p, atol=1e-6)
    for key in ("file", "path", "image_file"):
        frame(p, label=y, **{key: [None, *names[1:]]}).to_parquet("c.parquet")
        with pytest.raises(MetannError, match=rf"column '{key}' names no image in 1 of 60 rows; fill it, or leave the column out"):
            imported("c.parquet", None)


# --- nothing is dropped without a word ------------------------------------------------------------------------------


def written(**columns: object) -> str:
    """t.parquet with the good table, its labels and more columns."""
    p, y = np.load("p.npy"), np.load("y.npy")
    pq.write_table(pa.table({f"p_{k}": p[:, k] for k in range(K)} | {"label": y} | columns), "t.parquet")
    return "t.parquet"


HALVES = ["val", "test"] * (N // 2)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string_view(), pa.large_string(), pa.binary(6)])
def test_texts_of_every_type(kind: pa.DataType) -> None:
    table = imported(written(file=pa.array(BACKWARDS, kind)), None)
    np.testing.assert_array_equal(table.sample_id, np.arange(N)[::-1])
    assert table.metadata["assumed"] == ["column 'file' names the images"]
    if kind != pa.binary(6):
        np.testing.assert_array_equal(imported(written(split=pa.array(HALVES, kind)), None).split, HALVES)
        np.testing.assert_array_equal(imported(written(sample_id=pa.array(BACKWARDS, kind)), None).sample_id, np.arange(N)[::-1])


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("split", pa.array([None, *HALVES[1:]]), "cannot be used .1 nulls"),
        ("split", pa.array([[1]] * N), "cannot be used .list<"),
        ("sample_id", pa.array([None, *BACKWARDS[1:]]), "cannot be used .1 nulls"),
        ("file", pa.array([b"\xff%d" % i for i in range(N)]), "cannot be used .bytes that are no UTF-8"),
        ("path", pa.array([{"a": 1}] * N), "cannot be used .struct<"),
        ("image", np.arange(N) + 0.5, "names no images .float64"),
        ("file", [*BACKWARDS[1:], " "], "names no images .1 empty"),
        ("file", pa.array([*BACKWARDS[1:], None]).dictionary_encode(), "names no image in 1 of 60 rows"),
    ],
)
def test_keys_that_cannot_be_used(name: str, values: object, why: str) -> None:
    with pytest.raises(MetannError, match=rf"t\.parquet: column '{name}' {why}") as caught:
        imported(written(**{name: values}), None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", [{"sample_id": np.arange(N)[::-1]}, {"file": BACKWARDS}])
def test_pictures_beside_names_or_numbers(other: dict) -> None:
    """What cannot name the images is left out and said where another column does."""
    for pictures, why in [
        (pa.array([{"path": "a"}] * N), "struct<path: string>"),
        (pa.array([b"\xff"] * N), "bytes that are no UTF-8"),
    ]:
        table = imported(written(image=pictures, **other), None)
        np.testing.assert_array_equal(table.sample_id, np.arange(N)[::-1])
        assert table.metadata["assumed"][-1] == f"columns not used: 'image' ({why})"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"id": [None, *BACKWARDS[1:]]}, "the images are not named by 'id' (1 nulls)"),
        ({"id": np.arange(N) * 1.0}, "the images are not named by 'id' (float64, neither texts nor whole numbers)"),
        ({"name": ["a", "b"] * (N // 2)}, "the images are not named by 'name' (values repeat)"),
        (
            {"note": [None, *BACKWARDS[1:]], "when": pa.array([0] * N, pa.date32())},
            "columns not used: 'note' (1 nulls), 'when' (date32[day])",
        ),
        ({"scan": BACKWARDS}, "columns not used: 'scan' (a text for each row); a column 'file' or 'id' names the images"),
        (
            {"subset": ["train", "Valid"] * (N // 2)},
            "columns not used: 'subset' (words for splits); a column 'split' gives the splits, or val_rows with the column's name",
        ),
        (
            {f"{i}" * 90: [None] * N for i in range(7)},
            "columns not used: " + ", ".join(f"'{str(i) * 40}' (60 nulls)" for i in range(5)) + ", ... (7 in all)",
        ),
    ],
)
def test_columns_that_are_not_used_are_said(columns: dict, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = imported(written(**columns), None)
    assert table.metadata["assumed"] == [sentence]
    assert f"assumed: {sentence}" in capsys.readouterr().out
    np.testing.assert_array_equal(table.sample_id, np.arange(N))


@pytest.mark.parametrize("name", ["File", "filenames", "FILE_NAME", "Image Path", "imagePath", "Paths", "ID", "Sample-ID", "sampleId"])
def test_names_of_columns_in_other_forms(name: str) -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    np.savez("t.npz", probs=p, **{"Targets": y, name: np.array(BACKWARDS).astype("S6")[:, None], "Split": np.array(HALVES)})
    for table in (imported(written(**{name: BACKWARDS, "Split": HALVES}), None), imported("t.npz", None)):
        np.testing.assert_array_equal(table.sample_id, np.arange(N)[::-1])
        np.testing.assert_array_equal(table.split, HALVES)
        assert table.metadata["assumed"] == [f"column {name!r} names the images"]
    pq.write_table(pa.table({"probs": p.tolist(), "Label": y, "Log_Partition": np.full(N, 2.5)}), "t.parquet")
    assert (imported("t.parquet", None).log_partition == 2.5).all()


def test_partitions_that_are_text() -> None:
    with pytest.raises(MetannError, match=r"column 'log_partition' is text .*numbers are needed"):
        imported(written(log_partition=BACKWARDS), None)
    np.savez("t.npz", probs=np.load("p.npy"), y=np.load("y.npy"), log_partition=BACKWARDS)
    with pytest.raises(MetannError, match=r"t\.npz: log_partition is <U6, and numbers are needed"):
        imported("t.npz", None)


def test_pictures_are_no_names() -> None:
    np.savez("t.npz", probs=np.load("p.npy"), y=np.load("y.npy"), images=np.zeros((N, 3, 3)))
    assert imported("t.npz", None).metadata["assumed"] == ["columns not used: 'images' (shape (60, 3, 3))"]


THIRDS = ["train", "val", "test"] * (N // 3)


@pytest.mark.parametrize("kind", ["t.parquet", "t.npz"])
@pytest.mark.parametrize(("column", "wanted"), [("split", "split"), ("Split", "split"), ("Split", "Split"), ("part", "part")])
def test_val_rows_of_a_column_of_splits(column: str, wanted: str, kind: str) -> None:
    """Training rows stay what they are."""
    for words, meant in [(THIRDS, THIRDS), ([word.replace("val", "Dev").title() for word in THIRDS], THIRDS), (HALVES, HALVES)]:
        written(**{column: words})
        np.savez("t.npz", probs=np.load("p.npy"), y=np.load("y.npy"), **{column: np.array(words)})
        np.testing.assert_array_equal(imported(kind, None, val_rows=wanted).split, meant)
    for words, complaint in [
        (["test", "train"] * (N // 2), rf"val_rows = {wanted} takes 0 of 60 rows"),
        (["val"] * (N - 1) + ["holdout"], "unknown split 'holdout'" if column != "part" else None),
        (["val", "test", "rest"] * (N // 3), "unknown split 'rest'"),
    ]:
        if complaint:
            with pytest.raises(MetannError, match=complaint):
                imported(written(**{column: words}), None, val_rows=wanted)


@pytest.mark.parametrize("wanted", [20, "ids.npy", "mark"])
def test_split_and_val_rows_that_leave_no_other_rows(wanted: object) -> None:
    np.save("ids.npy", np.arange(20))
    written(mark=np.arange(N) < 20)
    with pytest.raises(MetannError, match=rf"split = val and val_rows = {wanted} make every row of t\.parquet a validation row"):
        imported("t.parquet", None, split="val", val_rows=wanted)
    written(split=HALVES)
    said = "split = val is not used: column 'split' gives the splits"
    table = imported("t.parquet", None, split="val")
    assert said in table.metadata["assumed"]
    np.testing.assert_array_equal(table.split, HALVES)


def test_marks_of_another_length() -> None:
    np.savez("t.npz", probs=np.load("p.npy"), y=np.load("y.npy"), mark=np.arange(50) < 20)
    with pytest.raises(MetannError, match=r"t\.npz: mark has shape \(50,\), the probabilities have 60 rows"):
        imported("t.npz", None, val_rows="mark")


# --- what is no file --------------------------------------------------------------------------------------------------


def refusal(call: Callable[[], object]) -> str:
    """What a call is refused with; one that waits for a pipe is not waited for."""
    said: list[str] = []

    def run() -> None:
        try:
            call()
        except MetannError as error:
            said.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "waits"
    return said[0]


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "tsv", "parquet", "txt"])
def test_pipes_and_devices(ending: str) -> None:
    """Reading one would wait for ever."""
    os.mkfifo(f"pipe.{ending}")
    Path(f"device.{ending}").symlink_to("/dev/zero")
    for name, what in (("pipe", "a pipe"), ("device", "a device")):
        path = f"{name}.{ending}"
        one_line = f"{path} is {what}, not a file; write its content into a file, and give that"
        calls: list[Callable[[], object]] = [
            lambda path=path: imported(path),
            lambda path=path: imported("p.npy", path),
            lambda path=path: imported("p.npy", val_rows=path),
            lambda path=path: read_probabilities(Path(path)),
        ]
        for call in calls:
            assert refusal(call) == one_line


# --- labels that stand there twice ----------------------------------------------------------------------------------


def both(kind: str, **columns: object) -> str:
    """The good table with other columns of labels."""
    p = np.load("p.npy")
    pq.write_table(pa.table({"probs": p.tolist()} | columns), "t.parquet")
    np.savez("t.npz", probs=p, **columns)
    frame(p, **columns).to_csv("t.csv", index=False)
    return kind


@pytest.mark.parametrize("kind", ["t.parquet", "t.npz", "t.csv"])
def test_labels_that_differ(kind: str) -> None:
    y = np.load("y.npy")
    other = np.where(np.arange(N) < 7, (y + 1) % K, y)
    for first, second in [("label", "target"), ("y", "target"), ("label", "labels"), ("label", "Label"), ("y_true", "targets")]:
        if kind != "t.csv" or first.lower() != second.lower():
            with pytest.raises(MetannError, match=rf"column '{first}' and column '{second}' differ in 7 of 60 rows; which") as caught:
                imported(both(kind, **{second: other, first: y}), None)
            assert "\n" not in str(caught.value)
        table = imported(both(kind, **{second: y, first: y.astype(float)}), None)
        np.testing.assert_array_equal(table.label, y)
        assert table.metadata["assumed"] == []
    with pytest.raises(MetannError, match=r"t\.\w+: y\.npy and column 'label' differ in 7 of 60 rows"):
        imported(both(kind, label=other))
    with pytest.raises(MetannError, match="differ in 60 of 60 rows"):  # counted from 1
        imported(both(kind, label=1 + y))
    np.testing.assert_array_equal(imported(both(kind, label=y)).label, y)


@pytest.mark.parametrize("kind", ["t.parquet", "t.npz", "t.csv"])
@pytest.mark.parametrize("strange", [np.array(["cat", "dog"] * (N // 2)), np.arange(N) / 7, np.arange(N) * 3, -np.arange(N)])
def test_what_is_no_label_leaves_the_label(kind: str, strange: np.ndarray) -> None:
    """Names of classes, places in pictures, values of a regression beside class numbers."""
    y = np.load("y.npy")
    for first, second in [("label", "target"), ("target", "label")]:
        table = imported(both(kind, **{first: strange, second: y}), None)
        np.testing.assert_array_equal(table.label, y)
        assert table.metadata["assumed"] == [f"columns not used: '{first}' (no class numbers)"]
    np.testing.assert_array_equal(imported(both(kind, target=strange, label=y)).label, y)


# --- two columns of one name ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("separator", "ending"), [(",", "csv"), (";", "csv"), ("\t", "tsv")])
def test_empty_columns_of_a_spreadsheet(separator: str, ending: str) -> None:
    text = frame(np.load("p.npy"), label=np.load("y.npy"), file=BACKWARDS).to_csv(index=False, sep=separator)
    for more in (separator, 2 * separator, separator + '""' + separator + '" "'):
        empty = more.replace('"', "").replace(" ", "") + "\n"
        Path(f"t.{ending}").write_text("".join(line + (more + "\n" if place else empty) for place, line in enumerate(text.splitlines())))
        table = imported(f"t.{ending}", None)
        np.testing.assert_allclose(table.p_NK, np.load("p.npy")[::-1][table.sample_id], atol=1e-6)
        number = more.count(separator)
        assert table.metadata["assumed"][-1] == f"columns not used: '' ({number} without name and values)"


@pytest.mark.parametrize("name", ["label", "p_1", "note", ""])
def test_columns_that_stand_twice(name: str) -> None:
    p, y = np.load("p.npy"), np.load("y.npy")
    table = frame(p, label=y)
    columns = [*table.columns, *([name] if name in table.columns else [name, name])]
    arrays = [pa.array(table[column] if column in table.columns else y) for column in columns]
    pq.write_table(pa.Table.from_arrays(arrays, names=columns), "t.parquet")
    rows = zip(*(array.to_pylist() for array in arrays), strict=True)
    Path("t.csv").write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]))
    called = repr(name) if name else "without a name"
    for file in ("t.parquet", "t.csv"):
        with pytest.raises(MetannError, match=rf"{file} has 2 columns {called}, and which is meant\?"):
            imported(file, None)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_arrays_that_stand_twice() -> None:
    np.savez("t.npz", probs=np.load("p.npy"), y=np.load("y.npy"))
    np.save("other.npy", 0 * np.load("y.npy"))
    with zipfile.ZipFile("t.npz", "a") as archive:
        archive.write("other.npy", "y.npy")
    with pytest.raises(MetannError, match=r"t\.npz has 2 columns 'y', and which is meant\?"):
        imported("t.npz", None)
