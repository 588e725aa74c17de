"""Planning: schedules against their definition and Graham's bounds, interruptions against Duda's formula, the graph against the rules."""

import csv
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, metann, snakemake
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metann.config.run import Config
from metann.config.section import read_section
from metann.errors import MetannError
from metann.plan.dry_run import dag
from metann.plan.forecast import Interruptions, disturbed_seconds, forecast
from metann.plan.graph import PlannedJob, Times, read_dag, run_jobs
from metann.plan.measured import measured_times
from metann.plan.scheduling import Job, schedule, tails, useful_devices
from metann.plan.text import clock


@st.composite
def graphs(draw: st.DrawFn, widest: int = 4) -> list[Job]:
    n = draw(st.integers(1, 14))
    jobs = []
    for index in range(n):
        parents = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        width = draw(st.integers(0, widest)) if widest > 1 else 1
        jobs.append(Job(f"job_{index}", draw(st.integers(0, 9)), width, tuple(sorted(parents))))
    return jobs


@given(graphs(), st.integers(4, 9))
def test_a_schedule_is_possible_and_never_idles_by_choice(jobs: list[Job], devices: int) -> None:
    plan = schedule(jobs, devices)
    held = lambda time: sum(j.devices for j, s, e in zip(jobs, plan.start_J, plan.end_J, strict=True) if s <= time < e)  # noqa: E731
    for index, job in enumerate(jobs):
        assert plan.end_J[index] - plan.start_J[index] == job.seconds
        ready = max((plan.end_J[parent] for parent in job.parents), default=0.0)
        assert plan.start_J[index] >= ready, "no job before its parents end"
        assert held(plan.start_J[index]) <= devices
        if job.seconds:  # a waiting job does not fit at any moment before it starts
            moments = {ready, *(end for end in plan.end_J if ready <= end)} - {plan.start_J[index]}
            assert all(held(moment) + job.devices > devices for moment in moments if moment < plan.start_J[index])
    assert plan.makespan == plan.end_J.max()
    assert plan.device_seconds == sum(job.devices * job.seconds for job in jobs)


@given(graphs(widest=1), st.integers(1, 6))
def test_grahams_bounds(jobs: list[Job], devices: int) -> None:
    plan = schedule(jobs, devices)
    chain, work = tails(jobs, np.array([job.seconds for job in jobs])).max(), sum(job.seconds for job in jobs)
    assert max(chain, work / devices) - 1e-9 <= plan.makespan <= work / devices + (1 - 1 / devices) * chain + 1e-9
    if devices == 1:
        assert plan.makespan == work


@given(graphs())
@example([Job("beside", 1), Job("no time", 0), Job("after it", 1, 0, (1,))])  # a moment's job needs a device too
def test_more_than_the_useful_devices_change_nothing(jobs: list[Job]) -> None:
    enough = max(useful_devices(jobs), *(job.devices for job in jobs), 1)
    chain = tails(jobs, np.array([job.seconds for job in jobs])).max()
    assert schedule(jobs, enough).makespan == schedule(jobs, enough + 5).makespan == chain


def test_the_longest_way_goes_first() -> None:
    jobs = [Job("short", 1), Job("short", 1), Job("long", 2)]
    assert schedule(jobs, 2).makespan == 2  # in the given order it would be 3


def test_a_wide_job_lets_narrow_ones_pass() -> None:
    jobs = [Job("first", 5, 2), Job("wide", 1, 3), Job("narrow", 1, 1)]
    plan = schedule(jobs, 3)
    assert plan.start_J.tolist() == [0, 5, 0]


def test_on_fewer_devices_the_work_is_kept() -> None:
    assert schedule([Job("wide", 10, 8)], 2).makespan == 40
    assert schedule([Job("wide", 10, 8)], 2).device_seconds == 80


@pytest.mark.parametrize(
    ("jobs", "devices", "says"), [([Job("a", 1)], 0, "0 devices cannot"), ([Job("a", 1, 1, (0,))], 1, "parents come before")]
)
def test_what_cannot_be_scheduled(jobs: list[Job], devices: int, says: str) -> None:
    with pytest.raises(MetannError, match=says):
        schedule(jobs, devices)


# --- the report's example -------------------------------------------------------------------------------------

