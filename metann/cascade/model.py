"""A cascade that really runs: a network that is not asked does no work. The one module here that uses torch.

Shapes: N images of a batch, C channels, H x W pixels, K classes, S members (the networks in the order in which they are asked).
Probabilities are rounded as the tables round them and judged by the same rule (`metann.cascade.rule`), so that an answer here is
the answer in the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metann.cascade.calibration import tempered
from metann.cascade.memory import Memory, key_function
from metann.cascade.rule import InHand, check_thresholds
from metann.cascade.run_folder import in_order, read_packed, read_run, write_packed
from metann.compute.answer import Answer, answer_of, pixels
from metann.config.cascade import CascadeRule, MemorySection
from metann.config.cascade_answers import answer_taken, way
from metann.errors import MetannError
from metann.weights.files import check_header
from metann.weights.single import SingleNetwork

_COMMON = ("class_names", "channels", "image_size")  # what members must agree on


@dataclass(frozen=True, eq=False)
class Decided:
    """What a cascade decides on a batch, and who it was.

    Attributes:
        prediction_N: int64, the class that is answered.
        hit_N: bool, answered from memory.
        asked_N: int64 in 0..S, networks that ran on the image; 0 on a hit.
        answered_N: int64, member whose answer it is, of a mean or a product the last one that took part; -1 on a hit.
        score_NS: float64, score of every network that ran; NaN where it did not.
        p_NK: float64, probabilities of the answer; NaN on a hit, of which the memory keeps the class alone.
    """

    prediction_N: np.ndarray
    hit_N: np.ndarray
    asked_N: np.ndarray
    answered_N: np.ndarray
    score_NS: np.ndarray
    p_NK: np.ndarray


class Cascade:
    """Networks, the rule between them and, if there is one, the memory before them."""

    def __init__(
        self,
        members: Sequence[SingleNetwork],
        thresholds: Sequence[float] = (),
        score: str = "difference",
        postcheck: bool = False,
        memory: Memory | None = None,
        key: str | None = None,
        answer: str = "second",
        temperatures: Sequence[float] = (),
    ) -> None:
        """Put loaded networks together.

        Args:
            members: in the order in which they are asked; one alone is a plain network.
            thresholds: one fewer.
            score: name of a score function.
            postcheck: keep the more confident answer, as `answer` more_confident does.
            memory: is looked up before any network; needs `key`.
            key: kind of memory key.
            answer: second, more_confident, mean or product.
            temperatures: of each member; none: as they are.

        Raises:
            MetannError: a wrong number of thresholds, one that is not finite, networks for other classes or images than the first,
                or an unknown key.
        """
        check_thresholds(thresholds, len(members))
        self.members, self.thresholds, self.score = list(members), list(thresholds), score
        self.answer_rule, self.temperatures = answer_taken(answer, postcheck), list(temperatures)
        if self.temperatures and len(self.temperatures) != len(self.members):
            raise MetannError(f"{len(self.members)} networks and {len(self.temperatures)} temperatures; give one for each network, or none")
        first = members[0].header
        for member in members[1:]:
            check_header(f"network {member.name}", member.header, {key: first.get(key) for key in _COMMON})
        self.header: dict[str, Any] = {key: first[key] for key in (*_COMMON, "dataset", "digest") if key in first}
        self.memory = memory
        self.key: Callable[[np.ndarray], np.ndarray] | None = key_function(key) if memory is not None and key else None

    @classmethod
    def of(
        cls, weights: Sequence[Path], rule: CascadeRule, class_names: Sequence[str] | None = None, memory: MemorySection | None = None
    ) -> "Cascade":
        """Put weight files together; on the CPU.

        Args:
            weights: in the order in which they are asked. Where the rule is a `ChainSection` those that it names are taken, in its order.
            rule: thresholds, score function and post-check.
            class_names: which the networks must have been trained for; None is those of the first.
            memory: what is put before them; None is no memory.

        Raises:
            MetannError: a network that is missing, broken or of other classes, or a rule that does not fit.
        """
        weights = in_order(weights, rule)
        check_thresholds(rule.thresholds, len(weights))
        expect = {} if class_names is None else {"class_names": list(class_names)}
        members = [SingleNetwork.read(path, expect) for path in weights]
        if memory is None or memory.key == "none":
            return cls(members, rule.thresholds, rule.score, answer=rule.answer, temperatures=rule.temperatures)
        return cls(members, rule.thresholds, rule.score, False, Memory(memory.capacity), memory.key, rule.answer, rule.temperatures)

    @classmethod
    def load(cls, path: Path | str, *, seed: int | None = None, rule: Mapping[str, Any] | None = None) -> "Cascade":
        """Read the cascade that a run chose on its validation images, or a packed file; on the CPU, without a memory.

        Args:
            path: folder of a run, such as results/cascade-demo, or a file of `save` (`metann pack`).
            seed: of a run; None is its first.
            rule: of a run, networks and the rule between them (keys of `ChainSection`) instead of the chosen one.

        Raises:
            MetannError: nothing there, files that are broken or do not belong together, or a seed that the run does not have.
        """
        path = Path(path)
        if rule is not None and not path.is_dir():
            raise MetannError(f"{path} is packed: its rule is fixed; give the folder of a run to choose another")
        members, found, origin = read_run(path, seed, rule) if path.is_dir() else read_packed(path, seed)
        cascade = cls(members, found.thresholds, found.score, answer=found.answer, temperatures=found.temperatures)
        cascade.header |= {"origin": origin} if origin else {}
        return cascade

    def save(self, path: Path | str) -> None:
        """Write networks and rule into one safetensors file, whole or not at all. What a memory holds is not written."""
        rule = CascadeRule(thresholds=self.thresholds, score=self.score, answer=self.answer_rule, temperatures=self.temperatures)
        write_packed(Path(path), self.members, rule, self.header.get("origin"))

    @property
    def postcheck(self) -> bool:
        """Whether the more confident answer is kept."""
        return self.answer_rule == "more_confident"

    @property
    def class_names(self) -> list[str]:
        """K names, in label order."""
        return self.members[0].class_names

    @property
    def described(self) -> str:
        """What it is, in two lines."""
        origin = self.header.get("origin") or {}
        of = f" of {origin['run']}, seed {origin['seed']}" if origin else ""
        names = " > ".join(member.name for member in self.members)
        return f"{names}{of}, {self.header.get('dataset', 'unknown dataset')},\n{self.rule_text}"

    @property
    def rule_text(self) -> str:
        """The rule, as `difference, threshold 0.7, with post-check`."""
        if not self.thresholds:
            return "a single network"
        thresholds = ", ".join(f"{threshold:.6g}" for threshold in self.thresholds)
        heated = f", temperatures {', '.join(f'{t:.4g}' for t in self.temperatures)}" if self.temperatures else ""
        return f"{self.score}, threshold {thresholds}, {way(self.answer_rule)}{heated}"

    def to(self, device: torch.device | str) -> "Cascade":
        """Move its networks to a device."""
        for member in self.members:
            member.to(device)
        return self

    def answer(self, images_NCHW: Tensor | np.ndarray) -> Answer:
        """Classify a batch, without the memory: probabilities of the network whose answer counts, or of the mean or product.

        Args:
            images_NCHW: uint8 pixels, as in images.npy, of the header's channels and image size.

        Raises:
            MetannError: images of another type or shape, or a score function that needs labels (the oracle).
        """
        decided = self._ask(pixels(images_NCHW, self.header["channels"], self.header["image_size"]), None)
        ran_NS = decided.asked_N[:, None] > np.arange(len(self.members))
        return answer_of(decided.p_NK, ran_NS, [member.macs for member in self.members], [member.name for member in self.members])

    def decide(self, images_NCHW: np.ndarray, sources_N: Sequence[int] | None = None, labels_N: np.ndarray | None = None) -> Decided:
        """Classify a batch of a stream, from memory where it can be.

        Args:
            images_NCHW: uint8 pixels.
            sources_N: ids of the originals, to count false hits of the memory; each image its own original where not given.
            labels_N: true classes, for the oracle only.
        """
        n = len(images_NCHW)
        if self.key is None:
            return self._ask(self._pixels(images_NCHW), labels_N)
        keys_N = self.key(np.moveaxis(images_NCHW, 1, -1))
        sources = list(range(n)) if sources_N is None else [int(source) for source in sources_N]
        found = [self.memory.look_up(key, source) for key, source in zip(keys_N.tolist(), sources, strict=True)]
        hit_N = np.array([hit for _, hit in found], bool)
        new = np.flatnonzero(~hit_N)
        asked_N, answered_N = np.zeros(n, np.int64), np.full(n, -1)
        score_NS, p_NK = np.full((n, len(self.members)), np.nan), np.full((n, len(self.class_names)), np.nan)
        if len(new):
            decided = self._ask(self._pixels(images_NCHW[new]), None if labels_N is None else labels_N[new])
            asked_N[new], answered_N[new], score_NS[new], p_NK[new] = decided.asked_N, decided.answered_N, decided.score_NS, decided.p_NK
            for position, prediction in zip(new, decided.prediction_N.tolist(), strict=True):
                found[position][0].answer = prediction
        return Decided(np.array([entry.answer for entry, _ in found], np.int64), hit_N, asked_N, answered_N, score_NS, p_NK)

    def _pixels(self, images_NCHW: np.ndarray) -> Tensor:
        return pixels(images_NCHW, self.header["channels"], self.header["image_size"])

    def _ask(self, images_NCHW: Tensor, labels_N: np.ndarray | None) -> Decided:
        n = len(images_NCHW)
        hand, score_NS = InHand(n, len(self.class_names), self.score, self.answer_rule), np.full((n, len(self.members)), np.nan)
        rows = np.arange(n)
        for number, member in enumerate(self.members):
            if number:
                rows = hand.unsure(rows, self.thresholds[number - 1])
            if not len(rows):
                break
            p_NK = member.probabilities(images_NCHW if len(rows) == n else images_NCHW[torch.from_numpy(rows).to(images_NCHW.device)])
            p_NK = tempered(p_NK, self.temperatures[number]) if self.temperatures else p_NK
            score_NS[rows, number] = hand.ask(number, rows, p_NK, None if labels_N is None else labels_N[rows])
        return Decided(hand.prediction_N, np.zeros(n, bool), hand.asked_N, hand.answered_N, score_NS, hand.p_NK)

    def warm_up(self, images_NCHW: np.ndarray) -> None:
        """Run every network once on a batch, outside the memory: the first call of a network is slow and is not to be timed."""
        for member in self.members:
            member.probabilities(self._pixels(images_NCHW))
