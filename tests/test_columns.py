"""Columns by their buffers against pyarrow's own conversions."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metann.tables.columns import to_arrow, to_dictionary, to_numpy

TYPES = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.float32, np.float64, bool]


@given(st.lists(st.integers(0, 100)), st.sampled_from(TYPES))
def test_numbers_and_bools(values: list[int], kind: type) -> None:
    array = np.array(values, np.int64).astype(kind)
    assert to_arrow(array).equals(pa.array(array))
    assert to_arrow(np.repeat(array, 2)[::2]).equals(pa.array(array)), "a view with gaps"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@example(["", "\0"])
def test_text(values: list[str]) -> None:
    array = np.array([*values, None], object)[:-1]
    assert to_arrow(array).equals(pa.array(values, pa.string()))
    encoded = to_dictionary(array)
    assert encoded.equals(pa.array(values, pa.string()).dictionary_encode())
    encoded.validate(full=True)


def test_fixed_width_text() -> None:
    array = np.array(["train", "val", "train"])
    assert to_arrow(array).to_pylist() == to_dictionary(array).to_pylist() == array.tolist()


@pytest.mark.parametrize("kind", TYPES)
def test_back_to_numpy(kind: type) -> None:
    array = (np.arange(20) % 3).astype(kind)
    for column in (pa.chunked_array([pa.array(array)]), pa.chunked_array([pa.array(array[:3]), pa.array(array[3:])])):
        back = to_numpy(column)
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
        back[0] = 1  # may be written to
    np.testing.assert_array_equal(to_numpy(pa.chunked_array([pa.array(array)]).slice(4)), array[4:])
    empty = to_numpy(pa.chunked_array([pa.array(array[:0])]))
    assert empty.dtype == array.dtype
    assert len(empty) == 0


def test_tables_import_no_pandas() -> None:
    code = """
import sys, tempfile, numpy as np
from pathlib import Path
from metann.tables.frames import read_arrow, write_frame
from metann.tables.probabilities import read_samples, write_samples
from metann.tables.samples import Samples
folder = Path(tempfile.mkdtemp())
write_samples(folder / "s.parquet", Samples(np.arange(3), np.array(["train", "val", "test"]), np.zeros(3, int), {}))
read_samples(folder / "s.parquet")
write_frame(folder / "f.parquet", {"a": [1.5], "b": ["x"], "c": [True]}, "kind", {})
read_arrow(folder / "f.parquet", "kind")
print("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