RESNET50_SECONDS = 2 * 60 + 43  # to 93 % on 16 nodes x 8 GPUs
REPORT = {
    "run": "report",
    "networks": {"switch": {"architecture": "resnet50"}},
    "mnn": {"controls": [], "dataset_thresholds": [0.17], "classes_per_job": 1, "figures": []},
}


def report_jobs(classes: int) -> list[PlannedJob]:
    """The report's run as Snakemake lists it, without asking Snakemake."""
    switch = {"network": "switch", "seed": "0"}
    jobs = [PlannedJob("prepare_data", {}), PlannedJob("train_network", switch, (0,)), PlannedJob("export_probabilities", switch, (1,))]
    jobs += [PlannedJob("train_expert", switch | {"dataset_threshold": "0.17", "c": str(c)}, (0, 1, 2)) for c in range(classes)]
    return [*jobs, PlannedJob("evaluate_mnn", switch, tuple(range(2, 3 + classes)))]


def test_the_reports_example() -> None:
    """1,000 classes, 10 % of the iterations to specialise: 2:59 min on 128,000 GPUs."""
    times = Times({"switch": RESNET50_SECONDS}, expert=RESNET50_SECONDS / 10)
    jobs = run_jobs(report_jobs(1000), times, 1, 1000, devices_per_job=128)
    plan = schedule(jobs, 128_000)
    assert plan.makespan == pytest.approx(1.1 * RESNET50_SECONDS)
    assert clock(plan.makespan) == "0:02:59"
    assert useful_devices(jobs) == 128_000
    assert sum(job.name == "train_expert" for job in jobs) + sum(job.name == "train_network" for job in jobs) == 1001
    # Half as many GPUs: the experts come in two waves. One node of 128: the whole work, one after the other.
    assert schedule(jobs, 64_000).makespan == pytest.approx(1.2 * RESNET50_SECONDS)
    assert schedule(jobs, 128).makespan == pytest.approx(101 * RESNET50_SECONDS)


def test_the_reports_example_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "report.yaml").write_text(yaml.safe_dump(REPORT))
    arguments = ["--classes", 1000, "--network-seconds", RESNET50_SECONDS, "--expert-seconds", RESNET50_SECONDS / 10]
    arguments += ["--devices-per-job", 128, "--devices", 128, 128_000, "--price", 2, "--figure", "plan.png"]
    text = metann("plan", "--config", "report.yaml", *arguments, cwd=tmp_path).stdout
    assert "the longest chain of jobs takes 0:02:59; more than 128,000 devices change nothing" in text
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()[1:]]
    assert rows[0] == ["devices", "makespan", "device hours", "in use", "cost"]
    hours = 101 * RESNET50_SECONDS * 128 / 3600
    assert rows[1] == ["128", clock(101 * RESNET50_SECONDS), f"{hours:,.2f}", "100.0 %", f"{2 * hours:,.2f}"]
    assert rows[2][:3] == ["128,000", "0:02:59", f"{hours:,.2f}"]
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


