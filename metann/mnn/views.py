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
        switch_PK: float32 logits of the switch.
        p_PK: its probabilities, float32 on the CPU, as in its table.
        label_P: int64 on the CPU.
    """

    features: Tensor
    switch_PK: Tensor
    p_PK: np.ndarray
    label_P: np.ndarray


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
        parts.append(_look(lesson, pixels_NCHW, images.labels_N.numpy(), everything=False))
    joined = (torch.cat([getattr(part, name) for part in parts]) for name in ("features", "switch_PK"))
    return Seen(*joined, *(np.concatenate([getattr(part, name) for part in parts]) for name in ("p_PK", "label_P")))


def plain(lesson: Lesson, rows: np.ndarray) -> Seen:
    """Some images as they are."""
    images = lesson.images(rows)
    return _look(lesson, images.images_NCHW, images.labels_N.numpy(), everything=True)


def _look(lesson: Lesson, images_NCHW: Tensor, label_N: np.ndarray, *, everything: bool) -> Seen:
    """Batch by batch, as whole networks answer, so that a tail's features are those that the whole network computes."""
    architecture, tail = lesson.header["architecture"], lesson.expert.tail
    normalisation = lesson.normalisation
    switch, body = (module.to(lesson.device).eval().to(memory_format=torch.channels_last) for module in (lesson.switch, lesson.body))
    trunk = trunk_of(body, architecture, tail)
    rest = tail_of(switch, architecture, tail) if body is switch else None
    features, logits, kept = [], [], []
    with torch.inference_mode(), exact_arithmetic(lesson.device):
        for piece in in_pieces(images_NCHW, lesson.device):
            pixels_NCHW = normalise(piece.to(lesson.device), normalisation.mean, normalisation.std)
            seen = trunk(pixels_NCHW) if rest is not None else None
            logits_BK = (switch(pixels_NCHW) if rest is None else rest(seen)).float()
            keep_B = np.ones(len(piece), bool)
            if not everything:
                keep_B = belongs(_rounded(logits_BK), None, lesson.dataset_threshold, lesson.unsure)
            rows = torch.from_numpy(np.flatnonzero(keep_B)).to(lesson.device)
            if seen is None:  # the trunk of a second body: of what is kept alone
                features.append(trunk(pixels_NCHW if keep_B.all() else pixels_NCHW[rows]).float())
            else:
                features.append(seen.float() if keep_B.all() else seen[rows].float())
            logits.append(logits_BK[rows])
            kept.append(keep_B)
    logits_PK = torch.cat(logits)
    return Seen(torch.cat(features), logits_PK, _rounded(logits_PK), label_N[np.concatenate(kept)])


def _rounded(logits_NK: Tensor) -> np.ndarray:
    return class_probabilities(logits_NK).float().cpu().numpy()
