"""`classes_per_job: auto`: the grouping follows from how long experts take, and is the same in every process of a run."""

import csv
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT, snakemake
from hypothesis import given, settings
from hypothesis import strategies as st

from metann import layout
from metann.config.mnn import MnnSection
from metann.config.run import Config
from metann.config.section import read_section
from metann.config.training import TrainingSection
from metann.errors import MetannError
from metann.plan.graph import PlannedJob, classes_in_a_job
from metann.plan.grouping import PLANNING, UNKNOWN, VARIABLE, auto_classes, known_times, on_a_cluster, on_one_machine
from metann.workflow.rules import places

SECONDS = st.floats(0.01, 1000)


@given(st.integers(1, 300), SECONDS, SECONDS)
def test_on_a_cluster_a_job_takes_about_ten_minutes(classes: int, expert: float, start: float) -> None:
    chosen = on_a_cluster(classes, expert, start)
    off = {group: abs(start + group * expert - 600) for group in range(1, classes + 1)}
    assert off[chosen] <= min(off.values()) + 1e-6
    assert on_a_cluster(classes, 0, start) == classes  # nothing to train


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 6), SECONDS, SECONDS, st.integers(1, 16))
def test_on_one_machine_no_other_number_is_done_sooner(classes: int, cells: int, expert: float, start: float, places: int) -> None:
    def end(group: int) -> float:
        jobs = [group for _ in range(cells) for _ in range(0, classes, group)]
        waves, seconds = [jobs[i : i + places] for i in range(0, len(jobs), places)], 0.0
        for _ in waves:
            seconds += start + group * expert
        return seconds

    ends = {group: end(group) for group in range(1, classes + 1)}
    chosen = on_one_machine(classes, cells, expert, start, places)
    assert ends[chosen] <= min(ends.values()) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("expert", "start", "places", "group"),
    [
        (0.1, 5.0, 2, 10),  # the start is all there is: three jobs
        (100.0, 5.0, 2, 5),  # six jobs keep two cores busy to the end, three do not
        (100.0, 0.0, 30, 1),  # a place for every expert
        (100.0, 5.0, 1, 10),  # one after the other anyway
    ],
)
def test_of_ten_classes_and_three_thresholds(expert: float, start: float, places: int, group: int) -> None:
    assert on_one_machine(10, 3, expert, start, places) == group


def config_of(**mnn: object) -> Config:
    config = yaml.safe_load((ROOT / "presets/digits.yaml").read_text())
    config["mnn"] |= mnn
    return read_section(Config, config)


def write(path: Path, rows: list[list[object]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def measured(run: Path, seconds: float, whole: float) -> None:
    """Ten experts of one epoch in two jobs."""
    for c in range(10):
        write(layout.place(run, f"{layout.EXPERT}/training.csv", seed=0, dataset_threshold="0.20", c=c), [["seconds"], [seconds]])
    for first in (0, 5):
        path = layout.place(run, f"{layout.EXPERTS}/train_expert_{first}.tsv", seed=0, dataset_threshold="0.20")
        write(path, [["s"], [whole]], "\t")


def test_times_are_measured_or_estimated_from_the_switch(tmp_path: Path) -> None:
    config = config_of(expert={"epochs": 4})
    assert known_times(tmp_path, config, 10) is None
    write(layout.place(tmp_path, f"{layout.NETWORK}/training.csv", network="switch", seed=0), [["seconds"], [2.0], [8.0], [3.0]])
    assert known_times(tmp_path, config, 10) == (pytest.approx(4 * 3.0 * 1.5 / 10), 5.0)
    measured(tmp_path, 7.0, 40.0)  # only of the second threshold
    assert known_times(tmp_path, config, 10) == (pytest.approx(4 * 7.0), pytest.approx(40 - 5 * 7.0))


def test_every_process_of_a_run_has_the_same_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    config = config_of(classes_per_job="auto")
    ask = {"local": True, "places": 2}
    assert auto_classes(tmp_path, config, 10, main=True, **ask) == UNKNOWN
    measured(tmp_path, 0.01, 30.0)
    assert auto_classes(tmp_path, config, 10, main=False, **ask) == UNKNOWN, "a job finds what the main process found"
    assert auto_classes(tmp_path, config, 10, main=True, **ask) == 10
    other = config.model_copy(update={"run": "other"})
    assert auto_classes(tmp_path, other, 10, main=False, local=False, places=2) == 10
    assert auto_classes(tmp_path, config, 10, main=False, **ask) == 10
    assert set(yaml.safe_load(os.environ[VARIABLE])) == {"digits", "other"}
    monkeypatch.setenv(PLANNING, "1")
    measured(tmp_path, 300.0, 1505.0)
    assert auto_classes(tmp_path, config, 10, main=True, local=True, places=1) == 2, "a plan is for many devices"
    monkeypatch.delenv(PLANNING)
    assert auto_classes(tmp_path, config, 10, main=True, local=True, places=1) == 10
    assert auto_classes(tmp_path, config, 10, main=True, local=False, places=2) == 2


@pytest.mark.parametrize(
    ("cores", "resources", "there", "device", "threads", "places_there"),
    [
        (8, {}, "", "auto", 1, 8),
        (8, {}, "", "auto", 3, 2),
        (2, {}, "", "auto", 4, 1),
        (8, {}, "0,1", "auto", 1, 2),
        (8, {}, "0,1", "cpu", 1, 8),
        (16, {"gpu": 4}, "", "cuda", 1, 4),
        (2, {"gpu": 4}, "", "cuda", 1, 2),
    ],
)
def test_jobs_at_once_are_cores_or_gpus(
    cores: int, resources: dict, there: str, device: str, threads: int, places_there: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METANN_GPUS", there)
    settings_of_snakemake = SimpleNamespace(cores=cores, resources=resources)
    assert places(settings_of_snakemake, TrainingSection(device=device, threads=threads)) == places_there


def test_the_key_takes_a_number_or_auto() -> None:
    assert MnnSection(classes_per_job="auto").classes_in_a_job(10, 3) == 3
    assert MnnSection(classes_per_job=4).classes_in_a_job(10, 3) == 4
    assert MnnSection(classes_per_job="auto", expert={"tail": 1}).classes_in_a_job(10, 3) == 10
    for wrong in ("automatic", 0, 1.5):
        with pytest.raises(MetannError, match=r"classes_per_job"):
            read_section(MnnSection, {"classes_per_job": wrong})


def test_a_plan_reads_the_grouping_from_the_graph() -> None:
    jobs = [PlannedJob("train_expert", {"c": str(c)}) for c in (0, 4, 8)]
    assert classes_in_a_job(jobs, 10) == 4
    assert classes_in_a_job([PlannedJob("train_expert", {})], 10) == 10
    assert classes_in_a_job([], 0) == 1


@pytest.mark.slow
def test_the_workflow_groups_by_what_was_measured(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "presets/digits.yaml").read_text())
    config["mnn"]["classes_per_job"] = "auto"
    (tmp_path / "auto.yaml").write_text(yaml.safe_dump(config))

    def jobs() -> int:
        text = snakemake("--dry-run", "--cores", 2, "--configfile", "auto.yaml", cwd=tmp_path).stdout
        table = text[text.index("Job stats:") :].split("\n\n")[0]
        return sum(int(count) for count in re.findall(r"^train_expert\w* +(\d+)$", table, re.MULTILINE))

    assert jobs() == 2 * 10 // UNKNOWN
    measured(tmp_path / "results/digits", 0.01, 30.0)
    assert jobs() == 2
