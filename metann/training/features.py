"""The training of a network's tail on features of its frozen trunk, which were computed once and lie in memory.

N images; P augmented views of them (several of each image), the pool; K classes; a feature is whatever the trunk gives for an image.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metann.compute.inference import in_pieces
from metann.compute.process import autocast, exact_arithmetic
from metann.config.training import TrainingSection
from metann.seeds import derive_seed
from metann.training.classifier import better
from metann.training.history import Row
from metann.training.images import batches
from metann.training.loop import run_epochs, train_mode, training_only
from metann.training.objectives import Objective, judged
from metann.training.optimizers import Sgd, rate_factor


@dataclass(frozen=True, eq=False)
class Features:
    """What a trunk says of images, on one device.

    Attributes:
        features: (P, ...) float32.
        labels_P: int64.
        offsets_PK: what is added to the logits before the loss; None: nothing.
    """

    features: Tensor
    labels_P: Tensor
    offsets_PK: Tensor | None = None

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features, labels and offsets of some rows."""
        return self.features[rows], self.labels_P[rows], None if self.offsets_PK is None else self.offsets_PK[rows]


def chunk_ends(pairs: int, views: int) -> list[tuple[int, int]]:
    """Where each of `views` epochs begins and ends in an order of all pairs of image and view; all of it where a part is too small."""
    ends = [(k * pairs // views, (k + 1) * pairs // views) for k in range(views)]
    return [(0, pairs) if end - start < 2 else (start, end) for start, end in ends]


def train_on_features(
    module: nn.Module,
    pool: Features,
    rows_M: Tensor,
    val: Features,
    objective: Objective,
    settings: TrainingSection,
    views: int,
    seed_parts: tuple[object, ...],
    folder: Path,
    *,
    parameters: list[nn.Parameter] | None = None,
    key: str = "",
) -> list[Row]:
    """Train a tail in place and leave it with the weights of the best validation epoch; files as in `classifier.train`.

    One epoch is as many pairs of image and view as there are images on average; `views` epochs go over all pairs once, in an order
    that is drawn anew after that.

    Args:
        module: features in, logits out; on the device of the pool.
        pool: features of all views of all images.
        rows_M: int64, the rows of the pool that this tail learns from.
        val: features of validation images; none keep the last epoch.
        parameters: what is trained; None is everything.

    Returns:
        The history, with the columns of `classifier.COLUMNS`.

    Raises:
        MetannError: the loss is not finite before any epoch is whole.
    """
    key = hashlib.sha256(json.dumps([settings.model_dump(), views, list(map(str, seed_parts)), key], sort_keys=True).encode()).hexdigest()
    module.to(memory_format=torch.channels_last)
    with training_only(module, parameters) as trained:
        trainer = FeatureTrainer(module, pool, rows_M, val, objective, settings, views, seed_parts, trained)
        return run_epochs(
            trainer,
            folder,
            epochs=settings.epochs,
            key=key,
            better=partial(better, select_by=objective.select_by),
            early_stop=settings.early_stop,
            device=rows_M.device,
            cure=f"lower learning_rate (now {settings.learning_rate})",
        )


class FeatureTrainer:
    """One tail and its optimizer."""

    def __init__(
        self,
        module: nn.Module,
        pool: Features,
        rows_M: Tensor,
        val: Features,
        objective: Objective,
        settings: TrainingSection,
        views: int,
        seed_parts: tuple[object, ...],
        trained: list[nn.Parameter],
    ) -> None:
        """Take everything as `train_on_features` does."""
        self.module, self.pool, self.rows_M, self.val, self.objective = module, pool, rows_M, val, objective
        self.settings, self.seed_parts, self.device = settings, seed_parts, rows_M.device
        self.optimizer = Sgd(trained, settings.momentum, settings.weight_decay)
        self.chunks = chunk_ends(len(rows_M), views)
        # As many batches as `images.batches` will cut.
        sizes = [max(end - start, 1) for start, end in self.chunks]
        steps = [max(math.ceil(n / settings.batch_size) - (n > settings.batch_size and n % settings.batch_size == 1), 1) for n in sizes]
        self.steps_before = [sum(steps[epoch % views] for epoch in range(number)) for number in range(settings.epochs + 1)]

    def epoch(self, number: int) -> dict[str, float]:
        """One part of the views; the rate is that of the last step."""
        torch.manual_seed(derive_seed(*self.seed_parts, "dropout", number))
        cycle, part = divmod(number - 1, len(self.chunks))
        generator = torch.Generator(self.device).manual_seed(derive_seed(*self.seed_parts, "views", cycle))
        start, end = self.chunks[part]
        order_M = self.rows_M[torch.randperm(len(self.rows_M), generator=generator, device=self.device)[start:end]]
        train_mode(self.module)
        settings, n = self.settings, len(order_M)
        loss_sum, right_sum, rate = torch.zeros((), device=self.device), torch.zeros((), device=self.device), 0.0
        for step, rows in enumerate(batches(order_M, settings.batch_size), start=self.steps_before[number - 1]):
            rate = settings.learning_rate * rate_factor(settings.schedule, step, self.steps_before[-1])
            features, labels_N, offsets_NK = self.pool.batch(rows)
            with autocast(self.device):
                logits_NK = self.module(features)
            logits_NK = logits_NK.float() if offsets_NK is None else logits_NK.float() + offsets_NK
            losses_N = self.objective.losses(logits_NK, labels_N)
            losses_N.mean().backward()
            self.optimizer.step(rate)
            with torch.no_grad():
                loss_sum += losses_N.detach().sum()
                right_sum += self.objective.right(logits_NK, labels_N).sum()
        return {"learning_rate": rate, "train_loss": loss_sum.item() / n, "train_accuracy": right_sum.item() / n}

    def validate(self) -> dict[str, float]:
        """Loss without smoothing and accuracy of the validation images; nan where there are none."""
        logits_NK = on_features(self.module, self.val.features, exact=False)
        logits_NK = logits_NK if self.val.offsets_PK is None else logits_NK + self.val.offsets_PK.cpu()
        return judged(self.objective, logits_NK, self.val.labels_P.cpu())

    def best_weights(self) -> dict[str, Tensor]:
        """The tail's."""
        return self.module.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Weights and steps so far."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])


def on_features(module: Callable[[Tensor], Tensor], features: Tensor, *, exact: bool = True) -> Tensor:
    """(N, K) float32 logits on the CPU of a tail in eval mode, batch by batch as `compute.inference.infer` runs whole networks."""
    if isinstance(module, nn.Module):
        module.eval()
    device = features.device
    with torch.inference_mode(), exact_arithmetic(device) if exact else autocast(device):
        return torch.cat([module(piece).float() for piece in in_pieces(features, device)]).cpu()
