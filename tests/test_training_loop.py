"""The epoch loop with trainers that are no classifiers: what it keeps, writes, resumes and refuses."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metann.errors import MetannError
from metann.seeds import derive_seed
from metann.training.history import read_history, write_history
from metann.training.loop import run_epochs, train_mode, training_only

CPU = torch.device("cpu")


class Walk:
    """Takes a random step in each epoch, with momentum; `worth` is what each epoch is said to be worth."""

    def __init__(self, worth: list[float], fails: int = 0, start: float = 0.0) -> None:
        self.place_D, self.speed_D = torch.full((3,), start), torch.zeros(3)
        self.worth, self.fails, self.number, self.places = worth, fails, 0, []

    def epoch(self, number: int) -> dict[str, float | int | str]:
        if number == self.fails:
            raise KeyboardInterrupt
        self.number = number
        generator = torch.Generator().manual_seed(derive_seed("walk", number))
        self.speed_D.mul_(0.9).add_(torch.randn(3, generator=generator))
        self.place_D.add_(self.speed_D)
        self.places.append(self.place_D.clone())
        return {"phase": "first" if number < 3 else "second", "steps": 7, "length": self.speed_D.norm().item()}

    def validate(self) -> dict[str, float]:
        return {"worth": self.worth[self.number - 1]}

    def state_dict(self) -> dict[str, object]:
        return {"tensors": [self.place_D, self.speed_D], "number": self.number}

    def load_state_dict(self, state: dict) -> None:
        for mine, theirs in zip((self.place_D, self.speed_D), state["tensors"], strict=True):
            mine.copy_(theirs)

    def best_weights(self) -> dict[str, torch.Tensor]:
        return {"place": self.place_D}


def walk(trainer: Walk, folder: Path, **options: object) -> list[dict]:
    given = {"epochs": len(trainer.worth), "key": "mine", "better": lambda row, best: row["worth"] > best["worth"], "device": CPU}
    return run_epochs(trainer, folder, **given | options)


def timeless(history: list[dict]) -> list[dict]:
    return [{**row, "seconds": 0} for row in history]


def test_the_best_epoch_is_kept_and_every_epoch_has_its_row(tmp_path: Path) -> None:
    trainer = Walk([1.0, 3.0, 2.0, 3.0])
    history = walk(trainer, tmp_path)
    assert [list(row) for row in history] == [["epoch", "phase", "steps", "length", "worth", "seconds", "best"]] * 4
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["best"] for row in history] == [1, 1, 0, 0], "an equal one is not better"
    assert all(row["seconds"] > 0 for row in history)
    assert torch.equal(trainer.place_D, trainer.places[1])
    assert not torch.equal(trainer.places[1], trainer.places[3])
    lines = (tmp_path / "training.csv").read_text().splitlines()
    assert lines[0] == "epoch,phase,steps,length,worth,seconds,best"
    assert lines[1].startswith("1,first,7,")
    assert timeless(read_history(tmp_path / "training.csv")) == [
        {name: value if isinstance(value, int | str) else pytest.approx(value, rel=1e-8) for name, value in row.items()}
        for row in timeless(history)
    ]


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_stopped_run_goes_on_and_ends_alike(tmp_path: Path, after: int, capsys: pytest.CaptureFixture[str]) -> None:
    worth = [1.0, 3.0, 2.0, 2.5, 2.0]
    whole = Walk(worth)
    expected = timeless(walk(whole, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        walk(Walk(worth, fails=after + 1), tmp_path / "killed")
    capsys.readouterr()
    (tmp_path / "killed" / "training.csv").unlink()
    resumed = Walk(worth, start=99.0)
    assert timeless(walk(resumed, tmp_path / "killed")) == expected
    assert f"resuming after epoch {after}\n" in capsys.readouterr().out
    assert torch.equal(resumed.place_D, whole.place_D)
    assert len(resumed.places) == 5 - after, "no epoch is trained again"
    (tmp_path / "killed" / "training.csv").unlink()
    again = Walk(worth, start=99.0)
    assert timeless(walk(again, tmp_path / "killed")) == expected
    assert torch.equal(again.place_D, whole.place_D)
    assert not again.places, "a whole run is only read"
    assert len(read_history(tmp_path / "killed" / "training.csv")) == 5


@pytest.mark.parametrize(
    ("worth", "patience", "epochs"),
    [([3, 2, 1, 0, 9], 2, 3), ([3, 2, 4, 1, 0, 9], 2, 5), ([3, 2, 1], 0, 3), ([1, 2, 3], 1, 3), ([3, 2, 1], 1, 2), ([3, 2, 1], 3, 3)],
)
def test_early_stop(tmp_path: Path, worth: list[float], patience: int, epochs: int) -> None:
    trainer = Walk(worth)
    assert len(walk(trainer, tmp_path, early_stop=patience)) == epochs
    again = Walk(worth)
    assert len(walk(again, tmp_path, early_stop=patience)) == epochs
    assert not again.places, "a run that stopped early is not gone on with"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_divergence(tmp_path: Path, value: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def diverging(trainer: Walk, at: int) -> Walk:
        epoch = trainer.epoch
        monkeypatch.setattr(trainer, "epoch", lambda number: epoch(number) | ({"length": value} if number >= at else {}))
        return trainer

    with pytest.raises(MetannError, match="training diverged in its first epoch; take smaller steps"):
        walk(diverging(Walk([1, 2, 3]), 1), tmp_path / "first", cure="take smaller steps")
    assert not (tmp_path / "first").exists()
    trainer = diverging(Walk([1, 2, 3]), 3)
    assert len(walk(trainer, tmp_path / "third")) == 2
    assert torch.equal(trainer.place_D, trainer.places[1])
    assert "training diverged in epoch 3; the best epoch before it is kept" in capsys.readouterr().out
    assert len(read_history(tmp_path / "third" / "training.csv")) == 2


def test_a_validation_that_is_not_a_number_is_no_divergence(tmp_path: Path) -> None:
    assert len(walk(Walk([math.nan] * 3), tmp_path, better=lambda *_: True)) == 3


def test_another_key_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk(Walk([1, 2]), tmp_path)
    trainer = Walk([1, 2])
    assert len(walk(trainer, tmp_path, key="other")) == 2
    assert len(trainer.places) == 2
    assert "is of other settings, data or code; training starts anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [{"key": "mine"}, {"key": "mine", "module": {}, "history": [], "best": None}, ["key"], b"half"], ids=str
)
def test_what_is_no_checkpoint_of_the_loop_is_left_alone(tmp_path: Path, content: object, capsys: pytest.CaptureFixture[str]) -> None:
    if isinstance(content, bytes):
        (tmp_path / "checkpoint.pt").write_bytes(content)
    else:
        torch.save(content, tmp_path / "checkpoint.pt")
    assert len(walk(Walk([1, 2]), tmp_path)) == 2
    assert "training starts anew" in capsys.readouterr().out


class Bomb:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("exploded"),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"key": "mine", "trainer": Bomb(), "history": [], "best": None}, tmp_path / "checkpoint.pt")
    assert len(walk(Walk([1, 2]), tmp_path)) == 2
    assert not (tmp_path / "exploded").exists()


def test_a_checkpoint_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    walk(Walk([1, 2]), tmp_path)
    trainer = Walk([1, 2])
    trainer.speed_D = torch.zeros(4)
    with pytest.raises(MetannError, match=r"checkpoint .* does not fit this training \(.*\); delete it") as caught:
        walk(trainer, tmp_path)
    assert "\n" not in str(caught.value)


def test_columns_of_numpy_and_torch_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint with a numpy number in it would be refused by the reader, and the training begun anew in silence."""
    for column in (np.float32(0.5), np.int64(2), torch.tensor(0.25), True):
        trainer = Walk([1, 2])
        epoch = trainer.epoch
        monkeypatch.setattr(trainer, "epoch", lambda number, epoch=epoch, column=column: epoch(number) | {"length": column})
        first = walk(trainer, tmp_path / str(type(column)))
        again = Walk([1, 2])
        assert walk(again, tmp_path / str(type(column))) == first
        assert not again.places
        assert first[0]["length"] == float(column)


