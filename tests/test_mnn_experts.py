"""Experts from arrays alone: which images they see, how they start, what they answer; files only in the folder of the checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from digits_networks import expert

from metann.compute.inference import infer
from metann.compute.normalise import Normalisation
from metann.data.prepared import DataInfo, PreparedData
from metann.mnn import experts
from metann.mnn.experts import train_one
from metann.mnn.lesson import Lesson
from metann.networks._build import build
from metann.seeds import derive_seed
from metann.tables.samples import Samples

N, K = 90, 3
HEADER = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}, "mean": [0.5], "std": [0.25]}


@pytest.fixture
def data() -> PreparedData:
    """8 x 8 images with one bright row that says the class; ids, splits and classes in turn."""
    label_N = np.arange(N) % K
    images_NCHW = np.random.default_rng(0).integers(60, 100, (N, 1, 8, 8)).astype(np.uint8)
    images_NCHW[np.arange(N), 0, 2 * label_N] += 100
    split_N = np.repeat(["train", "val", "test"], [60, 15, 15]).astype(object)
    samples = Samples(np.arange(N, dtype=np.int32), split_N, label_N.astype(np.int16), {})
    return PreparedData(images_NCHW, samples, DataInfo("bars", "0" * 16, ("a", "b", "c"), 1, 8, (0.5,), (0.25,)))


@pytest.fixture
def p_NK() -> np.ndarray:  # noqa: N802
    """Of a switch that gives each image's class .6 and the next class .3."""
    label_N = np.arange(N) % K
    p_NK = np.full((N, K), 0.1)
    p_NK[np.arange(N), label_N] = 0.6
    p_NK[np.arange(N), (label_N + 1) % K] = 0.3
    return p_NK


def lesson(data: PreparedData, p_NK: np.ndarray, threshold: float, **values: object) -> Lesson:
    section = expert(**{"epochs": 12, "learning_rate": 0.2} | values)
    module = switch()
    return Lesson(data, p_NK, p_NK[data.samples.rows("train")], threshold, section, 0, torch.device("cpu"), module, HEADER, module)


def switch() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("small_cnn", K, 1, 8, **HEADER["settings"])


def test_an_expert_learns_from_the_images_that_its_class_has_a_chance_on(data: PreparedData, p_NK: np.ndarray, tmp_path: Path) -> None:
    given = lesson(data, p_NK, 0.3)
    found = train_one(1, given, tmp_path)
    # Class 1 has .6 on its own images and .3 on those of class 0.
    assert (found.facts.state, found.facts.size, found.facts.composition, found.facts.val_composition) == (
        "trained",
        40,
        [20, 20, 0],
        [5, 5, 0],
    )
    np.testing.assert_array_equal(given.asked, np.arange(60, 90))
    logits_NK = infer(found.module, torch.from_numpy(data.images_NCHW[60:]), Normalisation((0.5,), (0.25,)))
    np.testing.assert_allclose(found.answers, logits_NK.double().softmax(dim=1)[:, 1], rtol=1e-6)
    seen = np.isin(data.samples.label[given.asked], (0, 1))
    assert ((found.answers > 0.5) == (data.samples.label[given.asked] == 1))[seen].all(), "two classes that a bright row tells apart"
    assert len(found.history) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "training.csv"]


@pytest.mark.parametrize(("threshold", "state"), [(0.6, "one_sided"), (0.7, "empty")])
def test_an_expert_that_has_nothing_to_learn_answers_as_the_switch(
    data: PreparedData, p_NK: np.ndarray, tmp_path: Path, threshold: float, state: str
) -> None:
    given = lesson(data, p_NK, threshold)
    before = {name: value.clone() for name, value in given.switch.state_dict().items()}
    found = train_one(2, given, tmp_path / "none")
    assert (found.facts.state, found.history) == (state, [])
    np.testing.assert_array_equal(found.answers, p_NK[60:, 2])
    for module in (given.switch, found.module):
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not (tmp_path / "none").exists()


def test_other_probabilities_choose_training_images_only(data: PreparedData, p_NK: np.ndarray, tmp_path: Path) -> None:
    given = lesson(data, p_NK, 0.3, epochs=1)
    rolled = replace(given, chosen_by_NK=np.roll(given.chosen_by_NK, 1, axis=1))
    facts = train_one(1, rolled, tmp_path).facts
    assert facts.composition == [20, 0, 20]
    assert facts.val_composition == [5, 5, 0]


def test_an_expert_that_begins_anew_has_its_own_first_weights(
    data: PreparedData, p_NK: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = {}
    train = experts.train

    def noting(module: torch.nn.Module, *arguments: object, **more: object) -> list:
        started[arguments[5]] = module.classifier.weight.clone()
        return train(module, *arguments, **more)

    monkeypatch.setattr(experts, "train", noting)
    for start in ("switch", "scratch"):
        for c in (0, 1):
            train_one(c, lesson(data, p_NK, 0.3, epochs=1, start=start), tmp_path / f"{start}_{c}")
            weight, parts = started.popitem()[::-1]
            assert parts == (0, "train_expert", c, 0.3)
            if start == "switch":
                assert torch.equal(weight, switch().classifier.weight)
            else:
                torch.manual_seed(derive_seed(0, "train_expert", c, 0.3, "weights"))
                assert torch.equal(weight, build("small_cnn", K, 1, 8, width=4, depth=2).classifier.weight)
