"""Tables of mixtures: reading and writing, rows of a run, attribution and pictures, each against counting by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_synthetic import KINDS, history_text, make_gate
from sklearn.metrics import confusion_matrix, log_loss

from metann.errors import MetannError
from metann.mixture.attribution import attribute, within_reach
from metann.mixture.evaluation import MIXTURE, alarm, confusion_rows, expert_rows, run_rows
from metann.mixture.inputs import read_history
from metann.mixture.metrics import specialisation
from metann.mixture.pictures import chosen_samples, picture_rows, shrink, unpack
from metann.statistics.intervals import wilson_interval
from metann.tables.probabilities import read_gate, write_gate
from metann.tables.samples import Gate


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_table_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    gate = make_gate(kind, class_sets=[[0, 3], [1, 4], [2, 5]])
    write_gate(tmp_path / "gate.parquet", gate)
    back = read_gate(tmp_path / "gate.parquet")
    for column in Gate.COLUMNS:
        assert np.array_equal(getattr(gate, column.field), getattr(back, column.field))
    assert gate.metadata.items() <= back.metadata.items()
    first = (tmp_path / "gate.parquet").read_bytes()
    write_gate(tmp_path / "gate.parquet", back)
    assert (tmp_path / "gate.parquet").read_bytes() == first


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_run_by_hand(kind: str) -> None:
    gate = make_gate(kind)
    rows = run_rows(gate, 0.9)
    assert [row["split"] for row in rows] == ["train", "val", "test"]
    for row in rows:
        part = gate.select(row["split"])
        right = [int(np.argmax(p)) == label for p, label in zip(part.p_NK, part.label, strict=True)]
        assert (row["n"], row["correct"]) == (len(right), sum(right))
        assert row["error"] == pytest.approx(1 - sum(right) / len(right))
        assert (row["low"], row["high"]) == pytest.approx(wilson_interval(sum(right), len(right), 0.9))
        p_NK = part.p_NK / part.p_NK.sum(axis=1, dtype=np.float64, keepdims=True)
        assert row["loss"] == pytest.approx(log_loss(part.label, p_NK, labels=range(6)), rel=1e-5)
        found = specialisation(part.gate_NE, part.label, part.p_NK.argmax(axis=1))
        assert {name: row[name] for name in vars(found)} == vars(found)
        shares = [np.mean(part.expert == e) for e in range(3)]
        assert row["least_share"] == min(shares)
        assert row["silent"] == sum(share < 0.01 for share in shares)
        assert row["collapsed"] is bool(found.usage_entropy < 0.5 or min(shares) < 0.01)
        assert row["decomposition"] == pytest.approx(found.mutual_information / math.log2(3))
        assert row["macs"] == 1.6e6
        reach = [label in answers for label, answers in zip(part.label, part.answer_NE, strict=True)]
        assert row["reach"] == pytest.approx(np.mean(reach))
        assert row["lost"] == sum(r and not ok for r, ok in zip(reach, right, strict=True))
        assert math.isnan(row["gate_errors"])
    assert bool(alarm(rows[2])) is (kind in ("collapsed", "uniform"))


def test_an_expert_that_answers_hardly_anything_is_silent() -> None:
    gate = make_gate("specialised", experts=2, n=900)
    test = gate.rows("test")
    gate.gate_NE[test] = [[0.6, 0.4]]
    gate.gate_NE[test[:2]] = [[0.4, 0.6]]
    gate.expert[:] = gate.gate_NE.argmax(axis=1)
    row = run_rows(gate)[2]
    assert (row["silent"], row["collapsed"], row["least_share"]) == (1, True, 2 / 300)  # though the gate's usage is almost even
    assert row["usage_entropy"] > 0.9
    assert alarm(row).endswith("1 of 2 experts answer under 1 % of the images")


def test_one_expert_is_no_collapse() -> None:
    row = run_rows(make_gate("uniform", experts=1))[2]
    assert (row["collapsed"], row["mutual_information"], row["usage_entropy"], row["silent"]) == (False, 0, 0, 0)
    assert math.isnan(row["decomposition"])
    assert alarm(row) == ""


def test_a_split_without_images_has_no_row() -> None:
    gate = make_gate()
    gate.split[:] = "test"
    assert [row["split"] for row in run_rows(gate)] == ["test"]


def test_experts_get_what_the_table_says() -> None:
    gate = make_gate("noisy")
    part, rows = gate.select("test"), expert_rows(gate)
    assert len(rows) == 18
    right = part.prediction == part.label
    for row in rows:
        e, of = row["expert"], part.label == row["class"]
        assert row["images"] == of.sum()
        assert row["hard"] == (of & (part.expert == e)).sum()
        assert row["soft"] == pytest.approx(part.gate_NE[of, e].astype(np.float64).sum())
        assert row["right"] == (of & (part.expert == e) & right).sum()
        assert row["own_right"] == (of & (part.answer_NE[:, e] == part.label)).sum()
    assert sum(row["hard"] for row in rows) == len(part)
    assert sum(row["soft"] for row in rows) == pytest.approx(len(part), rel=1e-6)


def test_confusion_against_scikit_learn() -> None:
    gate = make_gate("noisy")
    part, rows = gate.select("test"), confusion_rows(gate)
    for expert in (MIXTURE, 0, 1, 2):
        found = np.zeros((6, 6), int)
        for row in rows:
            if row["expert"] == expert:
                found[row["class"], row["predicted"]] += row["images"]
        says = part.p_NK.argmax(axis=1) if expert == MIXTURE else part.answer_NE[:, expert]
        assert np.array_equal(found, confusion_matrix(part.label, says, labels=range(6)))


@given(st.integers(1, 40), st.integers(1, 5), st.integers(2, 7), st.integers(0, 2**32), st.booleans())
def test_attribution_against_loops(n, experts, classes, seed, overlap) -> None:
    generator = np.random.default_rng(seed)
    owner = generator.integers(0, experts, classes)
    sets = [[k for k in range(classes) if owner[k] == e or (overlap and generator.random() < 0.3)] for e in range(experts)]
    labels, says, expert = (generator.integers(0, high, n) for high in (classes, classes, experts))
    answers = generator.integers(0, classes, (n, experts))
    counts = dict.fromkeys(("expert_errors", "gate_errors", "misrouted", "misrouted_wrong", "owner_right"), 0)
    for i in range(n):
        wrong = labels[i] != says[i]
        together = any(labels[i] in mine and says[i] in mine for mine in sets)
        counts["expert_errors"] += wrong and together
        counts["gate_errors"] += wrong and not together
        counts["misrouted"] += labels[i] not in sets[expert[i]]
        counts["misrouted_wrong"] += wrong and labels[i] not in sets[expert[i]]
        counts["owner_right"] += wrong and any(labels[i] in sets[e] and answers[i, e] == labels[i] for e in range(experts))
    assert vars(attribute(sets, labels, says, expert, answers)) == counts
    reached = [labels[i] in answers[i] for i in range(n)]
    assert within_reach(labels, says, answers) == (sum(reached), sum(r and labels[i] != says[i] for i, r in enumerate(reached)))


def test_attribution_of_a_run_adds_up() -> None:
    for row in run_rows(make_gate("noisy", class_sets=[[0, 3], [1, 4], [2, 5]])):
        assert row["expert_errors"] + row["gate_errors"] == row["n"] - row["correct"]
        assert row["misrouted_wrong"] <= row["misrouted"]


def test_pictures_are_of_the_experts_images_and_the_same_again() -> None:
    gate = make_gate("noisy")
    images = np.random.default_rng(0).integers(0, 256, (900, 3, 70, 70)).astype(np.uint8)
    rows = picture_rows(gate, images)
    assert rows == picture_rows(gate, images)
    assert len(rows) == 36
    for row in rows:
        place = int(np.flatnonzero(gate.sample_id == row["sample_id"])[0])
        assert (gate.split[place], gate.expert[place], gate.label[place]) == ("test", row["expert"], row["class"])
        assert row["predicted"] == gate.p_NK[place].argmax()
        assert row["size"] == 23
        assert np.array_equal(np.moveaxis(unpack(row["pixels"], 3, 23), -1, 0), shrink(images[row["sample_id"]]))
    assert len({row["sample_id"] for row in rows}) == 36


def test_a_silent_expert_has_no_pictures() -> None:
    assert {e for _, e in chosen_samples(make_gate("collapsed"))} == {0}


@settings(max_examples=30)
@given(st.integers(1, 80), st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32))
def test_shrinking_is_the_mean_of_blocks(size, channels, largest, seed) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (channels, size, size)).astype(np.uint8)
    small = shrink(image, largest)
    block = math.ceil(size / largest)
    assert small.shape == (channels, size // block, size // block)
    start = (size - small.shape[1] * block) // 2
    for c, y, x in [(0, 0, 0), (channels - 1, small.shape[1] - 1, 0)]:
        cells = image[c, start + y * block : start + (y + 1) * block, start + x * block : start + (x + 1) * block]
        assert abs(float(small[c, y, x]) - cells.mean()) <= 0.5


def test_history_counts_steps_over_all_phases(tmp_path: Path) -> None:
    text = "epoch,phase,val_accuracy,val_loss,usage_0,usage_1,other\n1,0,0.5,1,0.5,0.5,x\n1,1,0.6,0.9,0.25,0.75,x\n"
    (tmp_path / "training.csv").write_text(text)
    found = read_history(tmp_path / "training.csv", 2)
    assert found["step"] == [1, 1, 2, 2]
    assert found["phase"] == ["0", "0", "1", "1"]
    assert found["expert"] == [0, 1, 0, 1]
    assert found["usage"] == [0.5, 0.5, 0.25, 0.75]
    with pytest.raises(MetannError, match="no column 'usage_2'"):
        read_history(tmp_path / "training.csv", 3)
    with pytest.raises(MetannError, match="run train-mixture first"):
        read_history(tmp_path / "nowhere.csv", 3)


def test_history_of_a_made_up_run(tmp_path: Path) -> None:
    gate = make_gate("collapsed")
    (tmp_path / "training.csv").write_text(history_text(gate, 4))
    usage = np.reshape(read_history(tmp_path / "training.csv", 3)["usage"], (4, 3))
    assert usage.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert usage[-1] == pytest.approx(gate.gate_NE.mean(axis=0), abs=1e-5)
