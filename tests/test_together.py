"""Tables of several networks on the same images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cascade_tables import write_tables

from metann.errors import MetannError
from metann.tables.join import check_seed
from metann.tables.probabilities import read_probabilities, write_probabilities
from metann.tables.samples import Samples
from metann.tables.together import read_together, tables_of, together


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three networks; the second's rows are in another order."""
    paths = write_tables(tmp_path, n=40)
    mixed = read_probabilities(paths[1])
    write_probabilities(paths[1], mixed.take(np.random.default_rng(0).permutation(len(mixed))))
    return paths


def test_networks_by_name_with_the_same_rows(paths: list[Path]) -> None:
    found = read_together(paths)
    assert list(found) == ["small", "middle", "large"]
    for path, table in zip(paths, found.values(), strict=True):
        written = read_probabilities(path)
        alone = dict(zip(written.sample_id.tolist(), written.p_NK.tolist(), strict=True))
        assert np.array_equal(table.sample_id, found["small"].sample_id)
        assert [alone[sample] for sample in table.sample_id] == table.p_NK.tolist()
        assert table.file == path


def test_rows_of_a_reference_and_of_a_split(paths: list[Path]) -> None:
    test = read_probabilities(paths[2], "test")
    reference = Samples(test.sample_id[::-1], test.split[::-1], test.label[::-1], test.metadata)
    for table in read_together(paths, "test", reference).values():
        assert np.array_equal(table.sample_id, reference.sample_id)
        assert set(table.split) == {"test"}
    with pytest.raises(MetannError, match=r"small.*does not hold the images of a table in memory"):
        read_together(paths, reference=reference)


def test_a_table_without_a_name_is_called_like_its_file(paths: list[Path]) -> None:
    table = read_probabilities(paths[0])
    write_probabilities(paths[0], replace(table, metadata=table.metadata | {"network": None}))
    assert list(read_together(paths)) == ["probabilities", "middle", "large"]


def test_what_does_not_meet_is_one_line(paths: list[Path], tmp_path: Path) -> None:
    for given, says in [
        ([*paths, paths[0]], f"two tables are of a network 'small': {paths[0]} and {paths[0]}; give each network once"),
        ([paths[0], tmp_path / "none.parquet"], "no table .*none.parquet"),
        ([paths[0], write_tables(tmp_path / "o", n=30)[1]], f"middle.*does not hold the images of {paths[0]}"),
    ]:
        with pytest.raises(MetannError, match=says) as error:
            read_together(given)
        assert "\n" not in str(error.value)
    assert together([]) == {}


def test_tables_in_the_order_of_their_names(paths: list[Path]) -> None:
    found = read_together(paths)
    assert [table.network for table in tables_of(["large", "small"], found, "it needs")] == ["large", "small"]
    with pytest.raises(MetannError, match="it needs the table of 'tiny'; given: small, middle, large"):
        tables_of(["small", "tiny"], found, "it needs")
    with pytest.raises(MetannError, match="given: none"):
        tables_of(["small"], {}, "it needs")


def test_the_seed_of_a_table(paths: list[Path]) -> None:
    table = read_probabilities(paths[0])
    check_seed(table, 0)
    with pytest.raises(MetannError, match=f"{paths[0]} is of seed 0, not 1"):
        check_seed(table, 1)
    check_seed(replace(table, metadata={"seed": None}), 5)
