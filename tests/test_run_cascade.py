"""Stages run_cascade and replay_memory on real (small) networks and images: what runs, what it says, and what it agrees with."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import metann

from metann.cascade.memory import Memory
from metann.cascade.model import Cascade
from metann.cascade.rule import decide
from metann.cascade.workload import build_workload
from metann.config.cascade import CascadeRule, CascadeRun, MemorySection, WorkloadSection
from metann.config.data import DataSection
from metann.config.network import NetworkSection
from metann.config.run import TrainingSection
from metann.cost import energy
from metann.cost.energy import Meter
from metann.cost.sensors import Source
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.files.text import read_json, write_json
from metann.stages.export_probabilities import export_probabilities
from metann.stages.prepare_data import prepare_data
from metann.stages.replay_memory import replay_memory
from metann.stages.run_cascade import run_cascade
from metann.stages.train_network import train_network
from metann.tables.frames import read_frame
from metann.tables.probabilities import read_probabilities
from metann.weights.single import SingleNetwork

NAMES = ("small", "middle", "large")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Digits, three small networks and their tables."""
    folder = tmp_path_factory.mktemp("run")
    prepare_data(data=DataSection(name="digits"), output=folder / "data")
    weights, tables = [], []
    training = TrainingSection(epochs=4, batch_size=32, crop_padding=0, flip=False, device="cpu")
    for number, name in enumerate(NAMES):
        network = NetworkSection(architecture="small_cnn", settings={"width": 4 + 2 * number, "depth": 2})
        train_network(name=name, network=network, training=training, data=folder / "data", seed=0, output=folder / name)
        weights.append(folder / name / "weights.safetensors")
        tables.append(folder / name / "probabilities.parquet")
        export_probabilities(weights=weights[-1:], data=folder / "data", output=tables[-1], device="cpu")
    return SimpleNamespace(folder=folder, data=folder / "data", weights=weights, tables=tables)


