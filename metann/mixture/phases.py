"""The training of a mixture, phase after phase, for the epoch loop.

Each phase begins from the best epoch of the one before, with an optimizer of its own. Every random draw is named by seed, phase and
epoch and not by the setting: two settings whose first phases are alike have the same first phase.
Shapes: N images, B of a batch, E experts.
"""

import copy
import math
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from metann.compute.inference import in_pieces
from metann.compute.normalise import Normalisation, normalise
from metann.compute.process import autocast
from metann.config.mixture_setting import SettingSection
from metann.errors import MetannError
from metann.mixture.build import Shape, build_mixture
from metann.mixture.network import Mixture
from metann.mixture.parts import Parts, parts_of, take
from metann.mixture.step import backward, distances
from metann.mixture.temperature import temperature_at
from metann.seeds import derive_seed
from metann.training.augmentation import random_crop, random_flip
from metann.training.history import Row
from metann.training.images import LabelledImages, batches
from metann.training.loop import train_mode
from metann.training.optimizers import optimizer, rate_factor

Embed = Callable[[Tensor], Tensor]
PARTS = ("experts", "gate")


class MixtureTrainer:
    """Experts and gate through all phases of a setting.

    Attributes:
        setting: with all its phases.
        mixture: as the current phase has it; after the last one, what was trained.
    """

    def __init__(
        self,
        setting: SettingSection,
        shape: Shape,
        train_set: LabelledImages,
        val_set: LabelledImages,
        normalisation: Normalisation,
        seed: int,
        sources: Mapping[str, Parts] | None = None,
        embeds: Mapping[str, Embed] | None = None,
    ) -> None:
        """Take everything on one device.

        Args:
            setting: with its width found (see `matched`).
            seed: of the run.
            sources: what each `start_from` names.
            embeds: space of similarity -> features of a batch of uint8 images.
        """
        self.setting, self.shape, self.train_set, self.val_set = setting, shape, train_set, val_set
        self.normalisation, self.sources, self.embeds = normalisation, sources or {}, embeds or {}
        self.seed_parts = (seed, "train_mixture")
        self.device = train_set.labels_N.device
        self.ends = list(accumulate(setting.epochs(number) for number in range(len(setting.phases))))
        self.phase, self.best = -1, None
        self._build(0)
        self._begin(0, None)

    def _build(self, number: int) -> None:
        """The mixture of a phase with its first weights, what of it learns, and a new optimizer."""
        phase, training = self.setting.phase(number), self.setting.training
        self.phase = number
        self.mixture: Mixture = build_mixture(phase, self.shape, self.seed_parts, self.device.type).to(self.device)
        learns = self.setting.phases[number].train
        self.trained = {part: list(getattr(self.mixture, part).parameters()) if part in learns else [] for part in PARTS}
        for parameter in self.mixture.parameters():
            parameter.requires_grad_(False)
        for parameter in (every := [parameter for part in PARTS for parameter in self.trained[part]]):
            parameter.requires_grad_(True)
        momentum = {} if training.optimizer == "adam" else {"momentum": training.momentum}
        self.optimizer = optimizer(training.optimizer, every, weight_decay=training.weight_decay, **momentum)

    def _begin(self, number: int, before: Parts | None) -> None:
        """Give the phase the weights that it begins with."""
        phase = self.setting.phases[number]
        if before is not None:
            take(self.mixture, before, experts=phase.experts == "kept", gate={"kept": "all", "trunk": "trunk"}.get(phase.gate_weights))
        if phase.start_from:
            which = {"gate": "all", "gate_trunk": "trunk"}
            gate = next((which[part] for part in phase.parts if part in which), None)
            take(self.mixture, self.sources[phase.start_from], experts="experts" in phase.parts, gate=gate)
        if "fresh" in (phase.experts, phase.gate_weights):
            fresh = parts_of(build_mixture(self.mixture.setting, self.shape, (*self.seed_parts, "fresh", number)).to(self.device))
            take(self.mixture, fresh, experts=phase.experts == "fresh", gate="all" if phase.gate_weights == "fresh" else None)

    def _enter(self, number: int) -> int:
        """Be in the phase of an epoch (1, 2, ... of all phases); its number within the phase."""
        phase = next(i for i, end in enumerate(self.ends) if number <= end)
        if phase != self.phase:
            self.mixture.load_state_dict(self.best)
            before = parts_of(self.mixture)
            self._build(phase)
            self._begin(phase, before)
        return number - (self.ends[phase - 1] if phase else 0)

    def epoch(self, number: int) -> Row:
        """Every training image once; `usage_e` is the mean weight of expert e in it."""
        within = self._enter(number)
        phase, training, epochs = self.mixture.setting, self.setting.training, self.setting.epochs(self.phase)
        names = (*self.seed_parts, self.phase, within)
        torch.manual_seed(derive_seed(*names, "dropout"))
        generator = torch.Generator(self.device).manual_seed(derive_seed(*names, "epoch"))
        gate_temperature = temperature_at(phase.temperature.gate, within, epochs)
        self.mixture.temperature.fill_(gate_temperature)
        other = phase.temperature.experts and temperature_at(phase.temperature.experts, within, epochs)
        train_mode(self.mixture)
        n = len(self.train_set)
        sums: dict[str, Tensor] = {"loss": torch.zeros((), device=self.device), "right": torch.zeros((), device=self.device)}
        sums |= {name: torch.zeros((), device=self.device) for name in phase.regularisers}
        usage_E, rate = torch.zeros(phase.experts.number, device=self.device), 0.0
        pieces = list(batches(torch.randperm(n, generator=generator, device=self.device), training.batch_size))
        for step, rows in enumerate(pieces, start=(within - 1) * len(pieces)):
            rate = training.learning_rate * rate_factor(training.schedule, step, len(pieces) * epochs)
            images_BCHW, labels_B = self._batch(rows, generator)
            pixels_BCHW = normalise(images_BCHW, self.normalisation.mean, self.normalisation.std)
            apart_BB = self._distances(images_BCHW, pixels_BCHW) if "sample_similarity" in phase.regularisers else None
            with autocast(self.device):
                seen = self.mixture(pixels_BCHW, labels_B, generator=generator)
            loss, found = backward(self.mixture, seen, pixels_BCHW, labels_B, apart_BB, other or None, self.trained, generator)
            self.optimizer.step(rate)
            with torch.no_grad():
                sums["loss"] += loss * len(rows)
                sums["right"] += (seen.log_answer_NK.argmax(dim=1) == labels_B).sum()
                usage_E += seen.log_gate_NE.softmax(dim=1).sum(dim=0)
                for name, value in found.items():
                    sums[name] += value.detach() * len(rows)
        row: Row = {"phase": self.phase + 1, "learning_rate": rate, "temperature": gate_temperature}
        row |= {"train_loss": sums.pop("loss").item() / n, "train_accuracy": sums.pop("right").item() / n}
        row |= {name: value.item() / n for name, value in sums.items()}
        row |= {f"usage_{expert}": used for expert, used in enumerate((usage_E / n).tolist())}
        if not math.isfinite(row["train_loss"]) and within == 1 and self.phase:
            raise MetannError(f"training diverged in the first epoch of phase {self.phase + 1}; lower learning_rate")
        return row

    def _batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images_BCHW, training = self.train_set.images_NCHW.index_select(0, rows), self.setting.training
        if training.crop_padding:
            images_BCHW = random_crop(images_BCHW, training.crop_padding, generator)
        if training.flip:
            images_BCHW = random_flip(images_BCHW, generator)
        return images_BCHW, self.train_set.labels_N[rows]

    def _distances(self, images_BCHW: Tensor, pixels_BCHW: Tensor) -> Tensor:
        similarity = self.mixture.setting.similarity
        space_BF = pixels_BCHW if similarity.space == "pixel" else self.embeds[similarity.space](images_BCHW)
        return distances(space_BF, similarity.normalise)

    @torch.inference_mode()
    def validate(self) -> Row:
        """Accuracy and cross entropy of the validation images, as evaluation routes them."""
        if not len(self.val_set):
            return {"val_loss": math.nan, "val_accuracy": math.nan}
        self.mixture.eval()
        pieces = in_pieces(self.val_set.images_NCHW, self.device)
        labels = self.val_set.labels_N.split(len(pieces[0]))
        loss, right = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for images_NCHW, labels_N in zip(pieces, labels, strict=True):
            with autocast(self.device):
                seen = self.mixture(normalise(images_NCHW, self.normalisation.mean, self.normalisation.std), labels_N)
            log_p_NK = seen.log_answer_NK.log_softmax(dim=1)
            loss -= log_p_NK.gather(1, labels_N[:, None]).sum()
            right += (log_p_NK.argmax(dim=1) == labels_N).sum()
        return {"val_loss": loss.item() / len(self.val_set), "val_accuracy": right.item() / len(self.val_set)}

    def better(self, row: Row, best: Row) -> bool:
        """A later phase is better than an earlier one; within a phase the higher validation accuracy, then the lower loss, then the
        earlier epoch. Where the gate looks at the true class validation says nothing, and the last epoch counts."""
        if row["phase"] != best["phase"] or self.mixture.setting.gate.needs_labels or math.isnan(row["val_accuracy"]):
            return True
        return (row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"])

    def best_weights(self) -> Mapping[str, Tensor]:
        """The mixture's own; a copy stays here, because the next phase begins with it."""
        state = self.mixture.state_dict()
        if self.phase < len(self.ends) - 1:
            self.best = copy.deepcopy(dict(state))
        return state

    def state_dict(self) -> dict[str, Any]:
        """See `metann.training.loop.Trainer`."""
        mixture = dict(self.mixture.state_dict())
        return {"phase": self.phase, "mixture": mixture, "optimizer": self.optimizer.state_dict(), "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `metann.training.loop.Trainer`."""
        self._build(state["phase"])
        self.mixture.load_state_dict(state["mixture"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
