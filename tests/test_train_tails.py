"""Experts that are tails, from the switch or a second body, for one class or for all: on scikit-learn's digits, to the end."""

import json
import shutil
from pathlib import Path

import digits_networks
import numpy as np
import pytest
import torch
from digits_networks import expert

import metann
from metann.compute.inference import infer
from metann.compute.normalise import Normalisation
from metann.config.mnn import MnnEvaluation
from metann.config.network import NetworkSection
from metann.config.section import read_section
from metann.cost.macs import count_macs
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.files.headers import read_sealed_json, write_sealed_json
from metann.mnn.expert_sets import belongs
from metann.mnn.inputs import read_evaluations
from metann.mnn.setting import functions_of
from metann.stages.collect_mnn import collect_mnn
from metann.stages.count_training import count_training
from metann.stages.evaluate_mnn import evaluate_mnn
from metann.tables.probabilities import read_expert_answers, read_expert_probabilities, read_probabilities
from metann.training import features
from metann.weights.files import load_weights

NETWORK = NetworkSection(architecture="small_cnn", settings={"width": 4, "depth": 3})
FILES = ["expert_probabilities.parquet", "expert_set.json", "training.csv", "weights.safetensors"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the workflow makes it, with data and two networks."""
    folder = tmp_path_factory.mktemp("run")
    data = digits_networks.prepared(folder / "data")
    for name in ("switch", "second"):
        weights = digits_networks.switch(
            data,
            folder / "networks" / name / "seed_0",
            name=name,
            network=NETWORK,
            training=digits_networks.training(epochs=4),
        )
        digits_networks.exported(data, weights)
    return folder


def place(run: Path, name: str = "switch") -> Path:
    return run / "networks" / name / "seed_0" / "weights.safetensors"


def tails(run: Path, folder: Path, classes: list[int], threshold: float = 0.05, **given: object) -> Path:
    body = {"body": place(run, "second")} if given.get("body") == "second" else {}
    also = {"unsure": given.pop("unsure")} if "unsure" in given else {}
    section = expert(**{"tail": 1, "epochs": 4, "views": 2} | given)
    return digits_networks.experts(run / "data", place(run), folder, classes, threshold, expert=section, **body, **also)


@pytest.mark.parametrize("body", ["switch", "second"])
def test_a_tail_answers_as_the_whole_network_with_its_weights(run: Path, tmp_path: Path, body: str) -> None:
    folder = tails(run, tmp_path, [3], body=body) / "class_3"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    rest, header = load_weights(folder / "weights.safetensors")
    assert (header["tail"], header.get("body")) == (1, None if body == "switch" else "second")
    whole, _ = load_weights(place(run, body))
    assert not any(torch.equal(value, rest.state_dict()[name]) for name, value in whole.named_parameters() if name in rest.state_dict())
    whole.load_state_dict(whole.state_dict() | rest.state_dict())
    prepared, answers = read_prepared(run / "data"), read_expert_probabilities(folder / "expert_probabilities.parquet")
    normalisation = Normalisation(tuple(header["mean"]), tuple(header["std"]))
    logits_NK = infer(whole, torch.from_numpy(prepared.images_NCHW[answers.sample_id]), normalisation)
    np.testing.assert_array_equal(answers.expert_probability, logits_NK.double().softmax(dim=1)[:, 3].numpy())
    macs = count_macs(whole, 1, 8)
    trunk = answers.metadata.get("trunk_macs", 0)
    assert (trunk > 0) == (body == "second")
    assert answers.metadata["macs"] == macs - 8 * 8 * 9 * 4
    assert trunk in (0, 8 * 8 * 9 * 4)


def test_views_that_are_not_augmented_are_the_set_of_the_table(run: Path, tmp_path: Path) -> None:
    """Crop and flip are off: every view is the image itself, so a set counts the images that the switch's table chooses."""
    table = read_probabilities(place(run).parent / "probabilities.parquet")
    for unsure in (None, 0.9):
        folder = tails(run, tmp_path / str(unsure), [3, 8], 0.1, unsure=unsure)
        for c in (3, 8):
            facts = json.loads((folder / f"class_{c}" / "expert_set.json").read_text())
            for split, key in (("train", "composition"), ("val", "val_composition")):
                mine = table.split == split
                chosen = belongs(table.p_NK[mine], c, 0.1, unsure)
                assert facts[key] == np.bincount(table.label[mine][chosen], minlength=10).tolist()


def test_how_classes_are_grouped_changes_no_byte(run: Path, tmp_path: Path) -> None:
    given = {"objective": "combined", "crop_padding": 1}
    tails(run, tmp_path / "together", [2, 5], **given)
    for c in (5, 2):
        tails(run, tmp_path / "alone", [c], **given)
    for c in (2, 5):
        for name in set(FILES) - {"training.csv"}:
            mine, theirs = (tmp_path / how / f"class_{c}" / name for how in ("together", "alone"))
            assert mine.read_bytes() == theirs.read_bytes(), f"class {c}: {name}"


def test_a_killed_tail_goes_on(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tails(run, tmp_path / "whole", [2], epochs=3)
    epoch, calls = features.FeatureTrainer.epoch, iter([1, 1])
    monkeypatch.setattr(features.FeatureTrainer, "epoch", lambda *arguments: next(calls) and epoch(*arguments))
    with pytest.raises(StopIteration):
        tails(run, tmp_path / "killed", [2], epochs=3)
    monkeypatch.setattr(features.FeatureTrainer, "epoch", epoch)
    killed = tails(run, tmp_path / "killed", [2], epochs=3)
    for name in ("weights.safetensors", "expert_probabilities.parquet"):
        assert (killed / "class_2" / name).read_bytes() == (whole / "class_2" / name).read_bytes()


@pytest.mark.parametrize("pairs", [2, 7, 100])
@pytest.mark.parametrize("views", [1, 3, 4])
def test_a_cycle_of_epochs_goes_over_every_view_once(pairs: int, views: int) -> None:
    ends = features.chunk_ends(pairs, views)
    assert len(ends) == views
    if pairs // views >= 2:
        assert [row for start, end in ends for row in range(start, end)] == list(range(pairs))
    assert all(end - start >= 2 for start, end in ends), "batch norm needs two images"


@pytest.mark.parametrize("tail", [0, 1])
@pytest.mark.parametrize("objective", ["combined", "residual"])
def test_an_expert_beside_its_switch_begins_as_the_switch(run: Path, tmp_path: Path, tail: int, objective: str) -> None:
    folder = tails(run, tmp_path, [3], tail=tail, objective=objective, learning_rate=1e-12, epochs=1, weight_decay=0) / "class_3"
    answers = read_expert_answers(folder / "expert_probabilities.parquet")
    said = answers.p_NK if objective == "combined" else answers.expert_probability
    np.testing.assert_allclose(said, 0.1, atol=1e-6, err_msg="an expert that says 1/K changes nothing")


@pytest.mark.parametrize("tail", [0, 1])
def test_combined_experts_lower_the_loss_of_the_product_on_their_images(run: Path, tmp_path: Path, tail: int) -> None:
    folder = tails(run, tmp_path, [8], tail=tail, objective="combined", epochs=12) / "class_8"
    answers = read_expert_answers(folder / "expert_probabilities.parquet")
    table = read_probabilities(place(run).parent / "probabilities.parquet")
    rows = np.flatnonzero((table.split == "val") & (table.p_NK[:, 8] >= 0.05))
    p_NK = table.p_NK[rows].astype(np.float64)
    place_of = {int(sample): row for row, sample in enumerate(answers.sample_id)}
    both_NK = p_NK * answers.p_NK[[place_of[int(sample)] for sample in table.sample_id[rows]]]
    both_NK /= both_NK.sum(axis=1, keepdims=True)

    def loss(q_NK: np.ndarray) -> float:
        return float(-np.log(q_NK[np.arange(len(rows)), table.label[rows]]).mean())

    assert loss(both_NK) < loss(p_NK)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"body": "switch"}, "product"),
        ({"body": "second", "objective": "combined"}, "product_calibrated"),
        ({"body": "second", "objective": "combined", "tail": 0}, "product"),
        ({"objective": "residual", "tail": 2}, "product_calibrated"),
    ],
    ids=["published tails", "combined tails on a second trunk", "combined whole networks", "residual tails"],
)
def test_what_runs_is_what_the_tables_say(run: Path, given: dict, rule: str, tmp_path: Path) -> None:
    """In a batch, one by one, and from a packed file; probabilities, predictions, costs and the names of what ran."""
    section = dict(given)
    folder = tails(run, run / "mnn/seed_0/dataset_threshold_0.05", list(range(10)), **section)
    functions = ["top_k(3)", "unsure(0.80)", "none"]
    options = {"test_thresholds": [0.0, 0.1], "switch_functions": functions, "combine": rule}
    options |= {"temperature": "validation" if rule == "product_calibrated" else "none"}
    experts = [folder / f"class_{c}" / "expert_probabilities.parquet" for c in range(10)]
    table = place(run).parent / "probabilities.parquet"
    evaluation = folder / "evaluation"
    evaluate_mnn(switch=table, experts=experts, dataset_threshold=0.05, output=evaluation, options=read_section(MnnEvaluation, options))
    collect_mnn(evaluations=[evaluation], expert_sets=[folder], output=run)
    (prefix,) = read_evaluations([evaluation])
    images_NCHW = read_prepared(run / "data").images_NCHW[prefix.sample_id]
    for function in functions_of(prefix):
        loaded = metann.load(run, switch_function=str(function))
        loaded.save(tmp_path / "packed.safetensors")
        lengths_N = prefix.lengths(function)
        for model in (loaded, metann.load(tmp_path / "packed.safetensors")):
            answer = model.answer(images_NCHW)
            np.testing.assert_array_equal(answer.p_NK.argmax(axis=1) == prefix.label, prefix.right(function))
            assert answer.macs_N.mean() == pytest.approx(float(prefix.macs(lengths_N.mean(), (lengths_N > 0).mean())))
            singly = [model.answer(images_NCHW[row : row + 1]) for row in range(10)]
            np.testing.assert_allclose(np.concatenate([one.p_NK for one in singly]), answer.p_NK[:10], atol=1e-5)
            assert [one.macs_N[0] for one in singly] == answer.macs_N[:10].tolist()
        asked = int(np.argmax(lengths_N))
        ran = answer.ran(asked)
        assert len([name for name in ran if name.startswith("expert")]) == lengths_N[asked]
        on_second = section.get("body") == "second" and section.get("tail") != 0
        assert ("second trunk" in ran) == (on_second and lengths_N[asked] > 0)
        if on_second:
            copy = shutil.copytree(run, tmp_path / str(function))
            shutil.copy2(place(copy), place(copy, "second"))
            with pytest.raises(MetannError, match="was made for network 'switch', but 'second' is asked for"):
                metann.load(copy, switch_function=str(function))


