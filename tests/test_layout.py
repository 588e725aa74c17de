"""Where files lie: a pattern that is filled is found again, and gives back what it was filled with."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann import layout
from metann.thresholds import format_threshold, parse_threshold


@given(st.integers(0, 999), st.integers(0, 10**6).map(lambda n: parse_threshold(n / 10**6)), st.integers(0, 9999))
def test_a_filled_pattern_gives_its_fields_back(seed: int, threshold: float, c: int) -> None:
    path = layout.place("", layout.EXPERT, seed=seed, dataset_threshold=threshold, c=c)
    assert layout.fields(path, layout.EXPERT) == {"seed": str(seed), "dataset_threshold": format_threshold(threshold), "c": str(c)}


@pytest.mark.parametrize("path", ["mnn/seed_0/dataset_threshold_0.10", "mnn/seed_0/dataset_threshold_0.10/class_3/x", "networks/a/seed_0"])
def test_another_path_has_no_fields(path: str) -> None:
    assert layout.fields(path, layout.EXPERT) is None


def test_files_are_found_by_what_is_known_of_them(tmp_path: Path) -> None:
    for seed in (0, 1):
        for threshold in (0.1, 0.2):
            path = layout.place(tmp_path, f"{layout.EVALUATION}/prefix.parquet", seed=seed, dataset_threshold=threshold)
            path.parent.mkdir(parents=True)
            path.touch()
    found = list(layout.found(tmp_path, f"{layout.EVALUATION}/prefix.parquet", seed=1))
    assert [fields["dataset_threshold"] for _, fields in found] == ["0.10", "0.20"]
    assert {fields["seed"] for _, fields in found} == {"1"}
    assert not list(layout.found(tmp_path, f"{layout.EVALUATION}/prefix.parquet", seed=2))


def test_a_name_that_is_a_pattern_of_the_shell_is_only_a_name(tmp_path: Path) -> None:
    """Network names hold no such characters; a folder above the run may."""
    run = tmp_path / "[a]*"
    path = layout.place(run, f"{layout.NETWORK}/x.tsv", network="switch", seed=0)
    path.parent.mkdir(parents=True)
    path.touch()
    assert [fields for _, fields in layout.found(run, f"{layout.NETWORK}/x.tsv")] == [{"network": "switch", "seed": "0"}]
