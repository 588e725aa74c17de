"""Milliseconds: how they are measured, of which settings, and where their order is another than that of multiply-accumulates."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metann.compute.latency import batches_of, measure
from metann.config.latency import LatencySection
from metann.config.run import Config
from metann.config.section import read_section
from metann.errors import MetannError
from metann.report.latency import disorders, sentences, to_measure
from metann.stages.measure_latency import measure_latency


def test_the_first_round_does_not_count_and_the_median_does() -> None:
    times = iter(np.cumsum([0, 9, 0, 1, 0, 2, 0, 3, 0, 100]))
    seen: list[int] = []
    found = measure(lambda batch: seen.append(len(batch)), [np.zeros((4, 1)), np.zeros((4, 1))], 4, clock=lambda: float(next(times)))
    assert seen == [4] * 10
    ms = 1000 * np.array([1, 2, 3, 100]) / 8
    assert found == pytest.approx((np.median(ms), np.quantile(ms, 0.25), np.quantile(ms, 0.75)))


@pytest.mark.parametrize(("there", "size", "images", "shapes"), [(10, 1, 3, [1] * 3), (10, 4, 3, [4]), (3, 8, 3, [8]), (10, 4, 9, [4] * 3)])
def test_batches_are_whole(there: int, size: int, images: int, shapes: list[int]) -> None:
    images_NCHW = np.arange(there)[:, None, None, None]
    batches = batches_of(images_NCHW, size, images)
    assert [len(batch) for batch in batches] == shapes
    flat = np.concatenate(batches).ravel()
    assert all((b - a) % there == 1 % there for a, b in pairwise(flat))


def results() -> pd.DataFrame:
    found = []
    for seed in (0, 1):
        for family, setting, role, macs, val, chosen in (
            ("network", "small", "network", 1.0, 0.8, False),
            ("network", "wide", "network", 4.0, 0.7, False),
            ("mnn", "cheap", "setting", 2.0, 0.8, False),
            ("mnn", "beaten", "setting", 3.0, 0.8, False),
            ("mnn", "chosen, beaten", "setting", 3.5, 0.79, True),
            ("mnn", "best", "setting", 5.0, 0.9, False),
            ("cascade", "oracle", "bound", 1.0, 0.99, False),
            ("mixture", "table", "control", 1.5, 0.7, False),
        ):
            for split in ("val", "test"):
                row = {"family": family, "setting": setting, "role": role, "seed": seed, "split": split, "n": 10, "correct": 5}
                row |= {"accuracy": val, "low": 0.1, "high": 0.9, "macs": macs, "chosen": chosen}
                found.append(row | {"load": "" if setting == "table" else json.dumps({})})
    return pd.DataFrame(found)


def test_what_is_measured() -> None:
    assert to_measure(results(), "frontier")["setting"].tolist() == ["small", "cheap", "chosen, beaten", "wide", "best"]
    assert to_measure(results(), "all")["setting"].tolist() == ["small", "cheap", "beaten", "chosen, beaten", "wide", "best"]
    assert set(to_measure(results(), "all")["seed"]) == {0}


def measured(**ms: float) -> pd.DataFrame:
    rows = [
        {"family": "network" if setting in ("small", "wide") else "mnn", "setting": setting, "seed": 0, "batch_size": 1, "repeats": 3}
        | {"ms": value, "low": 0.9 * value, "high": 1.1 * value}
        for setting, value in ms.items()
    ]
    return pd.DataFrame(rows)


def test_the_orders_are_compared_beyond_the_spread() -> None:
    latency = measured(small=1.0, cheap=3.0, wide=2.0, best=2.05)
    latency.attrs = {"machine": "a machine", "threads": 1}
    first, second = sentences(latency, results())
    assert "4 settings of seed 0" in first
    assert "on a machine, 1 thread" in first
    # cheap (2) is slower than wide (4) and best (5); wide and best differ by less than their spread
    assert "of 6 pairs of settings, 2 have the two orders against one another" in second
    assert "most of all `mnn: cheap`, which needs 0.40 x the multiply-accumulates of `mnn: best` and 1.46 x its milliseconds" in second
    found = disorders(
        latency.merge(results().query("split == 'test'")[["family", "setting", "seed", "macs"]], on=["family", "setting", "seed"])
    )
    assert found["dear"].tolist() == ["mnn: best", "wide"]


def test_a_section_turns_it_on_and_draws_its_figure() -> None:
    assert read_section(Config, {}).figures == ("pareto",)
    assert read_section(Config, {"latency": {}}).figures == ("pareto", "pareto_ms")
    assert read_section(Config, {"latency": {}, "figures": ["pareto"]}).figures == ("pareto",)
    for values, says in (
        ({"figures": ["pareto_ms"]}, "nobody measures"),
        ({"latency": {"repeats": 1}}, "greater than or equal to 3"),
        ({"latency": {"settings": "some"}}, "frontier"),
    ):
        with pytest.raises(MetannError, match=says):
            read_section(Config, values)


def test_without_a_run_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MetannError, match=r"no table .*results\.parquet"):
        measure_latency(run=tmp_path, output=tmp_path / "x.parquet", latency=LatencySection())