def test_the_generic_expert_is_trained_as_long_as_all_together(run: Path, tmp_path: Path) -> None:
    folder = tails(run, tmp_path / "experts", list(range(10)), epochs=3)
    switch = place(run)
    given = {"switch": switch.parent / "probabilities.parquet", "history": switch.parent / "training.csv"}
    count_training(experts=folder, output=tmp_path / "training.json", **given)
    counted = read_sealed_json(tmp_path / "training.json")
    facts = [json.loads((folder / f"class_{c}" / "expert_set.json").read_text()) for c in range(10)]
    seen = sum(3 * fact["size"] for fact in facts if fact["state"] == "trained")
    share = 1 - 8 * 8 * 9 * 4 / count_macs(load_weights(switch)[0], 1, 8)
    images = len(read_probabilities(given["switch"]).rows("train"))
    assert counted == {"epochs": 4 + int(np.ceil(seen * share / images)), "expert_images": seen}
    both = tmp_path / "both.json"
    count_training(experts=folder, second=place(run, "second").parent / "training.csv", output=both, **given)
    assert read_sealed_json(both)["epochs"] == counted["epochs"] + 4, "the second body's training counts too"

    output = tmp_path / "generic"
    generic = {"generic": tmp_path / "training.json", "expert": expert(tail=1, epochs=3, views=2)}
    digits_networks.experts(run / "data", switch, output, None, 0.05, **generic)
    facts, table = json.loads((output / "expert_set.json").read_text()), read_probabilities(output / "probabilities.parquet")
    epochs = (output / "training.csv").read_text().count("\n") - 1
    assert epochs == round(seen / facts["size"])
    assert (table.network, table.metadata["seed"]) == ("generic", 0)
    assert table.metadata["macs"] == pytest.approx(share * count_macs(load_weights(switch)[0], 1, 8))


def test_a_network_is_trained_for_the_counted_epochs(run: Path, tmp_path: Path) -> None:
    write_sealed_json(tmp_path / "training.json", {"epochs": 3, "expert_images": 7})
    weights = digits_networks.switch(run / "data", tmp_path / "longer", name="longer", epochs_of=tmp_path / "training.json")
    assert (weights.parent / "training.csv").read_text().count("\n") == 1 + 3
    assert load_weights(weights)[1]["training"]["epochs"] == 3


def test_errors(run: Path, tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="needs --body, the weights of the second network"):
        digits_networks.experts(run / "data", place(run), tmp_path, [0], expert=expert(body="second"))
    with pytest.raises(MetannError, match="takes no --body"):
        digits_networks.experts(run / "data", place(run), tmp_path, [0], body=place(run, "second"))
    with pytest.raises(MetannError, match="give either --classes"):
        digits_networks.experts(run / "data", place(run), tmp_path, None)
    with pytest.raises(MetannError, match="has 3 blocks; give 1 to 3"):
        tails(run, tmp_path, [0], tail=4)
