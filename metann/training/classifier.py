"""A network that says one class of each image: its batches, its loss, its validation, for the epoch loop.

Images live as uint8 on the device; every batch is cropped, flipped and normalised there at once. Each epoch draws from
a generator seeded by (seed parts, epoch), so a resumed run needs no generator state and ends with the same weights.
N images, C channels, H x W pixels, K classes.
"""

import hashlib
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metann.compute.inference import infer
from metann.compute.normalise import Normalisation, normalise
from metann.compute.process import autocast
from metann.config.training import TrainingSection
from metann.seeds import derive_seed
from metann.training.augmentation import random_crop, random_flip
from metann.training.average import Average
from metann.training.history import Row
from metann.training.images import LabelledImages, batches
from metann.training.loop import run_epochs, train_mode, training_only
from metann.training.objectives import Objective, judged
from metann.training.optimizers import Sgd, rate_factor

COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "best")


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
) -> list[Row]:
    """Train `module` in place and leave it with the weights of the best validation epoch.

    Writes `training.csv` (a row per epoch) and `checkpoint.pt` into `folder` after every epoch; a checkpoint of the same
    settings, seed parts and `key` is resumed. Who calls removes the checkpoint when the outputs are safe.

    Args:
        module: on the device where training runs. What of it is frozen stays frozen, during the training and after it.
        train_set, val_set: on any device; an empty val_set keeps the last epoch.
        objective: loss per image, and which validation figure chooses the epoch (ties: lower loss, then earlier).
        seed_parts: names every random draw, see `derive_seed`.
        parameters: what is trained; None is everything. Batch norms of parts that are not trained keep their statistics.
        hard: draw images with probability proportional to their loss in the previous epoch, with replacement.
        key: what else the result depends on (data digest, start weights, code).

    Returns:
        The history: one dict per epoch, with `COLUMNS`.

    Raises:
        MetannError: the loss is not finite before any epoch is whole.
    """
    device = next(module.parameters()).device
    module.to(memory_format=torch.channels_last)
    key = hashlib.sha256(json.dumps([settings.model_dump(), list(map(str, seed_parts)), hard, key], sort_keys=True).encode()).hexdigest()
    with training_only(module, parameters) as trained:
        trainer = ClassifierTrainer(
            module, train_set.to(device), val_set.to(device), normalisation, objective, settings, seed_parts, trained, hard
        )
        history = run_epochs(
            trainer,
            folder,
            epochs=settings.epochs,
            key=key,
            better=partial(better, select_by=objective.select_by),
            early_stop=settings.early_stop,
            device=device,
            cure=f"lower learning_rate (now {settings.learning_rate})",
        )
    if history and trainer.average:
        module.load_state_dict(trainer.average.module.state_dict())
    return history


class ClassifierTrainer:
    """One network, its optimizer and, where wanted, the average of its weights, which is then what is validated and kept."""

    def __init__(
        self,
        module: nn.Module,
        train_set: LabelledImages,
        val_set: LabelledImages,
        normalisation: Normalisation,
        objective: Objective,
        settings: TrainingSection,
        seed_parts: tuple[object, ...],
        trained: list[nn.Parameter],
        hard: bool = False,
    ) -> None:
        """Take everything as `train` does, on one device; `trained` are the parameters that the optimizer moves."""
        self.module, self.train_set, self.val_set, self.normalisation = module, train_set, val_set, normalisation
        self.objective, self.settings, self.seed_parts, self.hard = objective, settings, seed_parts, hard
        self.device = train_set.labels_N.device
        self.average = Average(module, settings.ema) if settings.ema else None
        self.optimizer = Sgd(trained, settings.momentum, settings.weight_decay)
        self.train_losses_N = torch.ones(len(train_set), device=self.device)
        self.forward: Any = torch.compile(module) if settings.compile and self.device.type == "cuda" else module

    def epoch(self, number: int) -> dict[str, float]:
        """Every image once or, of hard images, as often as drawn; the rate is that of the last step."""
        torch.manual_seed(derive_seed(*self.seed_parts, "dropout", number))
        generator = torch.Generator(self.device).manual_seed(derive_seed(*self.seed_parts, "epoch", number))
        train_mode(self.module)
        n, settings = len(self.train_set), self.settings
        if self.hard and number > 1:
            order_N = torch.multinomial(self.train_losses_N + 1e-6, n, replacement=True, generator=generator)
        else:
            order_N = torch.randperm(n, generator=generator, device=self.device)
        pieces = list(batches(order_N, settings.batch_size))
        loss_sum, right_sum = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        rate = 0.0
        for step, rows in enumerate(pieces, start=(number - 1) * len(pieces)):
            rate = settings.learning_rate * rate_factor(settings.schedule, step, len(pieces) * settings.epochs)
            images_NCHW, labels_N = self._batch(rows, generator)
            with autocast(self.device):
                logits_NK = self.forward(normalise(images_NCHW, self.normalisation.mean, self.normalisation.std))
            losses_N = self.objective.losses(logits_NK, labels_N)
            losses_N.mean().backward()
            self.optimizer.step(rate)
            if self.average:
                self.average.update(self.module)
            with torch.no_grad():
                self.train_losses_N[rows] = losses_N.detach()
                loss_sum += losses_N.detach().sum()
                right_sum += self.objective.right(logits_NK, labels_N).sum()
        return {"learning_rate": rate, "train_loss": loss_sum.item() / n, "train_accuracy": right_sum.item() / n}

    def _batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images_NCHW, labels_N = self.train_set.images_NCHW.index_select(0, rows), self.train_set.labels_N[rows]
        if self.settings.crop_padding:
            images_NCHW = random_crop(images_NCHW, self.settings.crop_padding, generator)
        if self.settings.flip:
            images_NCHW = random_flip(images_NCHW, generator)
        return images_NCHW, labels_N

    def validate(self) -> dict[str, float]:
        """Loss without smoothing and accuracy of the validation images; nan where there are none."""
        logits_NK = infer(self._kept(), self.val_set.images_NCHW, self.normalisation, exact=False)
        return judged(self.objective, logits_NK, self.val_set.labels_N.cpu())

    def _kept(self) -> nn.Module:
        return self.average.module if self.average else self.module

    def best_weights(self) -> dict[str, Tensor]:
        """Of the average, where there is one."""
        return self._kept().state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Weights, steps and losses so far."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "train_losses_N": self.train_losses_N,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.train_losses_N.copy_(state["train_losses_N"])


def better(row: Row, best: Row, *, select_by: str) -> bool:
    """Is an epoch better than the best before it, by validation accuracy and then loss, or by loss alone?

    Without validation images every epoch is: the last one is kept.
    """
    if math.isnan(row["val_accuracy"]):
        return True

    def figure(epoch: Row) -> tuple[float, ...]:
        return (epoch["val_accuracy"], -epoch["val_loss"]) if select_by == "accuracy" else (-epoch["val_loss"],)

    return figure(row) > figure(best)
