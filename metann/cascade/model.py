"""A cascade that really runs: a network that is not asked does no work. The one module here that uses torch.

Shapes: N images of a batch, C channels, H x W pixels, K classes, S stages. Probabilities are rounded as the tables round them
and judged by the same rule (`metann.cascade.rule`), so that an answer here is the answer in the tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from metann.cascade.memory import Memory, key_function
from metann.cascade.rowwise import first_argmax
from metann.cascade.rule import asks_next, next_wins, score_of
from metann.compute.inference import infer
from metann.compute.normalise import Normalisation
from metann.cost.macs import count_macs
from metann.errors import MetannError
from metann.weights.files import load_weights


@dataclass(frozen=True, eq=False)
class Stage:
    """One network of a cascade.

    Attributes:
        name: as configured.
        module: in eval mode, on the device that it runs on.
        normalisation: of the pixels, as in its training.
        macs: multiply-accumulates per image.
        header: of its weights file.
    """

    name: str
    module: nn.Module
    normalisation: Normalisation
    macs: int
    header: dict

    @classmethod
    def load(cls, path: Path, device: torch.device, class_names: Sequence[str]) -> "Stage":
        """Read a weights file.

        Raises:
            MetannError: missing, broken, or of other classes.
        """
        module, header = load_weights(path, expect={"class_names": list(class_names)})
        macs = count_macs(module, header["channels"], header["image_size"])
        return cls(
            str(header.get("network") or path.stem),
            module.to(device),
            Normalisation(tuple(header["mean"]), tuple(header["std"])),
            macs,
            header,
        )


@dataclass(frozen=True, eq=False)
class Answers:
    """What a cascade says of a batch, and who said it.

    Attributes:
        prediction_N: int64, the class that is answered.
        hit_N: bool, answered from memory.
        asked_N: int64 in 0..S, networks that ran on the image; 0 on a hit.
        answered_N: int64, stage whose answer it is; -1 on a hit.
        score_NS: float64, score of every network that ran; NaN where it did not.
    """

    prediction_N: np.ndarray
    hit_N: np.ndarray
    asked_N: np.ndarray
    answered_N: np.ndarray
    score_NS: np.ndarray


class Cascade:
    """Networks, the rule between them and, if there is one, the memory before them."""

    def __init__(
        self,
        stages: Sequence[Stage],
        thresholds: Sequence[float] = (),
        score: str = "difference",
        postcheck: bool = False,
        memory: Memory | None = None,
        key: str | None = None,
    ) -> None:
        """Put loaded networks together.

        Args:
            stages: in the order in which they are asked; one alone is a plain network.
            thresholds: one fewer.
            score: name of a score function.
            postcheck: keep the more confident answer.
            memory: is looked up before any network; needs `key`.
            key: kind of memory key.

        Raises:
            MetannError: a wrong number of thresholds, or an unknown score function or key.
        """
        if len(thresholds) != len(stages) - 1:
            raise MetannError(f"{len(stages)} networks need {len(stages) - 1} thresholds, {len(thresholds)} were given")
        self.stages, self.thresholds, self.score, self.postcheck = list(stages), list(thresholds), score, postcheck
        self.memory = memory
        self.key: Callable[[np.ndarray], np.ndarray] | None = key_function(key) if memory is not None and key else None

    def answer(self, images_NCHW: np.ndarray, sources_N: Sequence[int] | None = None, labels_N: np.ndarray | None = None) -> Answers:
        """Classify a batch.

        Args:
            images_NCHW: uint8 pixels.
            sources_N: ids of the originals, to count false hits of the memory; each image its own original where not given.
            labels_N: true classes, for the oracle only.
        """
        n = len(images_NCHW)
        if self.key is None:
            return self._ask(images_NCHW, labels_N)
        keys_N = self.key(np.moveaxis(images_NCHW, 1, -1))
        sources = list(range(n)) if sources_N is None else [int(source) for source in sources_N]
        found = [self.memory.look_up(key, source) for key, source in zip(keys_N.tolist(), sources, strict=True)]
        hit_N = np.array([hit for _, hit in found], bool)
        new = np.flatnonzero(~hit_N)
        asked_N, answered_N = np.zeros(n, np.int64), np.full(n, -1)
        score_NS = np.full((n, len(self.stages)), np.nan)
        if len(new):
            answers = self._ask(images_NCHW[new], None if labels_N is None else labels_N[new])
            asked_N[new], answered_N[new], score_NS[new] = answers.asked_N, answers.answered_N, answers.score_NS
            for position, prediction in zip(new, answers.prediction_N.tolist(), strict=True):
                found[position][0].answer = prediction
        return Answers(np.array([entry.answer for entry, _ in found], np.int64), hit_N, asked_N, answered_N, score_NS)

    def _ask(self, images_NCHW: np.ndarray, labels_N: np.ndarray | None) -> Answers:
        n = len(images_NCHW)
        prediction_N, answered_N, asked_N = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        sure_N, score_NS = np.zeros(n), np.full((n, len(self.stages)), np.nan)
        rows = np.arange(n)
        for number, stage in enumerate(self.stages):
            p_NK = self._probabilities(stage, images_NCHW if len(rows) == n else images_NCHW[rows])
            score_N = score_of(self.score, p_NK, None if labels_N is None else labels_N[rows])
            won_N = next_wins(self.score, sure_N[rows], score_N, self.postcheck) if number else np.ones(n, bool)
            won = rows[won_N]
            prediction_N[won], sure_N[won], answered_N[won] = first_argmax(p_NK)[won_N], score_N[won_N], number
            score_NS[rows, number] = score_N
            asked_N[rows] += 1
            if number < len(self.thresholds):
                rows = rows[asks_next(self.score, sure_N[rows], self.thresholds[number])]
            if not len(rows):
                break
        return Answers(prediction_N, np.zeros(n, bool), asked_N, answered_N, score_NS)

    def _probabilities(self, stage: Stage, images_NCHW: np.ndarray) -> np.ndarray:
        # torch warns of arrays that it could not write to, such as a memory-mapped file
        logits_NK = infer(stage.module, torch.from_numpy(np.require(images_NCHW, requirements="CW")), stage.normalisation)
        return logits_NK.double().softmax(dim=1).float().numpy()

    def warm_up(self, images_NCHW: np.ndarray) -> None:
        """Run every network once on a batch, outside the memory: the first call of a network is slow and is not to be timed."""
        for stage in self.stages:
            self._probabilities(stage, images_NCHW)
