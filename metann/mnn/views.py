"""What the frozen trunk of a body and the whole switch say of augmented views of the training images: computed once for all tails.

Shapes: N images, P pairs of image and view that some tail learns from, K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from metann.compute.inference import in_pieces, ready
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
        parts.append(_kept(lesson, pixels_NCHW, images.labels_N.numpy()))
    features, switch_PK = (torch.cat([getattr(part, name) for part in parts]) for name in ("features", "switch_PK"))
    p_PK, label_P = (np.concatenate([getattr(part, name) for part in parts]) for name in ("p_PK", "label_P"))
    return Seen(features, label_P, switch_PK, p_PK)


def plain(lesson: Lesson, rows: np.ndarray, judged: int) -> Seen:
    """Some images as they are; the switch looks at the first `judged` of them alone."""
    images, (trunk, logits_of, _) = lesson.images(rows), _passes(lesson)
    features, logits = [], [torch.empty(0, len(lesson.data.info.class_names), device=lesson.device)]
    with torch.inference_mode(), exact_arithmetic(lesson.device):
        for begin, pixels_NCHW in _pieces(lesson, images.images_NCHW):
            features.append(trunk(pixels_NCHW))
            if begin < judged:
                logits.append(logits_of(pixels_NCHW, features[-1]).float())
    switch_PK = torch.cat(logits)
    return Seen(torch.cat(features).float(), images.labels_N.numpy(), switch_PK, _rounded(switch_PK))


def _kept(lesson: Lesson, images_NCHW: Tensor, label_N: np.ndarray) -> Seen:
    """Of images those that reach the dataset threshold for some class."""
    trunk, logits_of, shared = _passes(lesson)
    features, logits, kept = [], [], []
    with torch.inference_mode(), exact_arithmetic(lesson.device):
        for _, pixels_NCHW in _pieces(lesson, images_NCHW):
            seen = trunk(pixels_NCHW) if shared else None
            logits_BK = logits_of(pixels_NCHW, seen).float()
            kept.append(belongs(_rounded(logits_BK), None, lesson.dataset_threshold, lesson.unsure))
            # The trunk of a second body: of what is kept alone.
            features.append(trunk(_rows(pixels_NCHW, kept[-1])) if seen is None else _rows(seen, kept[-1]))
            logits.append(_rows(logits_BK, kept[-1]))
    switch_PK = torch.cat(logits)
    return Seen(torch.cat(features).float(), label_N[np.concatenate(kept)], switch_PK, _rounded(switch_PK))


def _passes(lesson: Lesson) -> tuple[nn.Module, Callable[[Tensor, Tensor | None], Tensor], bool]:
    """The body's trunk; the switch's logits of pixels and of what the trunk says of them; whether that is the switch's own trunk."""
    architecture, tail = lesson.header["architecture"], lesson.expert.tail
    switch, body = (ready(module.to(lesson.device)) for module in (lesson.switch, lesson.body))
    trunk = trunk_of(body, architecture, tail)
    if body is not switch:
        return trunk, lambda pixels_NCHW, _: switch(pixels_NCHW), False
    rest = tail_of(switch, architecture, tail)
    return trunk, lambda _, seen: rest(seen), True


def _pieces(lesson: Lesson, images_NCHW: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Pixels batch by batch, as whole networks answer, so that a tail's features are those that the whole network computes; and the number
    of the first of each batch."""
    begin, normalisation = 0, lesson.normalisation
    for piece in in_pieces(images_NCHW, lesson.device):
        yield begin, normalise(piece.to(lesson.device), normalisation.mean, normalisation.std)
        begin += len(piece)


def _rows(values: Tensor, keep_B: np.ndarray) -> Tensor:
    return values if keep_B.all() else values[torch.from_numpy(np.flatnonzero(keep_B)).to(values.device)]


def _rounded(logits_NK: Tensor) -> np.ndarray:
    return class_probabilities(logits_NK).float().cpu().numpy()
