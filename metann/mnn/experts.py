"""Experts: each learns whether an image is of its class, from the images that the switch gives that class a chance on, and then answers.

N images, C channels, H x W pixels, K classes.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metann.compute.inference import infer
from metann.compute.normalise import Normalisation
from metann.config.mnn import ExpertSection
from metann.data.prepared import PreparedData
from metann.mnn.expert_sets import ExpertSet, active, describe
from metann.networks._build import build
from metann.seeds import derive_seed
from metann.tables.probabilities import digest_of
from metann.training.classifier import train
from metann.training.history import Row
from metann.training.images import LabelledImages
from metann.training.objectives import OneClass, class_probabilities
from metann.weights.head import head_parameters


@dataclass(frozen=True, eq=False)
class Lesson:
    """What all experts of one dataset threshold have in common.

    Attributes:
        data: images, samples and classes.
        p_NK: the switch's probabilities, in the order of the samples.
        chosen_by_NK: probabilities of the training images, in their order, by which they are chosen.
        dataset_threshold: in [0, 1].
        expert: the training, and what it starts from.
        seed: of the run.
        device: where to compute.
        key: what else the result depends on (code); part of the key of checkpoints.
    """

    data: PreparedData
    p_NK: np.ndarray
    chosen_by_NK: np.ndarray
    dataset_threshold: float
    expert: ExpertSection
    seed: int
    device: torch.device
    key: str = ""

    @cached_property
    def asked(self) -> np.ndarray:
        """Rows of the images that experts answer: of validation, then of test."""
        return np.concatenate([self.data.samples.rows("val"), self.data.samples.rows("test")])

    @cached_property
    def asked_images(self) -> Tensor:
        """These images, on the device."""
        return self.images(self.asked).to(self.device).images_NCHW

    def images(self, rows: np.ndarray) -> LabelledImages:
        return LabelledImages.of(self.data.images_NCHW, self.data.samples.label, rows)


@dataclass(frozen=True)
class Expert:
    """One expert, trained or not.

    Attributes:
        facts: its expert set, and with it whether it was trained.
        module: its network; the switch's own weights where it was not trained.
        history: its epochs; empty where it was not trained.
        answers_N: float64 probability of its class, for the asked images; the switch's own where it was not trained.
    """

    facts: ExpertSet
    module: nn.Module
    history: list[Row]
    answers_N: np.ndarray


def train_one(class_index: int, lesson: Lesson, switch: nn.Module, header: Mapping[str, Any], folder: Path) -> Expert:
    """Choose the images of one expert, train it and have it answer.

    An expert without training images, or with images of one side only, is not trained: it answers as the switch does.

    Args:
        class_index: its class.
        switch: the switch, for this expert alone: it is what is trained, or given back untrained.
        header: of the switch's weights; an expert that begins anew is built as it says.
        folder: for the checkpoint and the history of its epochs; who calls removes the checkpoint when the outputs are safe.

    Raises:
        MetannError: the training diverged in its first epoch.
    """
    info, samples, expert, module = lesson.data.info, lesson.data.samples, lesson.expert, switch
    train_rows, val_rows = samples.rows("train"), samples.rows("val")
    train_rows = train_rows[active(lesson.chosen_by_NK[:, class_index], lesson.dataset_threshold)]
    val_rows = val_rows[active(lesson.p_NK[val_rows, class_index], lesson.dataset_threshold)]
    facts = describe(class_index, samples.label[train_rows], samples.label[val_rows], len(info.class_names))
    name = f"class {class_index} ({info.class_names[class_index]})"
    print(f"{name}: {facts.size} training images, {facts.positives} of the class, {facts.state}", flush=True)
    if facts.state != "trained":
        return Expert(facts, module, [], lesson.p_NK[lesson.asked, class_index])
    seed_parts = (lesson.seed, "train_expert", class_index, lesson.dataset_threshold)
    if expert.start == "scratch":
        torch.manual_seed(derive_seed(*seed_parts, "weights"))
        module = build(header["architecture"], len(info.class_names), info.channels, info.image_size, **header["settings"])
    start = digest_of(*(value.numpy() for value in module.state_dict().values()))
    normalisation = Normalisation(tuple(header["mean"]), tuple(header["std"]))
    history = train(
        module.to(lesson.device),
        lesson.images(train_rows),
        lesson.images(val_rows),
        normalisation,
        OneClass(class_index, expert.label_smoothing),
        expert,
        seed_parts,
        folder,
        parameters=head_parameters(module) if expert.train == "head" else None,
        hard=expert.sampler == "hard",
        key=f"{info.digest} {start} {digest_of(train_rows, val_rows)} {lesson.key}",
    )
    begin = time.perf_counter()
    answers_N = class_probabilities(infer(module, lesson.asked_images, normalisation))[:, class_index].numpy()
    print(f"{len(lesson.asked)} images answered in {time.perf_counter() - begin:.2f} s", flush=True)
    return Expert(facts, module, history, answers_N)
