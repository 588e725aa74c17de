"""Stage train_expert on scikit-learn's digits, with tables of a switch that are made up where a case is wanted."""

import json
from dataclasses import replace
from pathlib import Path

import digits_networks
import numpy as np
import pytest
import torch
from digits_networks import expert

from metann.compute.inference import infer
from metann.compute.normalise import Normalisation
from metann.config.data import DataSection
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.mnn import experts
from metann.stages.prepare_data import prepare_data
from metann.tables.probabilities import read_expert_probabilities, read_probabilities, write_probabilities
from metann.training import classifier as loop
from metann.weights.files import load_weights, read_header

FILES = ["expert_probabilities.parquet", "expert_set.json", "training.csv", "weights.safetensors"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_networks.prepared(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def switch(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = digits_networks.switch(data, tmp_path_factory.mktemp("switch"), training=digits_networks.training(epochs=8))
    digits_networks.exported(data, weights)
    return weights


@pytest.fixture
def made_up(switch: Path, tmp_path: Path) -> Path:
    """A table in which class 0 is active nowhere at 0.5, 1 at its own images, 2 at others' only, 3 at its own and some others'."""
    table = read_probabilities(switch.parent / "probabilities.parquet")
    favourite_N = np.where(table.label == 1, 1, np.where(table.label == 3, 3, 4))
    favourite_N[(table.label == 5) | (table.label == 6)] = 2
    favourite_N[np.flatnonzero(table.label == 7)[::2]] = 3
    p_NK = np.full((len(table), 10), 0.04)
    p_NK[np.arange(len(table)), favourite_N] = 0.64
    path = tmp_path / "made_up.parquet"
    write_probabilities(path, replace(table, p_NK=p_NK.astype(np.float32)))
    return path


@pytest.mark.parametrize(("c", "state"), [(0, "empty"), (1, "one_sided"), (2, "one_sided"), (3, "trained")])
def test_states(data: Path, switch: Path, made_up: Path, tmp_path: Path, c: int, state: str) -> None:
    folder = digits_networks.experts(data, switch, tmp_path / "experts", [c], 0.5, probabilities=made_up) / f"class_{c}"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    facts = json.loads((folder / "expert_set.json").read_text())
    table, answers = read_probabilities(made_up), read_expert_probabilities(folder / "expert_probabilities.parquet")
    mine = (table.split == "train") & (table.p_NK[:, c] >= 0.5)
    assert facts["state"] == state == answers.metadata["state"] == read_header(folder / "weights.safetensors")["state"]
    assert facts["size"] == mine.sum()
    assert facts["positives"] == (table.label[mine] == c).sum()
    assert facts["composition"] == np.bincount(table.label[mine], minlength=10).tolist()
    assert (facts["class"], facts["dataset_threshold"], facts["seed"]) == (c, 0.5, 0)
    assert answers.metadata["switch"] == "switch", "evaluate-mnn compares it with the table that it is given"
    asked = np.concatenate([table.rows("val"), table.rows("test")])
    np.testing.assert_array_equal(answers.sample_id, table.sample_id[asked])
    untrained = (folder / "training.csv").read_text().count("\n") == 1
    assert untrained == (state != "trained")
    if untrained:
        np.testing.assert_array_equal(answers.expert_probability, table.p_NK[asked, c], "E = S_c")
        expert_state, switch_state = (load_weights(path)[0].state_dict() for path in (folder / "weights.safetensors", switch))
        assert all(torch.equal(value, switch_state[name]) for name, value in expert_state.items())


def test_an_expert_learns_from_its_set_and_answers_with_its_softmax(
    data: Path, switch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    train = experts.train
    monkeypatch.setattr(experts, "train", lambda module, *sets, **more: seen.append(sets[:3]) or train(module, *sets, **more))
    folder = digits_networks.experts(data, switch, tmp_path, [3], 0.1, expert=expert(epochs=4)) / "class_3"
    table, prepared = read_probabilities(switch.parent / "probabilities.parquet"), read_prepared(data)
    train_set, val_set, normalisation = seen[0]
    for split, given in (("train", train_set), ("val", val_set)):
        rows = np.flatnonzero((table.split == split) & (table.p_NK[:, 3].astype(np.float64) >= 0.1))
        np.testing.assert_array_equal(given.images_NCHW.numpy(), prepared.images_NCHW[rows])
        np.testing.assert_array_equal(given.labels_N.numpy(), prepared.samples.label[rows], "labels stay those of all classes")
    assert normalisation == Normalisation(prepared.info.mean, prepared.info.std), "of all training images, not of the expert's"
    module, header = load_weights(folder / "weights.safetensors")
    assert (header["class"], header["dataset_threshold"], header["digest"]) == (3, 0.1, prepared.info.digest)
    answers = read_expert_probabilities(folder / "expert_probabilities.parquet")
    assert answers.metadata["macs"] > 0
    logits_NK = infer(module, torch.from_numpy(prepared.images_NCHW[answers.sample_id]), normalisation).double()
    np.testing.assert_allclose(answers.expert_probability, logits_NK.softmax(dim=1)[:, 3], rtol=1e-4)
    right = (answers.expert_probability > 0.5) == (answers.label == 3)
    assert right.mean() > 0.8


def test_how_classes_are_grouped_changes_no_byte(data: Path, switch: Path, tmp_path: Path) -> None:
    digits_networks.experts(data, switch, tmp_path / "together", [2, 5, 9])
    for c in (9, 2, 5):
        digits_networks.experts(data, switch, tmp_path / "alone", [c])
    for c in (2, 5, 9):
        together, alone = (tmp_path / name / f"class_{c}" for name in ("together", "alone"))
        assert sorted(path.name for path in together.iterdir()) == sorted(path.name for path in alone.iterdir()) == FILES
        for name in FILES:
            if name == "training.csv":
                assert digits_networks.without_seconds(together / name) == digits_networks.without_seconds(alone / name)
            else:
                assert (together / name).read_bytes() == (alone / name).read_bytes(), f"class {c}: {name}"


def test_a_failed_job_resumes_within_its_classes(
    data: Path, switch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = digits_networks.experts(data, switch, tmp_path / "whole", [2, 5], expert=expert(epochs=2))
    epoch = loop.ClassifierTrainer.epoch
    calls = iter([epoch] * 3)  # class 2 whole, class 5 half
    monkeypatch.setattr(loop.ClassifierTrainer, "epoch", lambda *arguments: next(calls)(*arguments))
    with pytest.raises(StopIteration):
        digits_networks.experts(data, switch, tmp_path / "killed", [2, 5], expert=expert(epochs=2))
    calls = iter([epoch])
    capsys.readouterr()
    killed = digits_networks.experts(data, switch, tmp_path / "killed", [2, 5], expert=expert(epochs=2))
    assert [line for line in capsys.readouterr().out.splitlines() if "resuming" in line] == [
        "resuming after epoch 2",
        "resuming after epoch 1",
    ]
    for c in (2, 5):
        assert sorted(path.name for path in (killed / f"class_{c}").iterdir()) == FILES, "no checkpoint is left"
        for name in ("weights.safetensors", "expert_probabilities.parquet"):
            assert (killed / f"class_{c}" / name).read_bytes() == (whole / f"class_{c}" / name).read_bytes()


def test_start(data: Path, switch: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 1e-12, "epochs": 1}
    at_switch = digits_networks.experts(data, switch, tmp_path / "switch", [2], expert=expert(**still))
    scratch = digits_networks.experts(data, switch, tmp_path / "scratch", [2, 3], expert=expert(start="scratch", **still))

    def weight(path: Path) -> torch.Tensor:
        return load_weights(path)[0].classifier.weight

    torch.testing.assert_close(weight(at_switch / "class_2" / "weights.safetensors"), weight(switch))
    two, three = (weight(scratch / f"class_{c}" / "weights.safetensors") for c in (2, 3))
    assert (two - weight(switch)).abs().max() > 0.01
    assert (two - three).abs().max() > 0.01, "each its own"


def test_head_only(data: Path, switch: Path, tmp_path: Path) -> None:
    folder = digits_networks.experts(data, switch, tmp_path, [3], expert=expert(train="head")) / "class_3"
    before, after = load_weights(switch)[0].state_dict(), load_weights(folder / "weights.safetensors")[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "classifier.weight" in changed
    assert not {name for name in changed if name.startswith(("features.0", "features.1"))}


def test_hard_sampler_reaches_the_loop(data: Path, switch: Path, tmp_path: Path) -> None:
    uniform = digits_networks.experts(data, switch, tmp_path / "uniform", [3], expert=expert(epochs=2))
    hard = digits_networks.experts(data, switch, tmp_path / "hard", [3], expert=expert(epochs=2, sampler="hard"))
    first, second = (digits_networks.without_seconds(folder / "class_3" / "training.csv") for folder in (uniform, hard))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_out_of_fold_probabilities_select_training_images_only(data: Path, switch: Path, tmp_path: Path) -> None:
    own = read_probabilities(switch.parent / "probabilities.parquet")
    unseen = own.select("train")
    p_NK = np.roll(unseen.p_NK, 1, axis=1)  # another opinion
    shuffled = np.random.default_rng(0).permutation(len(unseen))
    columns = {name: getattr(unseen, name)[shuffled] for name in ("sample_id", "split", "label", "log_partition")}
    write_probabilities(tmp_path / "oof.parquet", replace(unseen, p_NK=p_NK[shuffled], **columns))
    folder = digits_networks.experts(data, switch, tmp_path / "e", [4], 0.3, selection=tmp_path / "oof.parquet") / "class_4"
    facts = json.loads((folder / "expert_set.json").read_text())
    assert facts["size"] > 0
    assert facts["composition"] != np.bincount(unseen.label[unseen.p_NK[:, 4] >= 0.3], minlength=10).tolist()
    assert facts["composition"] == np.bincount(unseen.label[p_NK[:, 4].astype(np.float64) >= 0.3], minlength=10).tolist()
    val = own.select("val")
    assert facts["val_composition"] == np.bincount(val.label[val.p_NK[:, 4].astype(np.float64) >= 0.3], minlength=10).tolist()


def test_errors(data: Path, switch: Path, tmp_path: Path) -> None:
    with pytest.raises(MetannError, match=r"class 10 is not in 0 \.\. 9, the classes of digits"):
        digits_networks.experts(data, switch, tmp_path / "e", [3, 10])
    with pytest.raises(MetannError, match=r"threshold 1\.5 is not a number in"):
        digits_networks.experts(data, switch, tmp_path / "e", [3], 1.5)
    other = tmp_path / "other"
    prepare_data(data=DataSection(name="digits", split_seed=1), output=other)
    with pytest.raises(MetannError, match="is of another dataset"):
        digits_networks.experts(other, switch, tmp_path / "e", [3])
    table = digits_networks.exported(other, digits_networks.switch(other, tmp_path / "theirs"))
    with pytest.raises(MetannError, match="was made for digest"):
        digits_networks.experts(other, switch, tmp_path / "e", [3], probabilities=table)
    mine = read_probabilities(switch.parent / "probabilities.parquet")
    write_probabilities(table, replace(mine, metadata=mine.metadata | {"network": "twin"}))
    with pytest.raises(MetannError, match=r"is of network 'twin', .*weights.safetensors of 'switch'; give the switch's own table"):
        digits_networks.experts(data, switch, tmp_path / "e", [3], probabilities=table)
    with pytest.raises(MetannError, match="no table"):
        digits_networks.experts(data, switch, tmp_path / "e", [3], probabilities=tmp_path / "nothing.parquet")
    assert not (tmp_path / "e").exists()
