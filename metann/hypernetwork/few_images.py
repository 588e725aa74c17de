"""A new task from a user's images of two classes, and how sure one can be of it.

Shapes: N images, F folds, S images of a support (half of them positive).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metann.config.hypernetwork import AdaptationSection
from metann.hypernetwork.adaptation import Problems, adapt
from metann.hypernetwork.arms import Given, z_adapt
from metann.hypernetwork.classifiers import answer
from metann.hypernetwork.images import ClassImages
from metann.hypernetwork.model import TrainedGenerator

LEAVE_ONE_OUT = 40  # images up to which each is left out alone; above, ten folds
FOLDS = 10


@dataclass(frozen=True, eq=False)
class Learned:
    """A task that was learned.

    Attributes:
        z_D: what was found.
        folds: how often the task was learned without some of the images; 0 where no image can be spared.
        right_N: bool, whether the classifier that had not seen an image was right about it; empty without folds.
    """

    z_D: Tensor
    folds: int
    right_N: np.ndarray


def folds_of(negative: int, positive: int) -> np.ndarray:
    """(N,) the fold of each image, negative ones first: one for each image where they are few, else ten that share out both classes."""
    if negative + positive <= LEAVE_ONE_OUT:
        return np.arange(negative + positive)
    return np.concatenate([np.arange(negative) % FOLDS, np.arange(positive) % FOLDS])


def support_without(fold_N: np.ndarray, negative: int, fold: int) -> np.ndarray:
    """(S,) rows of the images outside a fold, as many of both classes: those of the smaller class come again, in turn."""
    kept = np.flatnonzero(fold_N != fold)
    sides = [kept[kept < negative], kept[kept >= negative]]
    most = max(negative, len(fold_N) - negative)
    return np.concatenate([np.resize(side, most) for side in sides])


def learn_task(trained: TrainedGenerator, images: ClassImages, settings: AdaptationSection, rate: float, seed: int) -> Learned:
    """Move z alone, once on all images and once without each fold; the generator stays as it is.

    Args:
        images: of two classes, the negative one first.
        settings: steps and batch size.
        rate: Adam's, chosen before these images were seen, so that the images left out are a fair test.
        seed: of the order in which images are learned from.
    """
    negative, positive = (int(count) for count in images.count_K)
    fold_N = folds_of(negative, positive)
    # A class of one image cannot spare it.
    folds = int(fold_N.max()) + 1 if min(negative, positive) > 1 else 0
    supports = [support_without(fold_N, negative, fold) for fold in (-1, *range(folds))]
    count, device = len(supports), images.start_K.device
    zeros = torch.zeros(count, dtype=torch.int64, device=device)
    support_QS = torch.from_numpy(np.stack(supports)).to(device)
    problems = Problems(zeros, zeros, zeros, zeros + 1, support_QS, torch.full((count,), rate, device=device))
    arm = z_adapt(Given(trained))
    moved, networks, _ = adapt(arm, trained.classifier, problems, images, images, settings, (seed, "adapt"), curve=False)
    right_N = np.zeros(negative + positive if folds else 0, bool)
    for fold in range(folds):
        rows_N = np.flatnonzero(fold_N == fold)
        mine = {name: value[fold + 1 : fold + 2] for name, value in networks.items()}
        with torch.no_grad():
            logits_N = answer(trained.classifier, mine, images.batch(torch.from_numpy(rows_N).to(device)[None]))[0].cpu().numpy()
        right_N[rows_N] = (logits_N > 0) == (rows_N >= negative)
    return Learned(moved["z"][0], folds, right_N)
