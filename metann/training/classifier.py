"""The one training loop.

Images live as uint8 on the device; every batch is cropped, flipped and normalised there at once. Each epoch draws from
a generator seeded by (seed parts, epoch), so a resumed run needs no generator state and ends with the same weights.
N images, C channels, H x W pixels, K classes.
"""

import copy
import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from metann.compute.inference import infer
from metann.compute.normalise import Normalisation, normalise
from metann.compute.process import autocast
from metann.config.run import TrainingSection
from metann.errors import MetannError
from metann.files import write_text
from metann.seeds import derive_seed
from metann.training.augmentation import random_crop, random_flip
from metann.training.checkpoint import State
from metann.training.optimizers import Average, Sgd, rate_factor


class Objective(Protocol):
    """Loss and rightness of each image; `select_by` is 'accuracy' or 'loss' (of validation)."""

    select_by: str

    def losses(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor: ...

    def right(self, logits_NK: Tensor, labels_N: Tensor) -> Tensor: ...

    def unsmoothed(self) -> "Objective": ...


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes.

    Attributes:
        images_NCHW: uint8.
        labels_N: int64.
    """

    images_NCHW: Tensor
    labels_N: Tensor

    @classmethod
    def of(cls, images_NCHW: np.ndarray, labels_N: np.ndarray, rows: np.ndarray) -> "LabelledImages":
        """The given rows of arrays (the images may be memory-mapped; only the rows are read)."""
        return cls(torch.from_numpy(np.ascontiguousarray(images_NCHW[rows])), torch.from_numpy(labels_N[rows].astype(np.int64)))

    def to(self, device: torch.device) -> "LabelledImages":
        """The same on a device."""
        return LabelledImages(self.images_NCHW.to(device), self.labels_N.to(device))

    def __len__(self) -> int:
        return len(self.labels_N)


def batches(order_N: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Cut an order into batches; a last batch of one image joins the one before (batch norm needs two)."""
    pieces = list(order_N.split(batch_size))
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [torch.cat(pieces[-2:])]
    return iter(pieces)


def train(
    module: nn.Module,
    train_set: LabelledImages,
    val_set: LabelledImages,
    normalisation: Normalisation,
    objective: Objective,
    settings: TrainingSection,
    seed_parts: tuple[object, ...],
    folder: Path,
    *,
    parameters: list[nn.Parameter] | None = None,
    hard: bool = False,
    key: str = "",
) -> list[dict[str, float]]:
    """Train `module` in place and leave it with the weights of the best validation epoch.

    Writes `training.csv` (a row per epoch) and `checkpoint.pt` into `folder` after every epoch; a checkpoint of the same
    settings, seed parts and `key` is resumed. Who calls removes the checkpoint when the outputs are safe.

    Args:
        module: on the device where training runs.
        train_set, val_set: on any device; an empty val_set keeps the last epoch.
        objective: loss per image, and which validation figure chooses the epoch (ties: lower loss, then earlier).
        seed_parts: names every random draw, see `derive_seed`.
        parameters: what is trained; None is everything. Batch norms of frozen parts keep their statistics.
        hard: draw images with probability proportional to their loss in the previous epoch, with replacement.
        key: what else the result depends on (data digest, start weights, code).

    Returns:
        The history: one dict per epoch.

    Raises:
        MetannError: the loss is not finite before any epoch is whole.
    """
    device = next(module.parameters()).device
    train_set, val_set = train_set.to(device), val_set.to(device)
    module.to(memory_format=torch.channels_last)
    trained = list(module.parameters()) if parameters is None else parameters
    frozen = _freeze(module, trained)
    average = Average(module, settings.ema) if settings.ema else None
    optimizer = Sgd(trained, settings.momentum, settings.weight_decay)
    state = State(module, optimizer, average, [], None, torch.ones(len(train_set), device=device))
    checkpoint = folder / "checkpoint.pt"
    key = hashlib.sha256(json.dumps([settings.model_dump(), list(map(str, seed_parts)), hard, key], sort_keys=True).encode()).hexdigest()
    state.load(checkpoint, key, device)
    forward = torch.compile(module) if settings.compile and device.type == "cuda" else module

    while len(state.history) < settings.epochs and not _stops(state.history, settings.early_stop):
        epoch, start = len(state.history) + 1, time.perf_counter()
        torch.manual_seed(derive_seed(*seed_parts, "dropout", epoch))
        generator = torch.Generator(device).manual_seed(derive_seed(*seed_parts, "epoch", epoch))
        module.train()
        for part in frozen:
            part.eval()
        row = {"epoch": epoch}
        row |= _epoch(forward, train_set, normalisation, objective, settings, state, generator, hard and epoch > 1)
        if not math.isfinite(row["train_loss"]):
            if state.best is None:
                raise MetannError(f"training diverged in its first epoch; lower learning_rate (now {settings.learning_rate})")
            print(f"training diverged in epoch {epoch}; the best epoch before it is kept")
            break
        row |= _validate(average.module if average else module, val_set, normalisation, objective.unsmoothed())
        row["seconds"] = time.perf_counter() - start
        row["best"] = int(_better(row, state.history, objective.select_by))
        state.history.append(row)
        if row["best"]:
            state.best = copy.deepcopy((average.module if average else module).state_dict())
        state.save(checkpoint, key)
        write_history(folder / "training.csv", state.history)
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    if state.best is not None:
        module.load_state_dict(state.best)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    return state.history


def _freeze(module: nn.Module, trained: list[nn.Parameter]) -> list[nn.Module]:
    """Freeze all other parameters; returns the modules that hold only frozen ones, which stay in eval mode."""
    chosen = {id(parameter) for parameter in trained}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    return [
        part for part in module.modules() if not any(p.requires_grad for p in part.parameters()) and any(True for _ in part.parameters())
    ]


def _epoch(
    forward: Any,
    train_set: LabelledImages,
    normalisation: Normalisation,
    objective: Objective,
    settings: TrainingSection,
    state: State,
    generator: torch.Generator,
    hard: bool,
) -> dict[str, float]:
    n, device = len(train_set), train_set.labels_N.device
    if hard:
        order_N = torch.multinomial(state.train_losses_N + 1e-6, n, replacement=True, generator=generator)
    else:
        order_N = torch.randperm(n, generator=generator, device=device)
    pieces = list(batches(order_N, settings.batch_size))
    total = len(pieces) * settings.epochs
    loss_sum, right_sum = torch.zeros((), device=device), torch.zeros((), device=device)
    rate = 0.0
    for step, rows in enumerate(pieces, start=len(state.history) * len(pieces)):
        rate = settings.learning_rate * rate_factor(settings.schedule, step, total)
        images, labels = train_set.images_NCHW.index_select(0, rows), train_set.labels_N[rows]
        if settings.crop_padding:
            images = random_crop(images, settings.crop_padding, generator)
        if settings.flip:
            images = random_flip(images, generator)
        with autocast(device):
            logits = forward(normalise(images, normalisation.mean, normalisation.std))
        losses = objective.losses(logits, labels)
        losses.mean().backward()
        state.optimizer.step(rate)
        if state.average:
            state.average.update(state.module)
        with torch.no_grad():
            state.train_losses_N[rows] = losses.detach()
            loss_sum += losses.detach().sum()
            right_sum += objective.right(logits, labels).sum()
    return {"learning_rate": rate, "train_loss": loss_sum.item() / n, "train_accuracy": right_sum.item() / n}


def _validate(module: nn.Module, val_set: LabelledImages, normalisation: Normalisation, objective: Objective) -> dict[str, float]:
    if not len(val_set):
        return {"val_loss": math.nan, "val_accuracy": math.nan}
    logits, labels = infer(module, val_set.images_NCHW, normalisation, exact=False), val_set.labels_N.cpu()
    return {
        "val_loss": objective.losses(logits, labels).mean().item(),
        "val_accuracy": objective.right(logits, labels).float().mean().item(),
    }


def _better(row: dict[str, float], history: list[dict[str, float]], select_by: str) -> bool:
    best = next((earlier for earlier in reversed(history) if earlier["best"]), None)
    if best is None or math.isnan(row["val_accuracy"]):  # the latter: there are no validation images
        return True

    def figure(epoch: dict[str, float]) -> tuple[float, ...]:
        return (epoch["val_accuracy"], -epoch["val_loss"]) if select_by == "accuracy" else (-epoch["val_loss"],)

    return figure(row) > figure(best)


def _stops(history: list[dict[str, float]], patience: int) -> bool:
    return bool(patience) and len(history) > patience and not any(row["best"] for row in history[-patience:])


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the epochs as CSV, whole or not at all; an expert that needed no training has only the head line."""
    columns = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "best")
    lines = [",".join(columns), *(",".join(f"{row[name]:.9g}" for name in columns) for row in history)]
    write_text(path, "\n".join(lines) + "\n")
