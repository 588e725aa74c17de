"""What all experts of a dataset threshold share, what they learn from and begin with, and how they answer.

The generic expert is for all classes: it learns from the images of every expert, to say which class an image is of.

N images, C channels, H x W pixels, K classes.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metann.compute.normalise import Normalisation
from metann.config.mnn import ExpertSection
from metann.cost.macs import count_macs
from metann.data.prepared import PreparedData
from metann.mnn.expert_sets import ExpertSet, belongs
from metann.mnn.objective import answers_for_all, silence
from metann.networks._build import build
from metann.networks._split import trunk_of
from metann.seeds import derive_seed
from metann.tables.samples import ExpertProbabilities, Probabilities
from metann.training.history import Row
from metann.training.images import LabelledImages
from metann.training.objectives import class_probabilities


@dataclass(frozen=True, eq=False)
class Lesson:
    """What all experts of one dataset threshold have in common.

    The switch and the body are never trained themselves.

    Attributes:
        data: images, samples and classes.
        p_NK: the switch's probabilities, in the order of the samples.
        chosen_by_NK: probabilities of the training images, in their order, by which they are chosen.
        dataset_threshold: in [0, 1].
        expert: the training, and what it starts from.
        seed: of the run.
        device: where to compute.
        switch, header: the switch, in eval mode, and what its weights file says of it.
        body: what experts start from, and whose trunk tails stand on; the switch, or another network built like it.
        unsure: they learn only from images whose top probability is below this; None: from all.
        key: what else the result depends on (code); part of the key of checkpoints.
    """

    data: PreparedData
    p_NK: np.ndarray
    chosen_by_NK: np.ndarray
    dataset_threshold: float
    expert: ExpertSection
    seed: int
    device: torch.device
    switch: nn.Module
    header: Mapping[str, Any]
    body: nn.Module
    unsure: float | None = None
    key: str = ""

    @cached_property
    def asked(self) -> np.ndarray:
        """Rows of the images that experts answer: of validation, then of test."""
        return np.concatenate([self.data.samples.rows("val"), self.data.samples.rows("test")])

    @cached_property
    def asked_images(self) -> Tensor:
        """These images, on the device."""
        return self.images(self.asked).to(self.device).images_NCHW

    @property
    def normalisation(self) -> Normalisation:
        """Of the pixels, by the switch's weights file."""
        return Normalisation(tuple(self.header["mean"]), tuple(self.header["std"]))

    def images(self, rows: np.ndarray) -> LabelledImages:
        """Some images and their classes."""
        return LabelledImages.of(self.data.images_NCHW, self.data.samples.label, rows)


@dataclass(frozen=True)
class Expert:
    """One expert, trained or not.

    Attributes:
        facts: its expert set, and with it whether it was trained.
        module: its network; the switch's own weights where it was not trained.
        history: its epochs; empty where it was not trained.
        answers: for the asked images: (N,) float64 probability of its class; or (N, K) float32 probabilities of all classes
            (`objective.answers_for_all`). The switch's own where it was not trained.
        log_partition: (N,) float32, logsumexp of its logits, with answers for all classes; else None.
    """

    facts: ExpertSet
    module: nn.Module
    history: list[Row]
    answers: np.ndarray
    log_partition: np.ndarray | None = None


def set_of(class_index: int | None, lesson: Lesson) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training and of the validation images that an expert learns from, as the switch sees them."""
    chosen = (class_index, lesson.dataset_threshold, lesson.unsure)
    train_rows, val_rows = lesson.data.samples.rows("train"), lesson.data.samples.rows("val")
    return train_rows[belongs(lesson.chosen_by_NK, *chosen)], val_rows[belongs(lesson.p_NK[val_rows], *chosen)]


def announced(class_index: int | None, lesson: Lesson, facts: ExpertSet) -> ExpertSet:
    """The facts, after a line in the log."""
    name = "all classes" if class_index is None else f"class {class_index} ({lesson.data.info.class_names[class_index]})"
    print(f"{name}: {facts.size} training images, {facts.positives} of the class, {facts.state}", flush=True)
    return facts


def seed_parts_of(class_index: int | None, lesson: Lesson) -> tuple[object, ...]:
    """What names an expert's random draws."""
    return (lesson.seed, "train_generic") if class_index is None else (lesson.seed, "train_expert", class_index, lesson.dataset_threshold)


def beginning(class_index: int | None, lesson: Lesson) -> nn.Module:
    """The whole network that an expert's training begins with."""
    info, expert, header = lesson.data.info, lesson.expert, lesson.header
    module = copy.deepcopy(lesson.body).requires_grad_(True)
    if expert.start == "scratch":
        torch.manual_seed(derive_seed(*seed_parts_of(class_index, lesson), "weights"))
        module = build(header["architecture"], len(info.class_names), info.channels, info.image_size, **header["settings"])
    elif expert.objective != "published" and expert.body == "switch":
        silence(module)
    return module


def as_long(expert: ExpertSection, size: int, images_seen: int | None) -> ExpertSection:
    """The training, with so many epochs that a number of images is seen; None: as configured."""
    return expert if images_seen is None else expert.model_copy(update={"epochs": max(round(images_seen / max(size, 1)), 1)})


def untrained(class_index: int | None, lesson: Lesson, facts: ExpertSet, module: nn.Module) -> Expert:
    """An expert that answers as the switch does."""
    p_NK = lesson.p_NK[lesson.asked]
    if answers_for_all(lesson.expert.objective, class_index):
        return Expert(facts, module, [], p_NK, np.zeros(len(p_NK), np.float32))
    return Expert(facts, module, [], p_NK[:, class_index])


def answered(class_index: int | None, lesson: Lesson, facts: ExpertSet, module: nn.Module, history: list[Row], logits_NK: Tensor) -> Expert:
    """A trained expert, whose logits for the asked images are its answers."""
    p_NK = class_probabilities(logits_NK)
    if answers_for_all(lesson.expert.objective, class_index):
        return Expert(facts, module, history, p_NK.float().numpy(), logits_NK.double().logsumexp(dim=1).float().numpy())
    return Expert(facts, module, history, p_NK[:, class_index].numpy())


def described(lesson: Lesson, expert: Expert, metadata: Mapping[str, Any]) -> ExpertProbabilities | Probabilities:
    """The table of what an expert says of validation and test images: of its class, or of all classes."""
    info, samples = lesson.data.info, lesson.data.samples
    metadata = dict(metadata) | {"dataset": info.name, "digest": info.digest, "class_names": list(info.class_names)}
    keys = [column[lesson.asked] for column in (samples.sample_id, samples.split, samples.label)]
    if expert.log_partition is None:
        return ExpertProbabilities(*keys, metadata, expert_probability=expert.answers)
    return Probabilities(*keys, metadata, p_NK=expert.answers, log_partition=expert.log_partition)


def costs_of(lesson: Lesson, switch_macs: int | None) -> dict[str, Any]:
    """Multiply-accumulates per image of one expert: `macs`; and, of tails on a second trunk, of that trunk: `trunk_macs`.

    Args:
        switch_macs: of the switch, where its table knows; to count again would cost each job an import of 0.2 s.
    """
    info, tail = lesson.data.info, lesson.expert.tail
    whole = switch_macs or count_macs(lesson.switch, info.channels, info.image_size)
    if not tail:
        return {"macs": whole}
    trunk = count_macs(trunk_of(lesson.body, lesson.header["architecture"], tail), info.channels, info.image_size)
    return {"macs": whole - trunk} | ({"trunk_macs": trunk} if lesson.expert.body == "second" else {})