# --- interruptions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "devices", "per_hour", "checkpoint"), [(600, 1, 0.9, 60), (100, 8, 0.5, 30), (50, 1, 0.99, 400)])
def test_interruptions_have_dudas_mean(seconds: float, devices: int, per_hour: float, checkpoint: float) -> None:
    spot = Interruptions(per_hour, checkpoint, restart_seconds=40)
    rate = -math.log(1 - per_hour) / 3600 * devices
    pieces = [checkpoint] * int(seconds // checkpoint) + [seconds % checkpoint]
    expected = sum((1 / rate + 40) * math.expm1(rate * piece) for piece in pieces)
    rng = np.random.default_rng(1)
    drawn = [disturbed_seconds(Job("x", seconds, devices), spot, rng) for _ in range(20_000)]
    assert np.mean(drawn) == pytest.approx(expected, abs=5 * np.std(drawn) / math.sqrt(len(drawn)))
    assert min(drawn) >= seconds


def test_a_probability_of_an_hour_is_one_of_an_hour() -> None:
    assert 1 - math.exp(-Interruptions(0.05).rate(1) * 3600) == pytest.approx(0.05)


def test_interruptions_lengthen_the_forecast_and_the_bill() -> None:
    jobs = [Job("train", 3600) for _ in range(8)]
    calm, rough = forecast(jobs, 4), forecast(jobs, 4, Interruptions(0.5, 600, 60))
    assert calm.makespan == calm.makespan_high == 7200
    assert rough.makespan > calm.makespan
    assert rough.makespan_high >= rough.makespan
    assert rough.device_hours > calm.device_hours == 8
    assert rough == forecast(jobs, 4, Interruptions(0.5, 600, 60)), "seeded"
    assert forecast(jobs, 4, Interruptions(0.0)) == calm


def test_hopeless_interruptions_are_one_line() -> None:
    with pytest.raises(MetannError, match="checkpoint more often"):
        forecast([Job("train", 36_000, 1000)], 1000, Interruptions(0.5, 3600))


# --- the graph of a run ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mnn": {"controls": ["wide"], "probabilities": "out_of_fold", "folds": 3, "dataset_thresholds": [0.1, 0.2, 0.3]}, "seeds": [0, 4]},
    ],
)
def test_the_graph_has_the_jobs_of_the_workflow(tmp_path: Path, changes: dict) -> None:
    config = yaml.safe_load((ROOT / "presets/digits.yaml").read_text()) | changes
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    text = snakemake("-n", "-q", "rules", "--configfile", "config.yaml", cwd=tmp_path).stdout
    counts: dict[str, int] = {}
    for rule, count in re.findall(r"^(\w+)\s+(\d+)$", text[text.index("Job stats:") :].split("\n\n")[0], re.MULTILINE):
        name = re.sub(r"_\d+$", "", rule)
        counts[name] = counts.get(name, 0) + int(count)
    for virtual in ("all", "total"):
        counts.pop(virtual)
    jobs = run_jobs(read_dag(dag(tmp_path / "config.yaml", ROOT / "Snakefile")), Times({"switch": 8, "wide": 1}, expert=2), 5, 10)
    planned: dict[str, int] = {}
    for job in jobs:
        planned[job.name] = planned.get(job.name, 0) + 1
    assert planned == counts
    names = [{jobs[parent].name for parent in job.parents} for job in jobs]
    for job, parents in zip(jobs, names, strict=True):
        if job.name == "evaluate_mnn":
            assert parents == {"export_probabilities", "train_expert"}
        if job.name == "draw_figure":
            assert parents in ({"collect_mnn"}, {"collect_run"})
        if job.name == "train_expert":
            assert job.seconds == 5 * 2
        if job.name == "train_fold":
            assert job.seconds == pytest.approx(8 * 2 / 3)
    assert {job.devices for job in jobs if job.name in ("train_network", "train_expert", "export_probabilities")} == {1}
    assert {job.devices for job in jobs if job.name in ("prepare_data", "evaluate_mnn", "collect_mnn", "draw_figure")} == {0}


def test_a_cascade_is_planned_too() -> None:
    jobs = run_jobs(read_dag(dag(ROOT / "presets/cascade-demo.yaml", ROOT / "Snakefile")), Times({"resnet": 3}))
    counts = Counter(job.name for job in jobs)
    assert counts["train_network"] == counts["export_probabilities"] == 4
    assert counts["search_cascade"] == counts["run_cascade"] == counts["collect_cascade"] == 1
    assert sorted(job.seconds for job in jobs if job.name == "train_network") == [0, 0, 0, 3]


def test_another_text_than_snakemakes_graph_is_one_line() -> None:
    with pytest.raises(MetannError, match="no graph of jobs"):
        read_dag("nothing\n")


def test_jobs_come_after_those_they_wait_for() -> None:
    text = """digraph snakemake_dag {
	0[label = "all", color = "0"];
	1[label = "train_expert_5\\ndataset_threshold: 0.05", color = "0"];
	2[label = "train_network\\nnetwork: switch\\nseed: 3", color = "0"];
	1 -> 0
	2 -> 1
}"""
    assert read_dag(text) == [
        PlannedJob("train_network", {"network": "switch", "seed": "3"}),
        PlannedJob("train_expert", {"network": "switch", "seed": "3", "c": "5", "dataset_threshold": "0.05"}, (0,)),
    ]


