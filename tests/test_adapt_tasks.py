"""Adaptation of held-out tasks, description of generators and a user's own task: from files to files."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import metann
from hypernetwork_small import class_images
from PIL import Image
from test_train_generator import data, finished, run  # noqa: F401 - fixtures

import metann as package
from metann.config.hypernetwork import AdaptationSection, GeneratorSection
from metann.errors import MetannError
from metann.hypernetwork import arms
from metann.hypernetwork.few_images import folds_of, support_without
from metann.hypernetwork.measures import auc, cross_entropy, steps_to
from metann.hypernetwork.model import GeneratedClassifier, chosen_rate, load_generator, read_tasks
from metann.stages.adapt import adapt
from metann.stages.adapt_tasks import adapt_tasks
from metann.stages.describe_generator import describe_generator
from metann.tables.frames import read_frame
from metann.tables.probabilities import read_probabilities

SETTINGS = AdaptationSection(steps=20, batch_size=6, learning_rates=(0.01, 0.1), draws=2, curve_images=5, device="cpu")


def learn(data: Path, folder: Path, arm: str, shots: int, output: Path, **changed: object) -> Path:  # noqa: F811
    given = {"weights": folder / "weights.safetensors", "tasks": folder / "tasks.parquet", "adaptation": SETTINGS, "seed": 0}
    adapt_tasks(arm=arm, shots=shots, data=data, output=output, **given | changed)
    return output / f"{arm}_{shots}.parquet"


@pytest.mark.parametrize(("arm", "shots"), [("z_adapt", 5), ("zero_shot", 0), ("repo_bug", 3), ("finetune_net", 10)])
def test_the_tables(arm: str, shots: int, data: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    frame = read_frame(learn(data, finished, arm, shots, tmp_path), "hypernetwork_adapt")
    curve = read_frame(tmp_path / f"{arm}_{shots}_curve.parquet", "hypernetwork_curve")
    _, sets, described = read_tasks(finished / "tasks.parquet")
    held_out = [i for i, name in enumerate(sets) if name == "test"]
    draws = 2 if shots else 1
    assert frame[["task", "draw"]].to_numpy().tolist() == [[task, draw] for task in held_out for draw in range(draws)]
    assert (frame["n"] == 40).all()
    assert (frame["n_positive"] == 20).all()
    assert (frame["correct_positive"] <= frame["correct"]).all()
    assert frame["auc"].between(0, 1).all()
    meta = frame.attrs
    assert meta["generator_digest"] == described["generator_digest"]
    assert (meta["generator_digest_after"] == meta["generator_digest"]) == meta["frozen"] == (arm != "repo_bug")
    if shots:
        assert set(meta["rates_tried"]) == {"0.01", "0.1"}
        assert curve["step"].unique().tolist() == [0, 1, 2, 5, 10, 20]
        assert (frame["learning_rate"] == meta["learning_rate"]).all()
        assert meta["rates_tried"][f"{meta['learning_rate']:g}"] == max(meta["rates_tried"].values())
        own = curve[(curve["task"] == held_out[0]) & (curve["draw"] == 1)]
        assert frame["steps_to_95"][1] == steps_to(own["step"], own["test_accuracy"])
    else:
        assert meta["learning_rate"] == 0
    again = learn(data, finished, arm, shots, tmp_path / "again")
    assert again.read_bytes() == (tmp_path / f"{arm}_{shots}.parquet").read_bytes()


def test_zero_shot_is_at_one_half_over_mirrored_tasks(data: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    frame = read_frame(learn(data, finished, "zero_shot", 0, tmp_path), "hypernetwork_adapt")
    assert frame["correct"].sum() * 2 == frame["n"].sum()


def test_an_arm_that_moves_the_generator_is_caught(data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """What the published code did: the generator's own weights change in the first step of the adaptation."""
    honest = arms.z_adapt

    def moves_all(given: arms.Given) -> arms.Arm:
        with torch.no_grad():
            next(given.trained.generator.parameters()).add_(1e-4)
        return honest(given)

    monkeypatch.setattr(arms, "z_adapt", moves_all)
    with pytest.raises(MetannError, match="z_adapt changed the generator, which is frozen"):
        learn(data, finished, "z_adapt", 5, tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


def test_test_images_decide_nothing(data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Other labels of the test images: the same learning rate, tried with the same result."""
    before = read_frame(learn(data, finished, "z_adapt", 5, tmp_path / "a"), "hypernetwork_adapt").attrs
    import metann.data.prepared as prepared

    read = prepared.read_prepared

    def relabelled(folder: Path):
        found = read(folder)
        label = np.where(found.samples.split == "test", (found.samples.label + 1) % 6, found.samples.label).astype(np.int16)
        return replace(found, samples=replace(found.samples, label=label))

    monkeypatch.setattr(prepared, "read_prepared", relabelled)
    after = read_frame(learn(data, finished, "z_adapt", 5, tmp_path / "b"), "hypernetwork_adapt").attrs
    assert (before["rates_tried"], before["learning_rate"]) == (after["rates_tried"], after["learning_rate"])


def test_controls_are_files_of_their_own(data: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    for kind in ("general", "separate"):
        run(data, tmp_path / kind, generator=GeneratorSection(kind=kind, z="fixed", bound="linear"))
    controls = [tmp_path / kind / "weights.safetensors" for kind in ("general", "separate")]
    general = read_frame(learn(data, finished, "general_net", 0, tmp_path, controls=controls), "hypernetwork_adapt")
    assert general["correct"].sum() * 2 == general["n"].sum()
    pca = read_frame(learn(data, finished, "pca_subspace", 5, tmp_path, controls=controls), "hypernetwork_adapt")
    assert (pca["trained_numbers"] == 1).all()  # two networks differ in one direction
    with pytest.raises(MetannError, match="general_net needs the control 'general'"):
        learn(data, finished, "general_net", 0, tmp_path)


@pytest.mark.parametrize(
    ("arm", "shots", "words"),
    [("z_adpat", 5, ["z_adpat", "z_adapt"]), ("z_adapt", 0, ["0 shots"]), ("zero_shot", 5, ["5 shots"]), ("z_adapt", 31, ["31", "30"])],
)
def test_bad_input(arm: str, shots: int, words: list[str], data: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(MetannError) as error:
        learn(data, finished, arm, shots, tmp_path)
    assert all(word in str(error.value) for word in words)


@pytest.fixture(scope="module")
def described(data: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("described")
    given = {"weights": finished / "weights.safetensors", "tasks": finished / "tasks.parquet", "data": data}
    describe_generator(**given, adaptation=SETTINGS.model_copy(update={"steps": 60}), seed=0, output=folder)
    return folder


def test_reliance_is_counted_image_by_image(described: Path, finished: Path, data: Path) -> None:  # noqa: F811
    from metann.data.prepared import read_prepared
    from metann.hypernetwork.classifiers import answer
    from metann.hypernetwork.images import ClassImages

    table = read_frame(described / "reliance.parquet", "hypernetwork_reliance")
    have, (tasks, _, _) = load_generator(finished / "weights.safetensors"), read_tasks(finished / "tasks.parquet")
    prepared = read_prepared(data)
    samples = prepared.samples
    images = ClassImages.of(prepared.images_NCHW, samples.label, samples.rows("test"), 6, have.normalisation, torch.device("cpu"))
    theta = have.generator(have.z_TD)
    for row in table[table["split"] == "test"].itertuples():
        j = have.header["tasks"].index(row.z_j)
        rows_N = torch.cat([images.rows(tasks[row.task_i].negative), images.rows(tasks[row.task_i].positive)])
        logits = answer(have.classifier, {name: value[j : j + 1] for name, value in theta.items()}, images.batch(rows_N[None]), "loop")[0]
        right = int(((logits > 0) == (torch.arange(40) >= 20)).sum())
        assert (row.n, row.correct) == (40, right)
    both = table[table["split"] == "test"].pivot(index="task_i", columns="z_j", values="correct").to_numpy()
    np.testing.assert_array_equal(both.sum(axis=0), 40)  # a network is as wrong about the mirror as it is right about the task


def test_the_way_to_the_mirror(described: Path) -> None:
    way = read_frame(described / "interpolation.parquet", "hypernetwork_interpolation")
    reliance = read_frame(described / "reliance.parquet", "hypernetwork_reliance")
    here = reliance[(reliance["split"] == "test") & (reliance["task_i"] == way["task"].iloc[0])].set_index("z_j")["correct"]
    assert way["position"].tolist() == pytest.approx([p / 10 for p in range(11)])
    assert way["correct"].iloc[0] == here[way["task"].iloc[0]]
    assert way["correct"].iloc[-1] == here[way["mirror"].iloc[0]]


def test_one_network_for_each_class(described: Path, finished: Path, data: Path) -> None:  # noqa: F811
    table = read_probabilities(described / "multiclass.parquet")
    have = load_generator(finished / "weights.safetensors")
    assert set(table.split) == {"val", "test"}
    assert table.metadata["macs"] == 6 * have.header["macs"]
    assert table.metadata["parameters"] == 6 * 1209
    from metann.data.prepared import read_prepared

    model = package.load(described / "classes.safetensors")
    answer = model.answer(read_prepared(data).images_NCHW[table.sample_id])
    np.testing.assert_allclose(answer.p_NK, table.p_NK, atol=1e-5)
    assert (answer.macs_N == table.metadata["macs"]).all()
    model.save(described / "copy.safetensors")
    again = package.load(described / "copy.safetensors").answer(read_prepared(data).images_NCHW[table.sample_id])
    np.testing.assert_array_equal(answer.p_NK, again.p_NK)


def test_a_run_answers_by_the_classifier_that_validation_prefers(described: Path, tmp_path: Path) -> None:
    model = GeneratedClassifier.load(described / "classes.safetensors")
    for experiment, accuracy in (("E1", 0.4), ("E2b", 0.8)):
        for seed in (0, 1):
            header = model.header | {"experiment": experiment, "seed": seed, "val_accuracy": accuracy - seed / 10}
            path = tmp_path / f"hypernetwork/seed_{seed}/{experiment}_mlp/classes.safetensors"
            GeneratedClassifier(model.classifier, model.parameters, model.z_MD, header).save(path)
    found = package.load(tmp_path)
    assert (found.header["experiment"], found.header["seed"]) == ("E2b", 0)
    assert package.load(tmp_path, experiment="E1").header["experiment"] == "E1"
    assert package.load(tmp_path, seed=1).header["seed"] == 1
    with pytest.raises(MetannError, match=r"unknown experiment 'E3'.*E1, E2b"):
        package.load(tmp_path, experiment="E3")
    assert "6 classes" in found.described
    for seed, experiment, said in ((1, "E1", "seed 0, but 1"), (0, "E2b", "experiment and generator 'E1_mlp', but 'E2b_mlp'")):
        wrong = tmp_path / f"hypernetwork/seed_{seed}/{experiment}_mlp/classes.safetensors"
        before = wrong.read_bytes()
        shutil.copy2(tmp_path / "hypernetwork/seed_0/E1_mlp/classes.safetensors", wrong)
        with pytest.raises(MetannError, match=f"was made for {said} is asked for"):
            package.load(tmp_path, seed=seed, experiment=experiment)
        wrong.write_bytes(before)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    images = class_images(12, seed=3)
    for k, name in ((0, "left"), (5, "right")):
        (folder / name).mkdir()
        for i, row in enumerate(images.rows(k).tolist()):
            Image.fromarray(images.images_NCHW[row, 0].numpy()).resize((16, 16)).save(folder / name / f"{i}.png")
    return folder


def test_a_users_two_folders(photos: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    output = tmp_path / "task.safetensors"
    before = (finished / "weights.safetensors").read_bytes()
    adapt(finished / "weights.safetensors", negative=photos / "left", positive=photos / "right", output=output, device="cpu")
    said = capsys.readouterr().out
    assert "left (12 images) against right (12), 4 numbers learned" in said
    assert "24 images right while not learned from (each left out once)" in said
    assert (finished / "weights.safetensors").read_bytes() == before
    header = GeneratedClassifier.load(output).header
    assert header["checked"]["images"] == 24
    assert header["checked"]["low"] <= header["checked"]["right"] / 24 <= header["checked"]["high"]
    done = metann("predict", output, photos / "left", photos / "right", "--json")
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 24
    assert '"class": "left"' in lines[0] or '"class": "right"' in lines[0]
    adapt(finished / "weights.safetensors", negative=photos / "left", positive=photos / "right", output=tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == output.read_bytes()


def test_one_image_of_a_class_cannot_be_spared(photos: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    (tmp_path / "one").mkdir()
    shutil.copy(photos / "left" / "0.png", tmp_path / "one")
    adapt(finished / "weights.safetensors", negative=tmp_path / "one", positive=photos / "right", output=tmp_path / "t.safetensors")
    assert "how sure: not known" in capsys.readouterr().out


def test_bad_folders(photos: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    def line(negative: Path, output: str = "t.safetensors", generator: Path = finished / "weights.safetensors") -> str:
        with pytest.raises(MetannError) as error:
            adapt(generator, negative=negative, positive=photos / "right", output=tmp_path / output)
        return str(error.value)

    (tmp_path / "empty").mkdir()
    assert "no images in folder" in line(tmp_path / "empty")
    assert "nothing" in line(tmp_path / "nothing")
    (tmp_path / "colour").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(tmp_path / "colour" / "a.png")
    assert "are coloured, the generator's grey" in line(tmp_path / "colour")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    assert "1 images cannot be read" in line(tmp_path / "broken")
    assert ".safetensors" in line(photos / "left", "t.bin")
    adapt(finished / "weights.safetensors", negative=photos / "left", positive=photos / "right", output=tmp_path / "t.safetensors", steps=1)
    assert "holds no generator" in line(photos / "left", generator=tmp_path / "t.safetensors")
    done = metann("predict", finished / "weights.safetensors", photos / "left", check=False)
    assert done.returncode == 2
    assert "'generator'" in done.stderr


def test_the_rate_of_the_run_is_taken(data: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    shutil.copytree(finished, tmp_path / "g")
    weights = tmp_path / "g" / "weights.safetensors"
    assert chosen_rate(weights, 5)[0] == 0.03
    for shots, rate in ((2, 0.01), (20, 0.1)):
        settings = SETTINGS.model_copy(update={"learning_rates": (rate,), "steps": 1})
        learn(data, tmp_path / "g", "z_adapt", shots, tmp_path / "g" / "adapt", adaptation=settings)
    assert chosen_rate(weights, 3)[0] == 0.01
    assert chosen_rate(weights, 15)[0] == 0.1


def test_folds_hold_every_image_back_once() -> None:
    assert folds_of(3, 4).tolist() == list(range(7))
    fold_N = folds_of(30, 25)
    assert sorted(set(fold_N.tolist())) == list(range(10))
    for fold in range(10):
        support = support_without(fold_N, 30, fold)
        assert not set(support.tolist()) & set(np.flatnonzero(fold_N == fold).tolist())
        assert len(support) == 60
        assert (support[:30] < 30).all()
        assert (support[30:] >= 30).all()


def test_measures_meet_the_tables() -> None:
    logits_N, positive_N = np.array([-2.0, 1.0, 3.0]), np.array([False, False, True])
    assert auc(logits_N, positive_N) == 1
    assert cross_entropy(logits_N, positive_N) == pytest.approx(np.mean(np.log1p(np.exp([-2.0, 1.0, -3.0]))))
