"""Training a generator on many tasks at once, as a trainer of `metann.training.loop.run_epochs`. An epoch is a block of steps.

Shapes: T training tasks, M tasks of one step, N images of each, D numbers of z, P generated numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metann.config.hypernetwork import ManyTasksSection
from metann.errors import MetannError
from metann.hypernetwork.classifiers import answer
from metann.hypernetwork.generators import Generator
from metann.hypernetwork.images import ClassImages, targets
from metann.hypernetwork.optimizers import OPTIMIZERS
from metann.hypernetwork.schemes import Task
from metann.seeds import derive_seed
from metann.training.optimizers import rate_factor

VALIDATION_IMAGES = 50  # of each class of a task, at most
SATURATED = 0.99


@dataclass
class ManyTasks:
    """Everything that training moves, and what it reads.

    Attributes:
        generator, classifier: on the device where training runs; the classifier's own parameters are not used.
        z_TD: leaf tensor; trained where it requires gradients.
        tasks: T, in the order of z's rows.
        train, val: images of all classes.
        settings: of the training.
        seed_parts: names every random draw.
    """

    generator: Generator
    classifier: nn.Module
    z_TD: Tensor
    tasks: Sequence[Task]
    train: ClassImages
    val: ClassImages
    settings: ManyTasksSection
    seed_parts: tuple[object, ...]

    def __post_init__(self) -> None:
        """Make the optimizer."""
        self.device = self.z_TD.device
        self.negative_T = torch.tensor([task.negative for task in self.tasks], device=self.device)
        self.positive_T = torch.tensor([task.positive for task in self.tasks], device=self.device)
        trained = [parameter for parameter in self.generator.parameters() if parameter.requires_grad]
        self.optimizer = OPTIMIZERS[self.settings.optimizer]([*trained, *([self.z_TD] if self.z_TD.requires_grad else [])])

    def epoch(self, number: int) -> dict[str, float]:
        """One block of steps."""
        settings, total = self.settings, torch.zeros(2, device=self.device)
        generator = torch.Generator(self.device).manual_seed(derive_seed(*self.seed_parts, "block", number))
        at_once = min(settings.tasks_per_step, len(self.tasks))
        truth_N = targets(settings.batch_size, self.device)
        rate = 0.0
        for step in range((number - 1) * settings.block, number * settings.block):
            rate = settings.learning_rate * rate_factor(settings.schedule, step, settings.steps)
            chosen_M = torch.randperm(len(self.tasks), generator=generator, device=self.device)[:at_once]
            rows_MN = self.train.draw(self.negative_T[chosen_M], self.positive_T[chosen_M], settings.batch_size // 2, generator)
            z_MD = self.z_TD[chosen_M]
            logits_MN = answer(self.classifier, self.generator(z_MD), self.train.batch(rows_MN))
            losses_M = task_losses(logits_MN, truth_N)
            (losses_M.sum() + settings.z_decay * z_MD.square().sum()).backward()
            self.optimizer.step(rate)
            with torch.no_grad():
                total += torch.stack([losses_M.mean(), ((logits_MN > 0) == (truth_N > 0)).float().mean()])
        loss, accuracy = (total / settings.block).tolist()
        return {"learning_rate": rate, "train_loss": loss, "train_accuracy": accuracy}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Validation images of the training tasks, and what the generated numbers are like."""
        each = min(VALIDATION_IMAGES, self.val.least(self.negative_T, self.positive_T))
        theta_TP = self.generator.flat(self.z_TD)
        row = {"val_loss": float("nan"), "val_accuracy": float("nan")}
        if each:
            rows_TN = self.val.first(self.negative_T, self.positive_T, each)
            logits_TN = answer_in_pieces(self.classifier, self.generator.split(theta_TP), self.val, rows_TN)
            truth_N = targets(2 * each, self.device)
            right = ((logits_TN > 0) == (truth_N > 0)).float().mean()
            row = {"val_loss": task_losses(logits_TN, truth_N).mean().item(), "val_accuracy": right.item()}
        square = theta_TP.square().mean(dim=0).sum()
        share = theta_TP.var(dim=0, correction=0).sum() / square
        saturated = (theta_TP.abs() > SATURATED * self.generator.limit_P).float().mean()
        return row | {"saturation": saturated.item(), "variance_share": share.item() if square > 0 else float("nan")}

    def state_dict(self) -> dict[str, Any]:
        """Generator, z and moments."""
        return {"generator": self.generator.state_dict(), "z": self.z_TD.detach(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.generator.load_state_dict(state["generator"])
        with torch.no_grad():
            self.z_TD.copy_(state["z"])
        self.optimizer.load_state_dict(state["optimizer"])

    def best_weights(self) -> dict[str, Tensor]:
        """The generator's state, and z."""
        return self.generator.state_dict() | {"z": self.z_TD.detach()}


def better(row: dict[str, Any], best: dict[str, Any]) -> bool:
    """By validation accuracy, then loss; always where there are no validation images."""
    if row["val_accuracy"] != row["val_accuracy"]:
        return True
    return (row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"])


def task_losses(logits_TN: Tensor, truth_N: Tensor) -> Tensor:
    """(T,) mean binary cross entropy of each task. Summed over tasks by who calls: their mean would divide every z's step by T."""
    return functional.binary_cross_entropy_with_logits(logits_TN, truth_N.expand_as(logits_TN), reduction="none").mean(dim=1)


def answer_in_pieces(
    classifier: nn.Module, parameters: dict[str, Tensor], images: ClassImages, rows_TN: Tensor, most: int = 4000
) -> Tensor:
    """(T, N) logits, at most so many images at a time."""
    step = max(most // max(rows_TN.shape[1], 1), 1)
    pieces = []
    for begin in range(0, len(rows_TN), step):
        mine = {name: value[begin : begin + step] for name, value in parameters.items()}
        pieces.append(answer(classifier, mine, images.batch(rows_TN[begin : begin + step])))
    return torch.cat(pieces)


def start_z(kind: str, tasks: int, z_size: int, device: torch.device) -> Tensor:
    """(T, D) task vectors before training: `fixed` one-hot rows, or `learned` ones, drawn about 1 long.

    Raises:
        MetannError: fewer numbers than tasks, where each task has one of its own.
    """
    if kind == "fixed":
        if z_size < tasks:
            raise MetannError(
                f"z is fixed and one-hot: {tasks} training tasks need z_size {tasks} or more, not {z_size}; or use z: learned"
            )
        return torch.eye(tasks, z_size, device=device)
    return (torch.randn(tasks, z_size) / z_size**0.5).to(device).requires_grad_(True)


@torch.no_grad()
def forget_unused(generator: Generator, z_TD: Tensor) -> int:
    """Set to 0 what multiplies numbers of z that are 0 in all training tasks: it would keep its random start, and adaptation stumble on it.

    Returns:
        How many numbers of z are so.
    """
    unused_D = (z_TD == 0).all(dim=0)
    reader = generator.inside.reads_z()
    if reader is not None:
        reader[:, unused_D] = 0
    return int(unused_D.sum())