def test_copies_of_the_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the last epoch would be kept in silence."""
    trainer = Walk([2, 1])
    monkeypatch.setattr(trainer, "best_weights", lambda: {"place": trainer.place_D.clone()})
    with pytest.raises(TypeError, match=r"best_weights of Walk gives copies \(place\)"):
        walk(trainer, tmp_path)


def block() -> nn.Sequential:
    return nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()), nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Dropout())


def test_training_only_and_the_mode_of_frozen_parts() -> None:
    module = block()
    module[2].bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in module.parameters()]
    with training_only(module, [*module[1].parameters(), *module[2].parameters()]) as trained:
        assert {id(parameter) for parameter in trained} == {id(p) for p in (module[1].weight, module[1].bias, module[2].weight)}
        assert [p.requires_grad for p in module.parameters()] == [False] * 4 + [True, True, True, False]
        module.eval()
        train_mode(module)
        assert [part.training for part in module] == [False, True, True, True]
        assert [part.training for part in module[0]] == [False] * 3, "with the dropout of a frozen part"
    assert [parameter.requires_grad for parameter in module.parameters()] == before
    with training_only(module) as trained:
        assert len(trained) == 7


VALUES = st.one_of(
    st.integers(-(10**9), 10**9), st.floats(allow_nan=False), st.text("abc ,\"'\n", min_size=1).filter(lambda text: not text.isdigit())
)


@given(st.lists(st.dictionaries(st.sampled_from(["epoch", "loss", "phase, or not", "best"]), VALUES), min_size=1))
def test_a_history_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, history: list[dict]) -> None:
    path = tmp_path_factory.getbasetemp() / "history" / "training.csv"
    write_history(path, history, ["epoch"])
    read = read_history(path)
    assert len(read) == len(history)
    for row, written in zip(read, history, strict=True):
        expected = {name: value if isinstance(value, int | str) else pytest.approx(value, rel=1e-8) for name, value in written.items()}
        assert row == expected


def test_a_history_without_epochs_has_its_head_line(tmp_path: Path) -> None:
    write_history(tmp_path / "training.csv", [], ["epoch", "loss"])
    assert (tmp_path / "training.csv").read_text() == "epoch,loss\n"
    assert read_history(tmp_path / "training.csv") == []


@pytest.mark.parametrize("content", [b"", b"epoch,loss\n1\n", b"epoch\n1,2\n", b"\xff\xfe\n"])
def test_what_is_no_history_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "training.csv"
    path.write_bytes(content)
    with pytest.raises(MetannError, match="is not the history of a training; delete it"):
        read_history(path)
    with pytest.raises(MetannError, match="is not the history"):
        read_history(tmp_path / "nothing.csv")