def ran(run: SimpleNamespace, output: Path, **changes: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Record and report of a run on the CPU."""
    settings = {"networks": run.weights[:2], "thresholds": [0.9], "data": run.data, "device": "cpu", "probabilities": run.tables}
    settings |= {"output": output} | changes
    parts = {"rule": CascadeRule, "options": CascadeRun}
    for name, section in parts.items():
        given = {key: settings.pop(key) for key in section.model_fields if key in settings}
        settings[name] = section(**{key: value for key, value in given.items() if value is not None})
    run_cascade(**settings)
    return read_frame(output / "record.parquet", "cascade_record"), read_json(output / "report.json")


@pytest.mark.parametrize("batch_size", [1, 5, 64, 1000])
@pytest.mark.parametrize(("score", "threshold"), [("max_probability", 0.9), ("difference", 0.8), ("entropy", 0.2), ("oracle", 1.0)])
@pytest.mark.parametrize("answer", ["second", "more_confident", "mean", "product"])
def test_agrees_with_the_tables_at_every_batch_size(
    run, tmp_path: Path, score: str, threshold: float, answer: str, batch_size: int
) -> None:
    record, report = ran(
        run,
        tmp_path,
        score=score,
        thresholds=[threshold],
        answer=answer,
        batch_size=batch_size,
        limit=64 if batch_size == 1 else None,
    )
    tables = [read_probabilities(path).select("test") for path in run.tables[:2]]
    rows = np.searchsorted(tables[0].sample_id, record["sample_id"])
    labels_N = tables[0].label[rows]
    decisions = decide([table.p_NK[rows] for table in tables], [threshold], score, labels_N=labels_N, answer=answer)
    assert (record["prediction"] == decisions.prediction_N).all()
    assert (record["networks_run"] == decisions.asked_N).all()
    assert (record["answered_by"] == np.array(NAMES)[decisions.answered_N]).all()
    assert report["disagreements"] == 0
    assert report["compared"] == len(record)
    assert report["calls"] == decisions.calls_per_stage(2).tolist()
    assert 0 < report["second_network_use"] < 1
    assert record["score_1"].isna().equals(record["networks_run"] == 1)


def test_the_second_network_is_truly_skipped(run) -> None:
    """Count the images that really go through each network."""
    info = read_prepared(run.data)
    members = [SingleNetwork.read(path) for path in run.weights]
    seen = [0, 0, 0]
    for number, member in enumerate(members):

        def count(_module: Any, inputs: Any, number: int = number) -> None:
            seen[number] += len(inputs[0])

        member.module.register_forward_pre_hook(count)
    images = info.images_NCHW[:90]
    answers = Cascade(members, [0.9, 0.8], "difference", True).decide(images)
    assert seen == [int((answers.asked_N > number).sum()) for number in range(3)]
    assert 90 > seen[1] > seen[2] > 0
    seen[:] = [0, 0, 0]
    never = Cascade(members[:2], [0.0], "difference").decide(images)
    assert seen == [90, 0, 0]
    assert (never.answered_N == 0).all()


def test_three_networks_and_one(run, tmp_path: Path) -> None:
    for how in ({"postcheck": True}, {"answer": "product"}):
        _, report = ran(run, tmp_path / "three", networks=run.weights, thresholds=[0.9, 0.8], batch_size=50, **how)
        assert report["disagreements"] == 0
        assert len(report["calls"]) == 3
        assert report["rule"].endswith("with post-check" if "postcheck" in how else "product of all answers")
    record, report = ran(run, tmp_path / "one", networks=run.weights[2:], thresholds=None, batch_size=50)
    table = read_probabilities(run.tables[2]).select("test")
    assert (record.set_index("sample_id")["prediction"][table.sample_id] == table.p_NK.argmax(1)).all()
    assert report["second_network_use"] is None
    memory, workload = MemorySection(key="dhash"), WorkloadSection(duplicates=1)
    _, remembering = ran(
        run, tmp_path / "memory", networks=run.weights[2:], thresholds=None, batch_size=50, memory=memory, workload=workload
    )
    assert remembering["memory_hits"] >= len(record)
    assert remembering["calls"][0] <= len(record)
    assert report["rule"] == "a single network"
    assert report["accuracy"] == pytest.approx((table.p_NK.argmax(1) == table.label).mean())


@pytest.mark.parametrize("batch_size", [1, 40])
def test_calibrated_networks_agree_with_calibrated_tables(run, tmp_path: Path, batch_size: int) -> None:
    described = {"networks": ["small", "middle", "large"], "thresholds": [0.8, 0.7], "score": "difference", "answer": "product"}
    write_json(tmp_path / "cascade.json", described | {"temperatures": [1.7, 0.6, 1.0]})
    changes = {"networks": run.weights, "thresholds": None, "cascade": tmp_path / "cascade.json", "limit": 80}
    record, report = ran(run, tmp_path / "run", batch_size=batch_size, **changes)
    assert report["disagreements"] == 0
    assert report["rule"].endswith("product of all answers, temperatures 1.7, 0.6, 1")
    write_json(tmp_path / "cascade.json", described)
    plain, _ = ran(run, tmp_path / "plain", batch_size=batch_size, **changes)
    assert not np.allclose(record["score_0"], plain["score_0"])
    packed = Cascade.of(
        run.weights, CascadeRule(**{key: described[key] for key in ("thresholds", "score", "answer")}, temperatures=(1.7, 0.6, 1))
    )
    packed.save(tmp_path / "packed.safetensors")
    again, images = Cascade.load(tmp_path / "packed.safetensors"), read_prepared(run.data).images_NCHW[:50]
    assert (again.temperatures, again.answer_rule) == ([1.7, 0.6, 1.0], "product")
    np.testing.assert_array_equal(again.answer(images).p_NK, packed.answer(images).p_NK)


def test_a_described_cascade(run, tmp_path: Path) -> None:
    """cascade.json names its networks; their order on the command line does not matter."""
    write_json(tmp_path / "cascade.json", {"networks": ["large", "small"], "thresholds": [0.7], "score": "entropy", "postcheck": True})
    _, report = ran(run, tmp_path, networks=run.weights, thresholds=None, cascade=tmp_path / "cascade.json", batch_size=100)
    assert (report["networks"], report["thresholds"], report["score"], report["postcheck"]) == (["large", "small"], [0.7], "entropy", True)
    assert report["disagreements"] == 0


@pytest.mark.parametrize("key", ["dhash", "invariants"])
@pytest.mark.parametrize("capacity", [None, 20])
def test_memory_hits_do_not_depend_on_the_batch_size(run, tmp_path: Path, key: str, capacity: int | None) -> None:
    found = []
    for size in (1, 7, 300):
        settings = {"limit": 80, "memory": MemorySection(key=key, capacity=capacity)}
        workload = WorkloadSection(duplicates=1.5, rotations=0.4)
        record, report = ran(run, tmp_path / str(size), batch_size=size, workload=workload, **settings)
        found.append((record.drop(columns=["batch", "latency_ms"]), report["memory"]))
    for record, counts in found[1:]:
        pd.testing.assert_frame_equal(record, found[0][0], atol=1e-5)
        assert counts == found[0][1]
    record, counts = found[0]
    assert counts["hits"] + counts["misses"] == len(record) == 200
    assert record["hit"].sum() == counts["hits"] == report["memory_hits"]
    assert (record.loc[record["hit"], "networks_run"] == 0).all()
    assert (record.loc[record["hit"], "answered_by"] == "memory").all()
    if capacity is None and key == "invariants":
        assert counts["hits"] == 120  # every duplicate, turned or not
        assert counts["false_hits"] == 0
    if capacity is None and key == "dhash":
        assert counts["hits"] < 120


def test_a_hit_repeats_the_answer_also_when_it_is_wrong(run, tmp_path: Path) -> None:
    workload, memory = WorkloadSection(duplicates=1, rotations=1), MemorySection(key="invariants")
    record, report = ran(run, tmp_path, workload=workload, memory=memory, batch_size=9)
    for _, same in record.groupby("sample_id"):
        assert same["prediction"].nunique() == 1
        assert list(same["hit"]) == [False, True]
    assert report["disagreements"] == 0
    assert report["compared"] < report["images"]  # turned images and hits have no row in the tables


def test_report_and_record(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, report = ran(run, tmp_path, batch_size=10, limit=55)
    assert len(record) == report["images"] == 55
    assert report["accuracy"] == pytest.approx(record["right"].mean())
    assert report["latency_ms"]["p95"] == pytest.approx(np.percentile(record["latency_ms"], 95))
    assert report["macs_per_image"] == pytest.approx(report["macs"][0] + report["second_network_use"] * report["macs"][1])
    assert (report["joules_per_image"] is None) == (report["energy"]["joules"] is None)
    assert report["energy"]["reason"] or report["energy"]["source"]
    text = (tmp_path / "report.md").read_text()
    assert "weighted avg" in text
    assert "second network use" in text
    said = capsys.readouterr()
    assert text.strip() in said.out
    lines = said.err.strip().splitlines()
    assert lines[-1].startswith("55 of 55 images")
    assert "\r" not in said.err


def test_joules_come_from_the_meter(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 10**6, 55))
    monkeypatch.setattr(energy, "find_meter", lambda device: Meter([Source(f"counter of {device}", lambda: float(next(ticks)))]))
    monkeypatch.setattr("metann.cost.energy.time.sleep", lambda _: None)
    _, report = ran(run, tmp_path, limit=55, batch_size=55)
    assert report["energy"]["joules"] == 55
    assert report["joules_per_image"] == 1
    assert report["energy"]["source"] == "counter of cpu"
    assert report["energy"]["idle_watts"] > 0
    assert "counter of cpu" in (tmp_path / "report.md").read_text()


def test_when_done(run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ran(run, tmp_path, limit=3, when_done='echo "$METANN_STATUS $METANN_REPORT" > "$(dirname "$METANN_REPORT")/said"')
    assert (tmp_path / "said").read_text().split() == ["done", str(tmp_path / "report.md")]
    with pytest.raises(MetannError):
        ran(run, tmp_path, limit=0, when_done=f'echo "$METANN_STATUS:$METANN_REPORT" > "{tmp_path}/said"')
    assert (tmp_path / "said").read_text().strip() == "failed:", "not the report of the run before"
    ran(run, tmp_path, limit=3, when_done="exit 3")
    assert "ended with 3" in capfd.readouterr().out


OUTPUTS = ("record.parquet", "report.json", "report.md")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_says_so_and_leaves_the_older_one(run, tmp_path: Path, number: int) -> None:
    ran(run, tmp_path, limit=3)
    before = {name: (tmp_path / name).read_bytes() for name in OUTPUTS}
    command = [sys.executable, "-m", "metann", "run-cascade", "--networks", *run.weights[:2], "--thresholds", 0.9, "--data", run.data]
    command += ["--output", tmp_path, "--device=cpu", "--workload.duplicates=12"]
    command += ["--when-done", f'echo "$METANN_STATUS:$METANN_REPORT" > {tmp_path}/said']
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, start_new_session=True)
    while "images" not in (tmp_path / "log").read_text():  # it answers the stream
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert (tmp_path / "said").read_text() == "failed:\n"
    assert {name: (tmp_path / name).read_bytes() for name in OUTPUTS} == before
    assert not list(tmp_path.glob(".*"))


def test_outputs_come_together_or_not_at_all(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metann.cascade.record.page", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ran(run, tmp_path, limit=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
def test_a_threshold_that_is_no_number_is_refused_before_anything_runs(run, tmp_path: Path, threshold: float) -> None:
    done = metann(
        "run-cascade", "--networks", "none", f"--thresholds={threshold}", "--data=none", "--output", tmp_path / "out", check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"metann: error: thresholds.0 = '{threshold}': input should be a finite number\n"
    (tmp_path / "cascade.json").write_text(json.dumps({"networks": ["small", "large"], "thresholds": [threshold]}))
    with pytest.raises(MetannError, match=r"cascade\.json\.thresholds\.0 = .*: input should be a finite number"):
        ran(run, tmp_path / "out", data=tmp_path / "none", cascade=tmp_path / "cascade.json", thresholds=None)
    assert not (tmp_path / "out").exists()


def test_options_are_refused_in_the_words_of_their_flags(tmp_path: Path) -> None:
    for flag, text in [
        ("--batch-size=0", "batch_size = '0': input should be greater than or equal to 1"),
        ("--score=margn", "score: unknown score function 'margn'; known: difference, entropy, max_probability, oracle; add one in"),
        ("--memory.key=dash", "memory.key: unknown memory key 'dash'; known: dhash, invariants, none; add one in"),
    ]:
        done = metann("run-cascade", "--networks", "none", "--data=none", "--output", tmp_path / "out", flag, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(f"metann: error: {text}")
        assert done.stderr.count("\n") == 1


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from metann.cascade.stream import _progress

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(_progress(range(0, 10, 3), 10)) == [0, 3, 6, 9]
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said.count("\n") == 1
    assert "10 of 10 images" in said


def test_bad_input_is_one_line(run, tmp_path: Path) -> None:
    def fails(message: str, **changes: Any) -> None:
        with pytest.raises(MetannError, match=message) as error:
            ran(run, tmp_path, **changes)
        assert "\n" not in str(error.value)

    fails("2 networks need 1 thresholds, 0 were given", thresholds=None)
    fails("limit 0", limit=0)
    fails("no weights file", networks=[tmp_path / "none.safetensors"], thresholds=None)
    write_json(tmp_path / "cascade.json", {"networks": ["tiny", "small"], "thresholds": [0.7]})
    fails("needs the weights of 'tiny'; --networks has: small, middle", cascade=tmp_path / "cascade.json", thresholds=None)
    fails("not both", cascade=tmp_path / "cascade.json")
    write_json(tmp_path / "cascade.json", {"networks": ["middle", "small"]})
    fails("has no thresholds", cascade=tmp_path / "cascade.json", thresholds=None)
    fails("is of seed 0, not 9", probabilities=run.tables, limit=2, seed=9)
    fails("the comparison with tables needs the table of 'middle'; given: small", probabilities=run.tables[:1], limit=2)


# -- replay_memory -------------------------------------------------------------------------------------------------------


def replayed(run: SimpleNamespace, output: Path, **changes: Any) -> pd.DataFrame:
    write_json(output / "cascade.json", {"networks": ["small", "large"], "thresholds": [0.9], "score": "difference", "postcheck": True})
    replay_memory(**({"cascade": output / "cascade.json", "probabilities": run.tables, "output": output / "memory.parquet"} | changes))
    return read_frame(output / "memory.parquet", "cascade_memory")


def test_replay_without_images_is_ideal(run, tmp_path: Path) -> None:
    frame = replayed(run, tmp_path)
    assert set(frame["key"]) == {"ideal"}
    assert list(frame["duplicates"]) == [0, 0.25, 0.5, 1, 2]
    np.testing.assert_allclose(frame["hit_rate"], frame["expected_hit_rate"])
    assert frame["second_calls"].nunique() == 1
    assert (frame["accuracy"] == frame["accuracy_without"]).all()


def test_replay_equals_the_real_run(run, tmp_path: Path) -> None:
    """Without turns, what the tables foretell of a memory is what happens."""
    workload, memory = WorkloadSection(duplicates=0.7, seed=3), MemorySection(key="dhash", capacity=100)
    frame = replayed(run, tmp_path, data=run.data, duplicates=[0.7], workload=workload, memory=memory)
    row = frame[(frame["key"] == "dhash")].iloc[0]
    settings = {"networks": [run.weights[0], run.weights[2]], "postcheck": True, "batch_size": 40}
    record, report = ran(run, tmp_path / "real", workload=workload, memory=memory, **settings)
    assert (row["n"], row["hits"], row["misses"], row["false_hits"]) == (
        len(record),
        *(report["memory"][k] for k in ("hits", "misses", "false_hits")),
    )
    assert row["second_calls"] == report["calls"][1]
    assert row["accuracy"] == pytest.approx(report["accuracy"])
    assert row["macs"] == pytest.approx(report["macs_per_image"])


def test_replay_of_turned_duplicates(run, tmp_path: Path) -> None:
    frame = replayed(run, tmp_path, data=run.data, duplicates=[1.0], workload=WorkloadSection(rotations=1)).set_index(["key", "duplicates"])
    n = read_probabilities(run.tables[0]).select("test").sample_id.size
    work = build_workload(n, 1.0, 1.0)
    assert (work.turn_M > 0).sum() == n
    assert frame.loc[("ideal", 1.0), "hits"] == n
    assert frame.loc[("invariants", 1.0), "hits"] == n
    assert frame.loc[("dhash", 1.0), "hits"] < 0.2 * n
    assert Memory().misses == 0


def test_replay_needs_the_tables(run, tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="needs the table of 'large'"):
        replayed(run, tmp_path, probabilities=run.tables[:2])
    with pytest.raises(MetannError, match=r"small.*is of seed \d, not 9"):
        replayed(run, tmp_path, seed=9)
    assert json.loads((tmp_path / "cascade.json").read_text())["networks"] == ["small", "large"]