def write_run(folder: Path) -> Config:
    """The files of a run that took known times: 2 epochs of 3 s and 4 s around a network, 1 epoch an expert."""

    def tsv(path: Path, seconds: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t5\n")

    def epochs(path: Path, seconds: list[float]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["epoch", "seconds"], *([i + 1, s] for i, s in enumerate(seconds))])

    for name in ("switch", "wide"):
        tsv(folder / f"networks/{name}/seed_0/train_network.tsv", 10)
        epochs(folder / f"networks/{name}/seed_0/training.csv", [3, 4])
        tsv(folder / f"networks/{name}/seed_0/export_probabilities.tsv", 2)
    for threshold in ("0.05", "0.20"):
        experts = folder / f"mnn/seed_0/dataset_threshold_{threshold}"
        for first in (0, 5):
            tsv(experts / f"train_expert_{first}.tsv", 11)
        for c in range(10):
            epochs(experts / f"class_{c}/training.csv", [] if c == 3 else [1.5])
    tsv(folder / "data/prepare_data.tsv", 1)
    return read_section(Config, yaml.safe_load((ROOT / "presets/digits.yaml").read_text()))


def test_times_are_read_and_scaled_to_the_epochs(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    rules = ["train_network", "train_expert", "prepare_data", "evaluate_mnn", "collect_mnn"]
    times, missing = measured_times(tmp_path, run, rules)
    assert times.network == {"switch": 3 + 2 * 3.5, "wide": 10}
    assert times.export == {"switch": 2, "wide": 2}
    assert (times.expert_of["0.05", 0], times.expert_of["0.20", 3]) == (1.5, 0)
    assert times.expert == pytest.approx(0.9 * 1.5)
    assert times.expert_start == pytest.approx(((11 - 4 * 1.5) + (11 - 5 * 1.5)) / 2)
    assert (times.rules, missing) == ({"prepare_data": 1}, ["collect_mnn", "evaluate_mnn"])
    longer = run.model_copy(update={"training": run.training.model_copy(update={"epochs": 20})})
    assert measured_times(tmp_path, longer, rules)[0].network["switch"] == 3 + 20 * 3.5


def test_a_plan_from_a_run(tmp_path: Path) -> None:
    write_run(tmp_path / "results/digits")
    text = metann("plan", "--config", ROOT / "presets/digits.yaml", "--devices", 1, 4, "--interruptions", 0.1, cwd=tmp_path).stdout
    assert "not measured there, taken as 0 s: collect_mnn, collect_run, draw_figure, evaluate_mnn, write_page" in text
    assert "4 of them expert jobs" in text
    assert "95 % of runs" in text


@settings(max_examples=20)
@given(st.floats(0, 1e6))
def test_clock_reads_back(seconds: float) -> None:
    hours, minutes, rest = clock(seconds).split(":")
    assert 3600 * int(hours) + 60 * int(minutes) + int(rest) == round(seconds)
    assert int(minutes) < 60
    assert int(rest) < 60


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config", "none.yaml"], "cannot read the configuration none.yaml"),
        (["--run", "nowhere"], "no run nowhere to take times from"),
        (["--interruptions", 1], "not a probability"),
        (["--devices", 0], "at least 1"),
        (["--price", -1], "negative"),
        (["--price", "inf"], "--price inf is no finite number"),
        (["--network-seconds", "nan"], "--network-seconds nan is no finite number; give one from 0 on"),
        (["--network-seconds", 1, "--expert-seconds", "inf"], "--expert-seconds inf is no finite number"),
        (["--expert-seconds", -1], "--expert-seconds -1.0 is negative"),
        (["--checkpoint-seconds", "inf"], "both finite"),
        (["--restart-seconds", "nan"], "both finite"),
        (["--config", "circle.yaml"], "circle.yaml, line 2: the value there contains itself"),
        (["--checkpoint-seconds", 0], "--checkpoint-seconds 0"),
        (["--figure", "plan.gif"], "neither in .png"),
        (["--run", "broken"], "is not a benchmark file"),
        (["--run", "other"], "did not train network 'wide', only: switch"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list, says: str) -> None:
    write_run(tmp_path / "broken")
    (tmp_path / "broken/networks/switch/seed_0/train_network.tsv").write_text("nothing\n")
    write_run(tmp_path / "other")
    (tmp_path / "other/networks/wide/seed_0/train_network.tsv").unlink()
    (tmp_path / "config.yaml").write_text((ROOT / "presets/digits.yaml").read_text())
    (tmp_path / "circle.yaml").write_text("run: a\ndata: &d {name: digits, root: *d}\n")
    done = metann("plan", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
