"""The training loop: what it learns, that it repeats itself, and that a killed run ends as if nothing had happened."""

import gc
import math
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metann.compute.inference import infer
from metann.compute.normalise import Normalisation
from metann.compute.process import start_torch
from metann.config.run import TrainingSection
from metann.errors import MetannError
from metann.networks._build import build
from metann.training import classifier as training
from metann.training.classifier import ClassifierTrainer, train
from metann.training.images import LabelledImages, batches
from metann.training.objectives import Classification
from metann.training.optimizers import rate_factor
from metann.weights.files import save_weights
from metann.weights.head import head_parameters

GREY = Normalisation((0.5,), (0.25,))


def settings(**values: object) -> TrainingSection:
    quiet = {"epochs": 3, "batch_size": 16, "learning_rate": 0.05, "crop_padding": 0, "flip": False, "device": "cpu"}
    return TrainingSection(**quiet).model_copy(update=values)  # unchecked: some tests want what a configuration may not ask for


def bars(n: int, seed: int = 0, classes: int = 3, noise: float = 40) -> LabelledImages:
    """8 x 8 images with one bright row that says the class."""
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.randint(0, classes, (n,), generator=generator)
    images_NCHW = 60 + noise * torch.rand((n, 1, 8, 8), generator=generator)
    images_NCHW[torch.arange(n), 0, 2 * labels_N] += 100
    return LabelledImages(images_NCHW.to(torch.uint8), labels_N)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("small_cnn", 3, 1, 8, width=4, depth=2)


def run(
    folder: Path, module: nn.Module | None = None, n: int = 48, seed_parts: tuple = (0, "test"), key: str = "", **values: object
) -> tuple[nn.Module, list[dict[str, float]]]:
    module = module or network()
    options = {name: values.pop(name) for name in ("parameters", "hard") if name in values}
    history = train(module, bars(n), bars(32, seed=1), GREY, Classification(), settings(**values), seed_parts, folder, key=key, **options)
    return module, history


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_tiny_set_is_learned_by_heart(tmp_path: Path) -> None:
    module, history = run(tmp_path, epochs=25, learning_rate=0.1)
    assert history[-1]["train_accuracy"] == 1
    assert history[-1]["train_loss"] < 0.2
    assert history[0]["train_loss"] > 3 * history[-1]["train_loss"]
    logits_NK = infer(module, bars(32, seed=1).images_NCHW, GREY)
    assert (logits_NK.argmax(dim=1) == bars(32, seed=1).labels_N).float().mean() == max(row["val_accuracy"] for row in history)


def test_same_seed_same_bytes_other_seed_other_weights(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "a")
    again, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", seed_parts=(1, "test"))
    assert same(first, again)
    assert not same(first, other)


def test_training_csv_says_what_happened(tmp_path: Path) -> None:
    _, history = run(tmp_path, n=40)
    lines = (tmp_path / "training.csv").read_text().splitlines()
    assert lines[0] == "epoch,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,seconds,best"
    assert [int(line.split(",")[0]) for line in lines[1:]] == [1, 2, 3]
    assert [float(line.split(",")[2]) for line in lines[1:]] == pytest.approx([row["train_loss"] for row in history], rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"schedule": "trapezoid", "label_smoothing": 0.1}, {"hard": True}])
@pytest.mark.parametrize("after", [1, 2])
def test_a_run_that_fails_after_an_epoch_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, after: int) -> None:
    whole, whole_history = run(tmp_path / "whole", epochs=4, crop_padding=2, flip=True, **options)
    epoch = ClassifierTrainer.epoch

    def failing(self: ClassifierTrainer, number: int) -> dict[str, float]:
        if number > after:
            raise KeyboardInterrupt
        return epoch(self, number)

    monkeypatch.setattr(ClassifierTrainer, "epoch", failing)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", epochs=4, crop_padding=2, flip=True, **options)
    monkeypatch.setattr(ClassifierTrainer, "epoch", epoch)
    # Other weights to start from: what counts is the checkpoint.
    resumed, history = run(tmp_path / "killed", network(9), epochs=4, crop_padding=2, flip=True, **options)
    assert same(whole, resumed)
    assert [{**row, "seconds": 0} for row in history] == [{**row, "seconds": 0} for row in whole_history]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_training import killable
