"""The experts of a meta neural network as they are asked: only those that an image asks run, on only its images.

N images, C channels, H x H pixels, K classes; M answers of experts (one per asked expert and image).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metann.compute.inference import CPU_BATCH, in_pieces
from metann.mnn.calibration import apply_expert_temperature, apply_temperature
from metann.mnn.setting import Rule
from metann.training.objectives import class_probabilities


class Asked:
    """Experts and what they look at: pixels, or features of the trunk that they stand on.

    Attributes:
        experts: in class order; None for one that was not trained, whose answer is the switch's.
        macs_K: (K,) int64 multiply-accumulates of each expert for an image; 0 of one that was not trained.
        trunk_macs: of a second trunk, once for every image about which an expert is asked.
    """

    def __init__(
        self,
        experts: Sequence[nn.Module | None],
        rule: Rule,
        macs_K: np.ndarray,
        trunk: nn.Module | None,
        trunk_macs: int,
        *,
        on_features: bool,
    ) -> None:
        """Take the parts, which belong to a module.

        Args:
            experts, macs_K, trunk_macs: see the attributes.
            rule: says whether experts answer for all classes, and their temperatures.
            trunk: whose features they look at; None: the switch's own, which it is overheard to say.
            on_features: whether experts look at features at all.
        """
        self.experts = list(experts)  # a ModuleDict takes longer to look into than a small network's layer to run
        self.rule, self.macs_K, self.trunk, self.trunk_macs, self.on_features = rule, macs_K, trunk, trunk_macs, on_features
        self._heard: list[Tensor] = []

    def overhear(self, module: nn.Module, given: Any, features: Tensor) -> None:  # noqa: ARG002
        """Keep what the switch's trunk says, batch by batch: a forward hook."""
        self._heard.append(features)

    def forget(self) -> None:
        """Before the switch runs on other images."""
        self._heard.clear()

    def one(self, pixels_1CHW: Tensor, switch_K: Sequence[float], active: Sequence[int]) -> tuple[dict[int, Any], int]:
        """Ask about one image, in plain floats.

        Args:
            pixels_1CHW: on which the switch has just run.
            switch_K: its probabilities.
            active: the classes whose experts are asked.

        Returns:
            what each says, a probability or K of them, by class; and the multiply-accumulates that it took.
        """
        answers, macs, source = {}, 0, None
        for c in active:
            if (expert := self.experts[c]) is None:
                answers[c] = switch_K if self.rule.for_all_classes else switch_K[c]
                continue
            if source is None:
                source = self._source(pixels_1CHW)
                macs += self.trunk_macs
            said_K = class_probabilities(expert(source))
            answers[c] = said_K.float().tolist()[0] if self.rule.for_all_classes else said_K.tolist()[0][c]
            macs += int(self.macs_K[c])
        return answers, macs

    def many(
        self, pixels_NCHW: Tensor, switch_NK: np.ndarray, active_NK: np.ndarray, class_M: np.ndarray, image_M: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ask about a batch; an expert runs once, and one transfer from the device brings all answers.

        Args:
            pixels_NCHW: on which the switch has just run.
            switch_NK: (N, K) float32, its probabilities.
            active_NK: (N, K) bool, whose experts are asked.
            class_M, image_M: where `active_NK` is true; `class_M` rises, so each expert's images lie together.

        Returns:
            (M,) float64 answers, or (M, K) float32 of experts for all classes; and (N,) int64 multiply-accumulates.
        """
        ran_N = (active_NK & (self.macs_K > 0)).any(axis=1)
        macs_N = active_NK @ self.macs_K + self.trunk_macs * ran_N
        if not len(class_M):
            return np.zeros((0, switch_NK.shape[1]) if self.rule.for_all_classes else 0), macs_N
        counts_K = np.bincount(class_M)
        asked = counts_K.nonzero()[0].tolist()
        source, place_N = pixels_NCHW, np.arange(len(ran_N))
        if self.on_features and ran_N.any():
            if self.trunk is None:
                source = self._source(pixels_NCHW)
            else:  # runs once for every image about which an expert is asked
                source, place_N = self._source(_rows(pixels_NCHW, np.flatnonzero(ran_N))), np.cumsum(ran_N) - 1
        answers, start = [], 0
        for c in asked:
            stop = start + int(counts_K[c])
            answers.append(self._answers(source, place_N, switch_NK, c, image_M[start:stop]))
            start = stop
        answered = (answers[0] if len(answers) == 1 else torch.cat(answers)).cpu().numpy()
        if (temperatures_K := self.rule.expert_temperatures_K) is not None:
            apply = apply_temperature if self.rule.for_all_classes else apply_expert_temperature
            answered = answered.astype(np.float64)
            for c in asked:
                answered[class_M == c] = apply(answered[class_M == c], temperatures_K[c])
        return answered, macs_N

    def _source(self, pixels_NCHW: Tensor) -> Tensor:
        if not self.on_features:
            return pixels_NCHW
        if self.trunk is not None:
            return logits(self.trunk, pixels_NCHW)
        return self._heard[0] if len(self._heard) == 1 else torch.cat(self._heard)

    def _answers(self, source: Tensor, place_N: np.ndarray, switch_NK: np.ndarray, c: int, image_M: np.ndarray) -> Tensor:
        """Answers of expert c about M images, on their device."""
        if (expert := self.experts[c]) is None:
            p_MK = torch.from_numpy(switch_NK[image_M]).to(source.device)
        else:
            p_MK = class_probabilities(logits(expert, _rows(source, place_N[image_M])))
        return p_MK.float() if self.rule.for_all_classes else p_MK[:, c].double()


def logits(network: nn.Module, pixels_NCHW: Tensor) -> Tensor:
    """What a network in eval mode says, in pieces that fit a core's cache."""
    if len(pixels_NCHW) <= CPU_BATCH:
        return network(pixels_NCHW)
    return torch.cat([network(piece) for piece in in_pieces(pixels_NCHW, pixels_NCHW.device)])


def _rows(images: Tensor, rows: np.ndarray) -> Tensor:
    """Some images of a batch; all of them where all are wanted in order, which `rows` of as many are."""
    return images if len(rows) == len(images) else images[torch.from_numpy(rows).to(images.device)]
