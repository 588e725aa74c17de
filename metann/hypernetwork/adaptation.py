"""Learning held-out tasks: all problems of an arm at once, each with images, moments and a learning rate of its own.

Shapes: Q problems (a held-out task and a draw of its images), S images of a problem's support (half of them positive), N test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from metann.config.hypernetwork import AdaptationSection
from metann.hypernetwork.arms import Arm, Moved
from metann.hypernetwork.classifiers import answer
from metann.hypernetwork.images import ClassImages, targets
from metann.hypernetwork.many_tasks import answer_in_pieces, task_losses
from metann.hypernetwork.optimizers import Adam
from metann.hypernetwork.schemes import Task
from metann.seeds import derive_seed

MOST_NUMBERS = 4_000_000  # that move at once: four times as many floats, with their gradients and moments
SUPPORT_MEASURED = 20  # images of each class, of which the support's loss is recorded
CURVE_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True, eq=False)
class Problems:
    """Tasks to be learned, and the images that each is learned from.

    Attributes:
        task_Q, draw_Q: which task, and which draw of its images.
        negative_Q, positive_Q: classes.
        support_QS: rows of the training images, the negative half first.
        rate_Q: learning rates.
    """

    task_Q: Tensor
    draw_Q: Tensor
    negative_Q: Tensor
    positive_Q: Tensor
    support_QS: Tensor
    rate_Q: Tensor

    def part(self, begin: int, end: int) -> "Problems":
        """Some of the problems."""
        return Problems(*(value[begin:end] for value in vars(self).values()))

    def __len__(self) -> int:
        return len(self.task_Q)


@dataclass(frozen=True, eq=False)
class Curve:
    """Losses and accuracies of every problem at a few steps; R recorded steps.

    Attributes:
        steps: R.
        support_loss_QR, test_loss_QR, test_accuracy_QR: float32.
    """

    steps: tuple[int, ...]
    support_loss_QR: np.ndarray
    test_loss_QR: np.ndarray
    test_accuracy_QR: np.ndarray


def make_problems(
    indices: Sequence[int], tasks: Sequence[Task], draws: int, shots: int, rates: Sequence[float], images: ClassImages, seed: int
) -> Problems:
    """Every rate, task and draw, in this order. Draws are nested: the images of fewer shots are among those of more.

    Args:
        indices: of the tasks, in `tasks`.
        shots: images of each class; 0 for arms that need none.
        seed: of the run; names the draws together with task and draw.
    """
    device = images.start_K.device
    found, supports = [], {}
    for index in indices:
        for draw in range(draws):
            sides = []
            for k in tasks[index][:2]:
                generator = torch.Generator().manual_seed(derive_seed(seed, "support", index, draw, k))
                order_N = torch.randperm(int(images.count_K[k]), generator=generator)
                sides.append(images.start_K[k].cpu() + order_N[:shots])
            supports[index, draw] = torch.cat(sides)
    for rate in rates:
        found += [(index, draw, tasks[index].negative, tasks[index].positive, rate) for index in indices for draw in range(draws)]
    columns = list(zip(*found, strict=True))
    task_Q, draw_Q, negative_Q, positive_Q = (torch.tensor(column, device=device) for column in columns[:4])
    support_QS = torch.stack([supports[index, draw] for index, draw, *_ in found]).to(device)
    return Problems(task_Q, draw_Q, negative_Q, positive_Q, support_QS, torch.tensor(columns[4], device=device))


def adapt(
    arm: Arm,
    classifier: nn.Module,
    problems: Problems,
    images: ClassImages,
    test: ClassImages,
    settings: AdaptationSection,
    seed_parts: tuple[object, ...],
    *,
    curve: bool = True,
) -> tuple[Moved, Moved, Curve]:
    """Learn all problems.

    Args:
        images: that the supports are rows of.
        test: whose first images of both classes the curve is measured on.
        seed_parts: names the batches; the same for all arms, so that they learn from the same images in the same order.
        curve: record the course over steps; else the end alone.

    Returns:
        What moved, and the parameters of the classifiers, with Q in front; and the curve.
    """
    support = problems.support_QS.shape[1]
    steps = settings.steps if arm.start else 0
    recorded = (*(step for step in CURVE_STEPS if step < steps), steps) if curve else (steps,)
    batches = _batches(len(problems), support, settings, seed_parts) if arm.start else []
    at_once = max(MOST_NUMBERS // max(arm.trained_numbers, 1), 1)
    parts = []
    for begin in range(0, len(problems), at_once):
        mine = [batch[begin : begin + at_once] for batch in batches]
        parts.append(_adapt(arm, classifier, problems.part(begin, begin + at_once), images, test, settings, recorded, mine))
    moved = {name: torch.cat([part[0][name] for part in parts]) for name in parts[0][0]}
    networks = {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}
    losses = [np.concatenate([part[2][i] for part in parts]) for i in range(3)]
    return moved, networks, Curve(recorded, *losses)


def _batches(problems: int, support: int, settings: AdaptationSection, seed_parts: tuple[object, ...]) -> list[Tensor]:
    """For each step the columns of the support, (Q, batch); the whole support where it is no larger than a batch."""
    if support <= settings.batch_size:
        return [torch.arange(support).expand(problems, -1)] * settings.steps
    generator = torch.Generator().manual_seed(derive_seed(*seed_parts, "batches"))
    half, each = support // 2, settings.batch_size // 2
    offset = (torch.arange(settings.batch_size) >= each).long() * half
    return [torch.randint(0, half, (problems, settings.batch_size), generator=generator) + offset for _ in range(settings.steps)]


def _adapt(
    arm: Arm,
    classifier: nn.Module,
    problems: Problems,
    images: ClassImages,
    test: ClassImages,
    settings: AdaptationSection,
    recorded: tuple[int, ...],
    batches: list[Tensor],
) -> tuple[Moved, Moved, list[np.ndarray]]:
    device, count = problems.task_Q.device, len(problems)
    moved = {
        name: value.detach().expand(count, *value.shape).clone(memory_format=torch.contiguous_format).requires_grad_(True)
        for name, value in arm.start.items()
    }
    optimizer = Adam(list(moved.values()))
    measured_QS = _first_of_both(problems.support_QS, SUPPORT_MEASURED)
    least = min(settings.curve_images, test.least(problems.negative_Q, problems.positive_Q))
    test_QN = test.first(problems.negative_Q, problems.positive_Q, least)
    columns: list[list[Tensor]] = [[], [], []]

    @torch.no_grad()
    def record() -> Moved:
        networks = {
            name: value.expand(count, *value.shape[1:]) for name, value in _networks(arm, classifier, moved, images, problems).items()
        }
        for place, (source, rows_QN) in enumerate(((images, measured_QS), (test, test_QN))):
            truth_N = targets(rows_QN.shape[1], device)
            if not len(truth_N):  # an arm that needs no images
                columns[place].append(torch.full((count,), torch.nan, device=device))
                continue
            logits_QN = answer_in_pieces(classifier, networks, source, rows_QN)
            columns[place].append(task_losses(logits_QN, truth_N))
            if place:
                columns[2].append(((logits_QN > 0) == (truth_N > 0)).float().mean(dim=1))
        return networks

    if 0 in recorded:
        networks = record()
    for step, batch in enumerate(batches, start=1):
        rows_QN = problems.support_QS.gather(1, batch.to(device))
        logits_QN = answer(classifier, arm.networks(moved), images.batch(rows_QN))
        # Summed and not averaged: a mean would divide every problem's gradient by the number of problems.
        task_losses(logits_QN, targets(rows_QN.shape[1], device)).sum().backward()
        optimizer.step(problems.rate_Q)
        if step in recorded:
            networks = record()
    kept = {name: value.detach() for name, value in moved.items()}
    return kept, networks, [torch.stack(column, dim=1).cpu().numpy() for column in columns]


def _networks(arm: Arm, classifier: nn.Module, moved: Moved, images: ClassImages, problems: Problems) -> Moved:
    """The classifiers of all problems; of candidates the one with the least loss on the problem's images."""
    if arm.candidates is None:
        return arm.networks(moved)
    chosen = []
    for support_S in problems.support_QS:
        rows_JS = support_S.expand(len(next(iter(arm.candidates.values()))), -1)
        logits_JS = answer_in_pieces(classifier, arm.candidates, images, rows_JS)
        chosen.append(int(task_losses(logits_JS, targets(len(support_S), logits_JS.device)).argmin()))
    return {name: value[chosen] for name, value in arm.candidates.items()}


def _first_of_both(support_QS: Tensor, most: int) -> Tensor:
    negative_QS, positive_QS = support_QS.chunk(2, dim=1)
    return torch.cat([negative_QS[:, :most], positive_QS[:, :most]], dim=1)


@torch.no_grad()
def all_logits(
    classifier: nn.Module, networks: Moved, problem: int, images: ClassImages, negative: int, positive: int
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) logits of one problem's classifier on all images of both classes, and (N,) bool: is it positive?"""
    rows_N = torch.cat([images.rows(negative), images.rows(positive)])
    mine = {name: value[problem : problem + 1] for name, value in networks.items()}
    pieces = [answer(classifier, mine, images.batch(piece[None]))[0] for piece in rows_N.split(1000)]
    truth_N = np.arange(len(rows_N)) >= int(images.count_K[negative])
    return torch.cat(pieces).cpu().numpy(), truth_N