killable(Path(sys.argv[1]))
"""


def killable(folder: Path) -> None:
    torch.set_num_threads(1)
    module, _ = run(folder, n=3000, epochs=5, crop_padding=2, flip=True, ema=0.9)
    save_weights(folder / "w.safetensors", module, {"architecture": "small_cnn", "num_classes": 3, "channels": 1, "image_size": 8})


@pytest.mark.slow
def test_a_killed_process_resumes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT.format(tests=str(Path(__file__).parent)), tmp_path / "killed"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "killed" / "training.csv").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (tmp_path / "killed" / "w.safetensors").exists()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "resuming after epoch" in done.stdout
    killable(tmp_path / "whole")
    assert (tmp_path / "killed" / "w.safetensors").read_bytes() == (tmp_path / "whole" / "w.safetensors").read_bytes()


@pytest.mark.parametrize("change", [{"learning_rate": 0.06}, {"seed_parts": (1, "test")}, {"key": "other data"}, {"hard": True}])
def test_a_checkpoint_of_another_run_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict) -> None:
    run(tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    capsys.readouterr()
    module, history = run(tmp_path / "run", **change)
    assert "of other settings, data or code; training starts anew" in capsys.readouterr().out
    fresh, _ = run(tmp_path / "fresh", **change)
    assert len(history) == 3
    assert same(module, fresh)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "half", {"other": 1}, [1, 2]], ids=str)
def test_a_broken_checkpoint_is_named_and_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    whole, _ = run(tmp_path / "run")
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    capsys.readouterr()
    again, history = run(tmp_path / "run")
    assert "training starts anew" in capsys.readouterr().out
    assert len(history) == 3
    assert same(whole, again)


@given(st.integers(4, 400))
def test_one_cycle_is_torchs(steps: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    oracle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=steps, cycle_momentum=False)
    for step in range(steps):
        assert 0.5 * rate_factor("one_cycle", step, steps) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
        optimizer.step()
        if step < steps - 1:
            oracle.step()


@pytest.mark.parametrize("steps", [2, 3, 10, 1000])
def test_schedules_stay_in_their_bounds(steps: int) -> None:
    for schedule in ("one_cycle", "trapezoid", "cosine", "constant"):
        factors = [rate_factor(schedule, step, steps) for step in range(steps)]
        assert min(factors) >= 0
        assert max(factors) <= 1
    assert rate_factor("cosine", 0, steps) == 1
    assert rate_factor("cosine", steps - 1, steps) == pytest.approx(0, abs=1e-12)
    assert rate_factor("trapezoid", steps - 1, steps) == 0


def test_trapezoid() -> None:
    factors = np.array([rate_factor("trapezoid", step, 1001) for step in range(1001)])
    assert (np.diff(factors[:190]) > 0).all()
    assert (factors[200:600] == 1).all()
    np.testing.assert_allclose(factors[600:], np.linspace(1, 0, 401), atol=1e-12)


def test_rates_reach_the_optimizer(tmp_path: Path) -> None:
    _, history = run(tmp_path, n=48, schedule="cosine", epochs=2)
    # 3 steps an epoch, the rate of the last one is written down
    assert [row["learning_rate"] for row in history] == pytest.approx([0.05 * rate_factor("cosine", step, 6) for step in (2, 5)])


def test_average_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every step, EMA = d EMA + (1 - d) weights, beginning with the weights after the first step."""
    seen: list[dict[str, torch.Tensor]] = []
    update = training.Average.update

    def recording(self: training.Average, module: nn.Module) -> None:
        seen.append({name: value.clone() for name, value in module.state_dict().items()})
        update(self, module)

    monkeypatch.setattr(training.Average, "update", recording)
    module, history = run(tmp_path, ema=0.8, epochs=3)
    last_best = max(row["epoch"] for row in history if row["best"])
    steps = seen[: 3 * int(last_best)]
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            naive = steps[0][name]
            for state in steps[1:]:
                naive = 0.8 * naive + 0.2 * state[name]
            torch.testing.assert_close(value, naive, rtol=1e-5, atol=1e-6)


