"""Experts that are tails: they learn from features of a frozen trunk, in a fraction of the time of whole networks.

Shapes: N images, P pairs of image and view, K classes.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metann.mnn.expert_sets import belongs, describe
from metann.mnn.lesson import Expert, Lesson, announced, answered, as_long, beginning, seed_parts_of, set_of, untrained
from metann.mnn.objective import loss_of, offset_of
from metann.mnn.views import Seen, plain, training_views
from metann.networks._split import tail_of
from metann.tables.probabilities import digest_of
from metann.training.features import Features, on_features, train_on_features
from metann.weights.head import head_parameters


@dataclass(frozen=True, eq=False)
class TailLesson:
    """A lesson of tails: what the trunk says is computed once for all of its experts, when the first one asks."""

    lesson: Lesson

    @cached_property
    def views(self) -> Seen:
        """Of the training images."""
        begin = time.perf_counter()
        found = training_views(self.lesson)
        print(f"{len(found.label_P)} views looked at in {time.perf_counter() - begin:.2f} s", flush=True)
        return found

    @cached_property
    def asked(self) -> Seen:
        """Of validation, then of test; only of validation is there a loss."""
        return plain(self.lesson, self.lesson.asked, judged=len(self.lesson.data.samples.rows("val")))

    def features(self, seen: Seen, class_index: int | None) -> Features:
        """For the training of one expert, with the offset of its objective."""
        offset_PK = offset_of(self.lesson.expert.objective, class_index, seen.switch_PK)
        return Features(seen.features, torch.from_numpy(seen.label_P.astype(np.int64)).to(seen.features.device), offset_PK)


def train_tail(class_index: int | None, tails: TailLesson, folder: Path, images_seen: int | None = None) -> Expert:
    """Choose the views of one expert, train its tail on them and have it answer; arguments and errors as in `experts.train_one`.

    It learns from each view of an image that the switch, looking at that view, gives its class the dataset threshold (and is unsure of,
    where that is asked); its set counts the images of one view on average.
    """
    lesson = tails.lesson
    expert, info, samples = lesson.expert, lesson.data.info, lesson.data.samples
    seen = tails.views
    rows_M = np.flatnonzero(belongs(seen.p_PK, class_index, lesson.dataset_threshold, lesson.unsure))
    val_rows = set_of(class_index, lesson)[1]
    facts = describe(class_index, seen.label_P[rows_M], samples.label[val_rows], len(info.class_names)).per_view(expert.views)
    announced(class_index, lesson, facts)
    module = tail_of(beginning(class_index, lesson), lesson.header["architecture"], expert.tail).to(lesson.device)
    if facts.state != "trained":
        return untrained(class_index, lesson, facts, module)
    expert = as_long(expert, facts.size, images_seen)
    start = digest_of(*(value.cpu().numpy() for value in module.state_dict().values()))
    pool = tails.features(seen, class_index)
    history = train_on_features(
        module,
        pool,
        torch.from_numpy(rows_M).to(lesson.device),
        _part(tails.features(tails.asked, class_index), np.flatnonzero(np.isin(lesson.asked, val_rows))),
        loss_of(expert.objective, class_index, expert.label_smoothing),
        expert,
        expert.views,
        seed_parts_of(class_index, lesson),
        folder,
        parameters=head_parameters(module) if expert.train == "head" else None,
        key=f"{info.digest} {start} {digest_of(rows_M, val_rows, seen.p_PK)} {lesson.key}",
    )
    begin = time.perf_counter()
    logits_NK = on_features(module, tails.asked.features)
    print(f"{len(lesson.asked)} images answered in {time.perf_counter() - begin:.2f} s", flush=True)
    return answered(class_index, lesson, facts, module, history, logits_NK)


def _part(features: Features, rows: np.ndarray) -> Features:
    rows_M: Tensor = torch.from_numpy(rows).to(features.features.device)
    return Features(*features.batch(rows_M))
