"""What a trained generator's classifiers do: on each other's tasks, between a task and its mirror, and for all classes at once.

Shapes: T training tasks, K classes, N images, D numbers of z, P generated numbers, A positions on a way, R learning rates.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metann.config.hypernetwork import AdaptationSection
from metann.hypernetwork.classifiers import answer
from metann.hypernetwork.images import ClassImages, targets
from metann.hypernetwork.many_tasks import task_losses
from metann.hypernetwork.model import TrainedGenerator
from metann.hypernetwork.optimizers import Adam
from metann.hypernetwork.schemes import Task
from metann.seeds import derive_seed

IMAGES = 100  # of each class, at most, that reliance and interpolation are measured on
POSITIONS = tuple(position / 10 for position in range(11))


@torch.no_grad()
def logits_of(trained: TrainedGenerator, z_TD: Tensor, images: ClassImages, rows_N: Tensor, at_once: int = 4000) -> np.ndarray:
    """(T, N) logits of the classifiers of z on the same images."""
    parameters = trained.generator(z_TD)
    pieces = []
    for piece in rows_N.split(max(at_once // len(z_TD), 1)):
        pixels_NCHW = images.batch(piece[None])[0]
        pieces.append(answer(trained.classifier, parameters, pixels_NCHW.expand(len(z_TD), *pixels_NCHW.shape)).cpu())
    return torch.cat(pieces, dim=1).numpy()


def some_of_each(images: ClassImages, classes: Sequence[int], most: int = IMAGES) -> tuple[Tensor, dict[int, slice]]:
    """Rows of the first images of classes, and where each class lies among them."""
    rows, place, begin = [], {}, 0
    for k in classes:
        rows.append(images.rows(k)[:most])
        place[k] = slice(begin, begin + len(rows[-1]))
        begin += len(rows[-1])
    return torch.cat(rows), place


def right(logits_N: np.ndarray, task: Task, place: dict[int, slice]) -> tuple[int, int]:
    """(right, all) images of a task, from one classifier's logits on the images of all classes."""
    negative, positive = logits_N[place[task.negative]], logits_N[place[task.positive]]
    return int((negative <= 0).sum() + (positive > 0).sum()), len(negative) + len(positive)


def reliance_table(trained: TrainedGenerator, tasks: Sequence[Task], images: ClassImages) -> dict[str, np.ndarray]:
    """Every trained z on every training task: task_i, z_j, n, correct. Each classifier answers about every image once."""
    indices = trained.header["tasks"]
    rows_N, place = some_of_each(images, sorted({k for i in indices for k in tasks[i][:2]}))
    logits_TN = logits_of(trained, trained.z_TD, images, rows_N)
    found = [(i, j, *right(logits_TN[row], tasks[i], place)) for i in indices for row, j in enumerate(indices)]
    task_i, z_j, correct, n = np.array(found).T
    return {"task_i": task_i.astype(np.int16), "z_j": z_j.astype(np.int16), "n": n.astype(np.int32), "correct": correct.astype(np.int32)}


def interpolation_table(
    trained: TrainedGenerator, tasks: Sequence[Task], mirrors: Sequence[int], images: ClassImages
) -> dict[str, np.ndarray]:
    """The way from a training task's z to that of its mirror, judged by the labels of the task where it starts."""
    indices = trained.header["tasks"]
    pairs = [(i, mirrors[i]) for i in indices if mirrors[i] in indices and not tasks[i].flipped]
    found = []
    for i, mirror in pairs:
        rows_N, place = some_of_each(images, tasks[i][:2])
        position_A = torch.tensor(POSITIONS, device=trained.z_TD.device)
        z_AD = torch.lerp(trained.z_TD[indices.index(i)], trained.z_TD[indices.index(mirror)], position_A[:, None])
        logits_AN = logits_of(trained, z_AD, images, rows_N)
        found += [(i, mirror, position, *right(logits_N, tasks[i], place)) for position, logits_N in zip(POSITIONS, logits_AN, strict=True)]
    task, mirror, position, correct, n = np.array(found).reshape(-1, 5).T
    return {
        "task": task.astype(np.int16),
        "mirror": mirror.astype(np.int16),
        "position": position,
        "n": n.astype(np.int32),
        "correct": correct.astype(np.int32),
    }


def learn_classes(trained: TrainedGenerator, images: ClassImages, settings: AdaptationSection, seed_parts: tuple[object, ...]) -> Tensor:
    """(R, K, D) one z for each class against the rest, by every learning rate; only z moves.

    Half of each batch is of the class, half of all others, each of them as often as it has images.
    """
    classes, rates = len(images.count_K), settings.learning_rates
    device = images.start_K.device
    generator = torch.Generator().manual_seed(derive_seed(*seed_parts, "classes"))
    z_QD = trained.z_TD.mean(dim=0).repeat(len(rates) * classes, 1).requires_grad_(True)
    rate_Q = torch.tensor(rates, device=device).repeat_interleave(classes)
    optimizer = Adam([z_QD])
    each, truth_N = settings.batch_size // 2, targets(settings.batch_size, device)
    start_K1, count_K1, total = images.start_K[:, None], images.count_K[:, None], int(images.count_K.sum())
    for _ in range(settings.steps):
        share_KN = torch.rand(classes, settings.batch_size, generator=generator).to(device)
        own_KN = start_K1 + (share_KN[:, each:] * count_K1).long()
        others_KN = (share_KN[:, :each] * (total - count_K1)).long()
        others_KN += count_K1 * (others_KN >= start_K1)  # images lie sorted by class: step over the class's own
        pixels = images.batch(torch.cat([others_KN, own_KN], dim=1)).repeat(len(rates), 1, 1, 1, 1)
        task_losses(answer(trained.classifier, trained.generator(z_QD), pixels), truth_N).sum().backward()
        optimizer.step(rate_Q)
    return z_QD.detach().view(len(rates), classes, -1)
