"""Experts that are whole networks: each learns whether an image is of its class, from the images that the switch gives that class a
chance on, and then answers.
"""

import copy
import time
from pathlib import Path

from metann.compute.inference import infer
from metann.mnn.expert_sets import describe
from metann.mnn.lesson import Expert, Lesson, announced, answered, as_long, beginning, seed_parts_of, set_of, untrained
from metann.mnn.objective import Beside, loss_of
from metann.tables.probabilities import digest_of
from metann.training.classifier import train
from metann.weights.head import head_parameters


def train_one(class_index: int | None, lesson: Lesson, folder: Path, images_seen: int | None = None) -> Expert:
    """Choose the images of one expert, train it as a whole network and have it answer.

    An expert without training images, or with images of one side only, is not trained: it answers as the switch does.

    Args:
        class_index: its class; None: the generic expert.
        folder: for the checkpoint and the history of its epochs; who calls removes the checkpoint when the outputs are safe.
        images_seen: train for so many images instead of the configured epochs.

    Raises:
        MetannError: the training diverged in its first epoch.
    """
    info, samples = lesson.data.info, lesson.data.samples
    train_rows, val_rows = set_of(class_index, lesson)
    facts = announced(class_index, lesson, describe(class_index, samples.label[train_rows], samples.label[val_rows], len(info.class_names)))
    module = beginning(class_index, lesson)
    if facts.state != "trained":
        return untrained(class_index, lesson, facts, module)
    expert = as_long(lesson.expert, facts.size, images_seen)
    start = digest_of(*(value.numpy() for value in module.state_dict().values()))
    beside = expert.objective != "published"
    trained = Beside(module, copy.deepcopy(lesson.switch), expert.objective, class_index) if beside else module
    parameters = head_parameters(module) if expert.train == "head" else list(module.parameters()) if beside else None
    history = train(
        trained.to(lesson.device),
        lesson.images(train_rows),
        lesson.images(val_rows),
        lesson.normalisation,
        loss_of(expert.objective, class_index, expert.label_smoothing),
        expert,
        seed_parts_of(class_index, lesson),
        folder,
        parameters=parameters,
        hard=expert.sampler == "hard",
        key=f"{info.digest} {start} {digest_of(train_rows, val_rows)} {lesson.key}",
    )
    begin = time.perf_counter()
    logits_NK = infer(module, lesson.asked_images, lesson.normalisation)
    print(f"{len(lesson.asked)} images answered in {time.perf_counter() - begin:.2f} s", flush=True)
    return answered(class_index, lesson, facts, module, history, logits_NK)
