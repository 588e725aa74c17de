"""Training of generators, in seconds on tiny images: it learns, resumes with the same bytes, and refuses before it trains."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import metann
from hypernetwork_small import CLASSES, SIZE, class_images, trained

from metann.config.data import DataSection
from metann.config.hypernetwork import ClassifierSection, ExperimentSection, GeneratorSection, ManyTasksSection
from metann.data.prepared import write_prepared
from metann.data.raw import RawDataset
from metann.errors import MetannError
from metann.hypernetwork.classifiers import answer
from metann.hypernetwork.images import seen_before
from metann.hypernetwork.many_tasks import ManyTasks, start_z
from metann.hypernetwork.model import load_generator, read_tasks
from metann.hypernetwork.schemes import Task
from metann.seeds import derive_seed
from metann.stages.train_generator import train_generator

NAMES = tuple("abcdef")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    images = class_images(60)
    labels_N = np.repeat(np.arange(CLASSES, dtype=np.int16), 60)
    split = np.tile(np.repeat(["train", "val", "test"], [30, 10, 20]), CLASSES)
    write_prepared(folder, RawDataset(images.images_NCHW.numpy(), labels_N, split, NAMES), DataSection(name="digits"))
    return folder


def run(data: Path, output: Path, **changed: object) -> Path:
    given = {
        "experiment": ExperimentSection(scheme="mirror", held_out="pairs", test=1, validation=1),
        "generator": GeneratorSection(kind="mlp", z_size=4, settings={"hidden": 16}),
        "classifier": ClassifierSection(),
        "training": ManyTasksSection(steps=60, block=20, tasks_per_step=2, batch_size=10, learning_rate=0.01, device="cpu"),
        "seed": 0,
    }
    train_generator(name="mlp", tasks="E", data=data, output=output, **given | changed)
    return output


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(data, tmp_path_factory.mktemp("generator"))


def history(folder: Path) -> list[dict[str, str]]:
    return [{**row, "seconds": ""} for row in csv.DictReader((folder / "training.csv").read_text().splitlines())]


def test_it_learns_a_task_and_its_mirror(finished: Path) -> None:
    """No network without z could be right about more than half of them."""
    rows = history(finished)
    assert len(rows) == 3
    assert float(rows[-1]["val_accuracy"]) > 0.9
    assert {"train_loss", "train_accuracy", "val_loss", "saturation", "variance_share"} <= set(rows[0])


def test_what_lies_there_says_what_it_is(finished: Path) -> None:
    found = load_generator(finished / "weights.safetensors")
    tasks, sets, described = read_tasks(finished / "tasks.parquet")
    assert [i for i, name in enumerate(sets) if name == "train"] == found.header["tasks"]
    assert sets.count("test") == sets.count("val") == 2
    assert found.z_TD.shape == (2, 4)
    assert described["generator_digest"] == found.generator.digest()
    assert described["numbers"] == sum(parameter.numel() for parameter in found.classifier.parameters())
    assert tasks[3] == Task(3, 0, True)
    assert not any(parameter.requires_grad for parameter in found.generator.parameters())
    assert not (finished / "checkpoint.pt").exists()


def test_the_same_bytes_again(data: Path, finished: Path, tmp_path: Path) -> None:
    again = run(data, tmp_path / "again")
    for name in ("weights.safetensors", "tasks.parquet"):
        assert (again / name).read_bytes() == (finished / name).read_bytes()
    assert history(again) == history(finished)
    other = run(data, tmp_path / "other", seed=1)
    assert (other / "weights.safetensors").read_bytes() != (finished / "weights.safetensors").read_bytes()


def test_killed_and_resumed(data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = ManyTasks.epoch

    def killed(self: ManyTasks, number: int) -> dict[str, float]:
        if number == 3:
            raise KeyboardInterrupt
        return epoch(self, number)

    monkeypatch.setattr(ManyTasks, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    monkeypatch.setattr(ManyTasks, "epoch", epoch)
    run(data, tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() == (finished / "weights.safetensors").read_bytes()
    assert history(tmp_path) == history(finished)


@pytest.mark.parametrize(("kind", "accuracy"), [("general", 0.5), ("separate", 0.95)])
def test_the_controls(kind: str, accuracy: float, data: Path, tmp_path: Path) -> None:
    """One network for a task and its mirror is right about half of the images, by theorem; one for each is right."""
    run(data, tmp_path, generator=GeneratorSection(kind=kind, z="fixed", bound="linear"))
    found = float(history(tmp_path)[-1]["val_accuracy"])
    assert found == pytest.approx(0.5, abs=1e-6) if kind == "general" else found > accuracy


def test_published_settings_run(data: Path, tmp_path: Path) -> None:
    run(
        data,
        tmp_path,
        generator=GeneratorSection(kind="affine", z="fixed", z_size=5, bound="tanh", settings={"init": "published"}),
        classifier=ClassifierSection(name="published", pixels="raw"),
        training=ManyTasksSection(
            steps=4, block=2, tasks_per_step=1, optimizer="rmsprop", learning_rate=1e-4, schedule="constant", device="cpu"
        ),
    )
    found = load_generator(tmp_path / "weights.safetensors")
    assert torch.equal(found.z_TD, torch.eye(2, 5))  # fixed: not trained
    assert found.header["mean"] == [0.0]
    assert 1 / found.header["std"][0] == 255


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"shots": 31}, ["31 shots", "30 training images of class"]),
        ({"classifier": ClassifierSection(name="resnet20")}, ["resnet20", "batch norm"]),
        ({"experiment": ExperimentSection(options={"anchor": "z"}, test=1, validation=1)}, ["'z'", "a, b, c"]),
        ({"generator": GeneratorSection(kind="affine", z="fixed", z_size=1)}, ["2 training tasks", "z_size"]),
    ],
)
def test_what_cannot_be_is_refused_before_training(changed: dict, words: list[str], data: Path, tmp_path: Path) -> None:
    with pytest.raises(MetannError) as error:
        run(data, tmp_path / "x", **changed)
    assert all(word in str(error.value) for word in words)
    assert not (tmp_path / "x" / "training.csv").exists()


def test_a_bad_flag_is_one_line(tmp_path: Path) -> None:
    whole = {"--name": "g", "--tasks": "E", "--experiment.scheme": "anchor", "--generator.kind": "mlp", "--generator.bound": "tanh"}
    whole |= {"--classifier.name": "small", "--training.steps": "200", "--data": tmp_path, "--seed": "0", "--output": tmp_path}
    bad = [("--generator.bound", "relu", "scaled_tanh"), ("--experiment.scheme", "mirrow", "anchor"), ("--generator.kind", "x", "mlp")]
    for flag, value, word in [*bad, ("--training.steps", "201", "201"), ("--classifier.name", "smal", "published")]:
        done = metann("train-generator", *(f"{key}={given}" for key, given in (whole | {flag: value}).items()), check=False)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert word in done.stderr


def test_a_generator_that_was_changed_is_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "g")
    path = tmp_path / "g" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(MetannError, match=r"was changed|its header describes"):
        load_generator(path)


def test_images_seen_before_are_found() -> None:
    images = np.random.default_rng(0).integers(0, 255, (6, 1, 4, 4), dtype=np.uint8)
    images[4], images[5] = images[1], images[3]
    assert seen_before(images, np.array([4, 5, 2]), np.array([0, 1])).tolist() == [True, False, False]


def test_batches_are_balanced_and_of_their_classes() -> None:
    images = class_images()
    negative_T, positive_T = torch.tensor([0, 4]), torch.tensor([3, 5])
    rows = images.draw(negative_T, positive_T, 50, torch.Generator().manual_seed(0))
    label_of_row = torch.repeat_interleave(torch.arange(CLASSES), images.count_K)
    assert label_of_row[rows[0]].tolist() == [0] * 50 + [3] * 50
    assert label_of_row[rows[1]].tolist() == [4] * 50 + [5] * 50
    assert len(set(rows[0, :50].tolist())) > 20  # of 30, with replacement


def test_learned_codes_get_gradients_and_fixed_ones_do_not() -> None:
    have = trained()
    for kind, moves in (("learned", True), ("fixed", False)):
        torch.manual_seed(0)
        z_TD = start_z(kind, 4, 4, torch.device("cpu"))
        before = z_TD.detach().clone()
        settings = ManyTasksSection(steps=4, block=4, tasks_per_step=4, device="cpu", schedule="constant")
        tasks = [Task(0, 1, False), Task(1, 0, True), Task(2, 3, False), Task(3, 2, True)]
        have.generator.requires_grad_(True)
        ManyTasks(have.generator, have.classifier, z_TD, tasks, class_images(), class_images(), settings, (0,)).epoch(1)
        assert torch.equal(before, z_TD.detach()) != moves
    assert SIZE == 8


def test_a_codes_step_does_not_depend_on_the_other_tasks() -> None:
    """Trap: losses are summed over tasks and not averaged, which Adam would hide and plain gradient descent shows."""
    tasks = [Task(0, 1, False), Task(2, 3, False), Task(4, 5, False)]
    settings = ManyTasksSection(
        steps=1, block=1, tasks_per_step=3, batch_size=10, optimizer="sgd", learning_rate=0.5, schedule="constant", device="cpu"
    )
    have = trained(tasks=3)
    have.generator.requires_grad_(False)
    z_TD = have.z_TD.clone().requires_grad_(True)
    ManyTasks(have.generator, have.classifier, z_TD, tasks, class_images(), class_images(), settings, (7,)).epoch(1)
    generator = torch.Generator().manual_seed(derive_seed(7, "block", 1))
    order = torch.randperm(3, generator=generator)
    chosen = [tasks[i] for i in order]
    rows = class_images().draw(
        torch.tensor([task.negative for task in chosen]), torch.tensor([task.positive for task in chosen]), 5, generator
    )
    for place, i in enumerate(order.tolist()):
        alone = have.z_TD[i : i + 1].clone().requires_grad_(True)
        logits = answer(have.classifier, have.generator(alone), class_images().batch(rows[place : place + 1]), "loop")[0]
        truth = (torch.arange(10) >= 5).float()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, truth).backward()
        torch.testing.assert_close(z_TD[i].detach(), (alone - 0.5 * alone.grad)[0].detach(), atol=1e-5, rtol=1e-4)
