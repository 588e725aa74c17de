"""What the frozen trunk of a body and the whole switch say of augmented views of the training images: computed once for all tails.

Shapes: N images, P pairs of image and view that some tail learns from, K classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metann.compute.inference import in_pieces
from metann.compute.normalise import normalise
from metann.compute.process import exact_arithmetic
from metann.mnn.expert_sets import belongs
from metann.mnn.lesson import Lesson
from metann.networks._split import tail_of, trunk_of
from metann.seeds import derive_seed
from metann.training.augmentation import random_crop, random_flip
from metann.training.objectives import class_probabilities


@dataclass(frozen=True, eq=False)
class Seen:
    """Images, or views of them, as trunk and switch see them; on the lesson's device.

    Attributes:
        features: (P, ...) float32 of the body's trunk.
        label_P: int64 on the CPU.
        switch_PK: float32 logits of the switch; of images as they are, only of the first ones, whose losses are wanted.
        p_PK: its probabilities, float32 on the CPU, as in its table.
    """

    features: Tensor
    label_P: np.ndarray
    switch_PK: Tensor
    p_PK: np.ndarray


def training_views(lesson: Lesson) -> Seen:
    """All augmented views that reach the dataset threshold for some class; the others are not kept.

    The views of an image do not depend on the threshold, nor on the classes that are trained.
    """
    rows, expert = lesson.data.samples.rows("train"), lesson.expert
    images = lesson.images(rows)
    parts = []
    for view in range(expert.views):
        generator = torch.Generator(lesson.device).manual_seed(derive_seed(lesson.seed, "train_expert", "view", view))
        pixels_NCHW = images.images_NCHW.to(lesson.device)
        if expert.crop_padding:
            pixels_NCHW = random_crop(pixels_NCHW, expert.crop_padding, generator)
        if expert.flip:
            pixels_NCHW = random_flip(pixels_NCHW, generator)
        parts.append(_look(lesson, pixels_NCHW, images.labels_N.numpy()))
    features, switch_PK = (torch.cat([getattr(part, name) for part in parts]) for name in ("features", "switch_PK"))
    p_PK, label_P = (np.concatenate([getattr(part, name) for part in parts]) for name in ("p_PK", "label_P"))
    return Seen(features, label_P, switch_PK, p_PK)


def plain(lesson: Lesson, rows: np.ndarray, judged: int) -> Seen:
    """Some images as they are; the switch looks at the first `judged` of them alone."""
    images = lesson.images(rows)
    return _look(lesson, images.images_NCHW, images.labels_N.numpy(), judged)


def _look(lesson: Lesson, images_NCHW: Tensor, label_N: np.ndarray, judged: int | None = None) -> Seen:
    """Batch by batch, as whole networks answer, so that a tail's features are those that the whole network computes.

    Args:
        judged: of so many images the switch's logits are wanted, and of all images the features; None: of all, and then only of those
            that reach the dataset threshold.
    """
    architecture, tail = lesson.header["architecture"], lesson.expert.tail
    normalisation = lesson.normalisation
    switch, body = (module.to(lesson.device).eval().to(memory_format=torch.channels_last) for module in (lesson.switch, lesson.body))
    trunk = trunk_of(body, architecture, tail)
    rest = tail_of(switch, architecture, tail) if body is switch else None
    features, logits, kept, begin = [], [], [], 0
    with torch.inference_mode(), exact_arithmetic(lesson.device):
        for piece in in_pieces(images_NCHW, lesson.device):
            pixels_NCHW = normalise(piece.to(lesson.device), normalisation.mean, normalisation.std)
            seen = trunk(pixels_NCHW) if rest is not None else None
            keep_B = np.ones(len(piece), bool)
            if judged is None or begin < judged:
                logits_BK = (switch(pixels_NCHW) if rest is None else rest(seen)).float()
                if judged is None:
                    keep_B = belongs(_rounded(logits_BK), None, lesson.dataset_threshold, lesson.unsure)
                logits.append(logits_BK[torch.from_numpy(np.flatnonzero(keep_B)).to(lesson.device)])
            if seen is None:  # the trunk of a second body: of what is kept alone
                features.append(trunk(_rows(pixels_NCHW, keep_B)).float())
            else:
                features.append(_rows(seen, keep_B).float())
            kept.append(keep_B)
            begin += len(piece)
    logits_PK = torch.cat(logits) if logits else torch.empty(0, len(lesson.data.info.class_names), device=lesson.device)
    return Seen(torch.cat(features), label_N[np.concatenate(kept)], logits_PK, _rounded(logits_PK))


def _rows(values: Tensor, keep_B: np.ndarray) -> Tensor:
    return values if keep_B.all() else values[torch.from_numpy(np.flatnonzero(keep_B)).to(values.device)]


def _rounded(logits_NK: Tensor) -> np.ndarray:
    return class_probabilities(logits_NK).float().cpu().numpy()
