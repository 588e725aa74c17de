import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metann.errors import MetannError
from metann.tables.frames import read_arrow, read_frame, write_frame


def test_round_trip_keeps_types_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "curve.parquet"
    columns = {"threshold": np.array([0.1, np.nan]), "n": np.array([1, 2]), "name": ["a", ""], "right": np.array([True, False])}
    write_frame(path, columns, "curve", {"seed": 3, "macs": None})
    frame = read_frame(path, "curve")
    pd.testing.assert_frame_equal(frame, pd.DataFrame(columns))
    assert frame.attrs == {"seed": 3, "macs": None, "schema": 1, "kind": "curve"}
    write_frame(tmp_path / "again.parquet", frame, "curve", {"seed": 3, "macs": None})
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_text_without_rows_stays_text(tmp_path: Path) -> None:
    write_frame(tmp_path / "t.parquet", pd.DataFrame({"name": np.array([], object), "n": np.array([], float)}), "t", {})
    arrow, _ = read_arrow(tmp_path / "t.parquet", "t")
    assert arrow.schema.field("name").type == pa.string()
    assert len(read_frame(tmp_path / "t.parquet", "t")) == 0


def test_same_content_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_frame(path, {"n": np.arange(3)}, "t", {})
    os.utime(path, (1, 1))
    write_frame(path, {"n": np.arange(3)}, "t", {})
    assert path.stat().st_mtime == 1
    write_frame(path, {"n": np.arange(4)}, "t", {})
    assert path.stat().st_mtime > 1
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(MetannError, match=r"^no table .*t\.parquet; run the stage"):
        read_frame(path, "t")
    write_frame(path, {"n": np.arange(1000)}, "t", {})
    with pytest.raises(MetannError, match=r"not a metann table of kind 'other' and schema 1 \(kind 't', schema 1\)"):
        read_frame(path, "other")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MetannError, match="not a whole Parquet file") as error:
        read_frame(path, "t")
    assert "\n" not in str(error.value)
    path.write_text("x")
    with pytest.raises(MetannError, match="not a whole Parquet file"):
        read_frame(path, "t")
    pq.write_table(pa.table({"n": [1]}), path)
    with pytest.raises(MetannError, match="no metann metadata"):
        read_frame(path, "t")
    pq.write_table(pa.table({"n": [1]}).replace_schema_metadata({b"metann": b'{"kind": "t", "schema": 2}'}), path)
    with pytest.raises(MetannError, match="schema 2"):
        read_frame(path, "t")


def test_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MetannError, match="cannot write"):
        write_frame(tmp_path / "file" / "t.parquet", {"n": np.arange(3)}, "t", {})