def test_without_images_the_average_changes_nothing_else(tmp_path: Path) -> None:
    plain, averaged = run(tmp_path / "a")[1], run(tmp_path / "b", ema=0.9)[1]
    assert [row["train_loss"] for row in plain] == [row["train_loss"] for row in averaged]
    assert [row["val_loss"] for row in plain] != [row["val_loss"] for row in averaged]


def test_validation_is_measured_without_smoothing(tmp_path: Path) -> None:
    objective = Classification(label_smoothing=0.3)
    module = network()
    val_set = bars(32, seed=1)
    history = train(module, bars(48), val_set, GREY, objective, settings(epochs=1), (0,), tmp_path)
    loss = nn.functional.cross_entropy(infer(module, val_set.images_NCHW, GREY), val_set.labels_N).item()
    assert history[0]["val_loss"] == pytest.approx(loss, rel=1e-6)


def test_hard_sampler_draws_hard_images_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[torch.Tensor] = []
    monkeypatch.setattr(training, "batches", lambda order, size: drawn.append(order) or batches(order, size))
    data = bars(400)
    wrong = torch.arange(400) < 40
    data.labels_N[wrong] = (data.labels_N[wrong] + 1) % 3
    train(network(), data, bars(32, seed=1), GREY, Classification(), settings(epochs=8), (0,), tmp_path, hard=True)
    assert torch.equal(drawn[0].sort().values, torch.arange(400)), "the first epoch knows no losses: every image once"
    counts = torch.stack([torch.bincount(order, minlength=400) for order in drawn[2:]]).double().mean(dim=0)
    assert counts[wrong].mean() > 2 * counts[~wrong].mean()
    assert all(len(order) == 400 for order in drawn)


def test_head_only_leaves_the_rest_as_it_was(tmp_path: Path) -> None:
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run(tmp_path, module, parameters=head_parameters(module))
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    kept = {name for name in before if name.startswith(("features.0", "features.1"))}
    assert kept
    assert not changed & kept, "the first convolution and the statistics of its batch norm"
    assert {"classifier.weight", "classifier.bias", "features.4.weight"} <= changed
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("all_named", [False, True])
def test_what_was_frozen_stays_frozen(tmp_path: Path, all_named: bool) -> None:
    """During the training, and after it; also where the caller names it among the parameters to train."""
    module = network()
    module.features[0].requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flags = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    run(tmp_path, module, parameters=list(module.parameters()) if all_named else None)
    assert {name: parameter.requires_grad for name, parameter in module.named_parameters()} == flags
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in changed if name.startswith("features.0.")} == set()
    assert "classifier.weight" in changed
    with pytest.raises(MetannError, match="are frozen; unfreeze some"):
        run(tmp_path / "all", module.requires_grad_(False))


def test_a_training_that_fails_gives_back_what_it_froze(tmp_path: Path) -> None:
    module = network()
    with pytest.raises(MetannError):
        run(tmp_path, module, parameters=head_parameters(module), learning_rate=1e20, schedule="constant")
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_early_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.6, 1.0])
    monkeypatch.setattr(ClassifierTrainer, "validate", lambda _: {"val_loss": next(losses), "val_accuracy": 0.5})
    _, history = run(tmp_path, epochs=5, early_stop=2)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["best"] for row in history] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("accuracies", "losses", "best"),
    [
        ([0.5, 0.6, 0.6], [1.0, 2.0, 2.0], 2),  # equal in both: the earlier
        ([0.5, 0.6, 0.6], [1.0, 2.0, 1.9], 3),  # equal accuracy: the lower loss
        ([0.7, 0.6, 0.6], [9.0, 2.0, 1.9], 1),  # accuracy before loss
        ([0.5, 0.6, 0.6], [1.0, 2.0, math.nan], 2),
    ],
)
def test_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accuracies: list[float], losses: list[float], best: int) -> None:
    rows = iter([{"val_accuracy": a, "val_loss": loss} for a, loss in zip(accuracies, losses, strict=True)])
    monkeypatch.setattr(ClassifierTrainer, "validate", lambda _: next(rows))
    states: list[dict[str, torch.Tensor]] = []
    state_dict = ClassifierTrainer.state_dict

    def recording(self: ClassifierTrainer) -> dict[str, object]:
        states.append({name: value.clone() for name, value in self.module.state_dict().items()})
        return state_dict(self)

    monkeypatch.setattr(ClassifierTrainer, "state_dict", recording)
    module, _ = run(tmp_path)
    assert all(torch.equal(value, states[best - 1][name]) for name, value in module.state_dict().items())


def test_without_validation_images_the_last_epoch_stays(tmp_path: Path) -> None:
    none = bars(0)
    history = train(network(), bars(48), none, GREY, Classification(), settings(early_stop=1), (0,), tmp_path)
    assert len(history) == 3
    assert [row["best"] for row in history] == [1, 1, 1]
    assert math.isnan(history[0]["val_accuracy"])


@pytest.mark.parametrize("n", [33, 17, 2])
def test_a_last_batch_of_one_joins_the_one_before(tmp_path: Path, n: int) -> None:
    pieces = list(batches(torch.arange(n), 16))
    assert torch.equal(torch.cat(pieces), torch.arange(n))
    assert min(map(len, pieces)) > 1
    _, history = run(tmp_path, n=n)
    assert len(history) == 3


def test_divergence_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MetannError, match=r"lower learning_rate \(now 1e\+20\)"):
        run(tmp_path / "first", learning_rate=1e20, schedule="constant")
    epoch, rows = ClassifierTrainer.epoch, iter([{}, {"train_loss": math.nan}])
    monkeypatch.setattr(ClassifierTrainer, "epoch", lambda *arguments: epoch(*arguments) | next(rows))
    _, history = run(tmp_path / "second")
    assert len(history) == 1
    assert "training diverged in epoch 2; the best epoch before it is kept" in capsys.readouterr().out


def test_inference_keeps_order_and_mode_of_batch_norm(tmp_path: Path) -> None:
    module, _ = run(tmp_path)
    data = bars(1203, seed=5)  # more than two batches
    logits_NK = infer(module, data.images_NCHW, GREY)
    module.train()
    one_by_one = torch.cat([infer(module, data.images_NCHW[i : i + 1], GREY) for i in (0, 499, 500, 1202)])
    torch.testing.assert_close(logits_NK[[0, 499, 500, 1202]], one_by_one, rtol=1e-5, atol=1e-6)
    assert not logits_NK.requires_grad
    assert infer(module, data.images_NCHW[:0], GREY).shape == (0, 3)


def test_cuda_where_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(MetannError, match="use 'auto' or 'cpu'"):
        start_torch("cuda", 1)
    assert start_torch("auto", 1) == torch.device("cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep freed memory")
def test_freed_memory_is_used_again() -> None:
    """Without it every batch's activations are fresh pages of the kernel: a fifth of a small network's training."""
    code = """if True:
        import resource, torch
        from metann.compute.process import start_torch
        start_torch("cpu", 1)
        def work():
            for _ in range(20):
                [torch.ones(2_000_000) for _ in range(3)]
        work()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        work()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    faults = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert faults < 2_000  # one round of the work alone touches 5,859 pages


def test_training_leaves_no_tensors_to_the_garbage_collector(tmp_path: Path) -> None:
    """A job of the command line lets it rest; batches that wait for it would fill a GPU."""
    run(tmp_path / "warm", epochs=1)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        run(tmp_path / "run", epochs=2, ema=0.9)
        gc.collect()
        assert not [found for found in gc.garbage if isinstance(found, torch.Tensor) and found.ndim == 4 and len(found) == 16]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
