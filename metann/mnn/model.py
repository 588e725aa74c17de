"""The meta neural network as one module: images in, probabilities out, and only the experts that are asked run.

N images, C channels, H x H pixels, K classes; M answers of experts (one per asked expert and image).

Probabilities are rounded to float32 where the tables of a run round them, and combined by the same functions, so that what is
predicted here is what the tables say.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from metann.compute.answer import Answer, answer_of, pixels
from metann.compute.normalise import normalise
from metann.compute.process import exact_arithmetic
from metann.cost.macs import count_macs
from metann.errors import MetannError
from metann.function_call import SwitchFunction
from metann.mnn.asked import Asked, logits
from metann.mnn.calibration import apply_temperature
from metann.mnn.combination import combine_answers, log_odds_added
from metann.mnn.evaluation import prefix_lengths, prefix_mask
from metann.mnn.packed import packed_header, read_packed
from metann.mnn.run_folder import Parts, read_run
from metann.mnn.setting import Rule
from metann.mnn.single import active_classes, combine_one, combine_one_vector
from metann.mnn.vectors import combine_vectors
from metann.networks._split import trunk_names
from metann.training.objectives import class_probabilities
from metann.weights.files import fill, save_weights


class Combined(NamedTuple):
    """What the module returns for a batch, as tensors.

    Attributes:
        p_NK: (N, K) float64 probabilities; the prediction is their argmax.
        active_NK: (N, K) bool, the classes whose experts were asked.
        macs_N: (N,) int64 multiply-accumulates spent on each image.
    """

    p_NK: Tensor
    active_NK: Tensor
    macs_N: Tensor


class MetaNeuralNetwork(nn.Module):
    """A switch, one expert for each class and the rule between them. Always in eval mode: its parts are trained one by one."""

    def __init__(
        self,
        switch: nn.Module,
        experts: Sequence[nn.Module | None],
        rule: Rule,
        header: dict[str, Any],
        *,
        tail: int = 0,
        trunk: nn.Module | None = None,
    ) -> None:
        """Put trained parts together.

        Args:
            switch: logits over K classes.
            experts: the same architecture, in class order; None for one that was not trained, whose answer is the switch's.
            rule: see `Rule`.
            header: of the switch's weights file; architecture, class_names, channels, image_size, mean and std are used.
            tail: experts are what stands behind so many blocks; 0: whole networks.
            trunk: what the tails stand on; None: the switch's own blocks, whose features are taken as the switch runs.

        Raises:
            MetannError: not one expert for each class, or a rule that is none.
        """
        super().__init__()
        classes = len(header["class_names"])
        if len(experts) != classes:
            raise MetannError(f"{len(experts)} experts for {classes} classes; each class needs one, or None")
        self.switch, self.rule, self.header, self.tail, self.trunk = switch, rule, header, tail, trunk
        self.experts = nn.ModuleDict({str(c): expert for c, expert in enumerate(experts) if expert is not None})
        self.function = SwitchFunction.parse(rule.switch_function)
        self._added_K = np.zeros(classes) if rule.for_all_classes else log_odds_added(rule.combine, rule.prior_K, classes)
        self._added = self._added_K.tolist()
        self._shape = (header["channels"], header["image_size"], header["image_size"])
        self._mean, self._std = tuple(header["mean"]), tuple(header["std"])
        self.macs = count_macs(switch, *self._shape[:2])
        names = trunk_names(switch, header["architecture"], tail) if tail else []
        of_trunk = count_macs(nn.Sequential(*map(switch.get_submodule, names)), *self._shape[:2]) if tail else 0
        macs_K = np.array([self.macs - of_trunk if expert is not None else 0 for expert in experts], np.int64)
        self._asked = Asked(experts, rule, macs_K, trunk, of_trunk if trunk is not None else 0, on_features=tail > 0)
        if tail and trunk is None:
            switch.get_submodule(names[-1]).register_forward_hook(self._asked.overhear)
        self.register_buffer("_place", torch.empty(0), persistent=False)  # goes where the module goes; to find a parameter takes longer
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    @property
    def class_names(self) -> list[str]:
        """K names, in label order."""
        return list(self.header["class_names"])

    @property
    def described(self) -> str:
        """What it is, in two lines."""
        origin, header = self.header.get("origin") or {}, self.header
        of, place = "", ""
        if origin:
            of, place = f" of {origin['run']}", f"seed {origin['seed']}, dataset threshold {origin['dataset_threshold']}, "
        images = header.get("dataset") or "unknown images"
        return (
            f"switch and {len(self.experts)} experts{of}, {header['architecture']}, {images},\n"
            f"{place}{self.rule.switch_function}, {self.rule.combine}"
        )

    def train(self, mode: bool = True) -> "MetaNeuralNetwork":  # noqa: ARG002
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, images_NCHW: Tensor) -> Combined:
        """Classify a batch; an expert runs once, on the images that ask it, and on no other.

        Args:
            images_NCHW: uint8 pixels, as in images.npy, of the header's channels and image size; on any device.

        Returns:
            Tensors on the CPU.

        Raises:
            MetannError: images of another type or shape.
        """
        if not isinstance(images_NCHW, Tensor) or images_NCHW.dtype != torch.uint8 or images_NCHW.shape[1:] != self._shape:
            found = f"{getattr(images_NCHW, 'dtype', type(images_NCHW).__name__)} of shape {tuple(getattr(images_NCHW, 'shape', ()))}"
            raise MetannError(f"images are {found}; needed: a tensor of torch.uint8 of shape (N, {', '.join(map(str, self._shape))})")
        device = self._buffers["_place"].device  # as an attribute it would take longer
        self._asked.forget()
        with torch.inference_mode(), exact_arithmetic(device):
            pixels_NCHW = normalise(images_NCHW.to(device), self._mean, self._std)
            alone = len(images_NCHW) == 1 and self.rule.switch_temperature is None
            p_NK, active_NK, macs_N = self._one(pixels_NCHW) if alone else self._many(pixels_NCHW)
        return Combined(torch.from_numpy(p_NK), torch.from_numpy(active_NK), torch.from_numpy(macs_N))

    def answer(self, images_NCHW: Tensor | np.ndarray) -> Answer:
        """Classify a batch: the switch and every trained expert that is asked run.

        Args:
            images_NCHW: uint8 pixels, as in images.npy, of the header's channels and image size.

        Raises:
            MetannError: images of another type or shape.
        """
        p_NK, active_NK, _ = (part.numpy() for part in self(pixels(images_NCHW, *self._shape[:2])))
        ran_NK = active_NK & (self._asked.macs_K > 0)
        ran, macs, parts = [np.ones((len(p_NK), 1), bool)], [self.macs], ["switch"]
        if self.trunk is not None:
            ran, macs, parts = [*ran, ran_NK.any(axis=1, keepdims=True)], [*macs, self._asked.trunk_macs], [*parts, "second trunk"]
        experts = (f"expert {name}" for name in self.class_names)
        ran_NP, macs_P = np.concatenate([*ran, ran_NK], axis=1), [*macs, *self._asked.macs_K]
        return answer_of(p_NK, ran_NP, macs_P, (*parts, *experts), active_NK=active_NK)

    def _one(self, pixels_1CHW: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One image, in plain floats: beside a small network the calls of array libraries would take longer than the network."""
        (switch_K,) = class_probabilities(self._modules["switch"](pixels_1CHW)).float().tolist()
        active = active_classes(self.function, switch_K)
        answers, macs = self._asked.one(pixels_1CHW, switch_K, active)
        rule = {"rule": self.rule.combine, "weights": self.rule.weights}
        if self.rule.for_all_classes:
            p_K = combine_one_vector(switch_K, list(answers.values()), **rule)
        else:
            p_K = combine_one(switch_K, answers, added_K=self._added, **rule)
        asked_K = [c in answers for c in range(len(switch_K))]
        return np.array([p_K]), np.array([asked_K]), np.array([self.macs + macs])

    def _many(self, pixels_NCHW: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        raw_NK = class_probabilities(logits(self.switch, pixels_NCHW)).float().cpu().numpy()
        switch_NK = raw_NK.astype(np.float64)
        if self.rule.switch_temperature is not None:
            switch_NK = apply_temperature(raw_NK, self.rule.switch_temperature).astype(np.float32).astype(np.float64)
        active_NK = prefix_mask(switch_NK, prefix_lengths(self.function.name, self.function.parameters, switch_NK))
        class_M, image_M = np.nonzero(active_NK.T)
        answers, macs_N = self._asked.many(pixels_NCHW, raw_NK, active_NK, class_M, image_M)
        rule = {"rule": self.rule.combine, "weights": self.rule.weights}
        if self.rule.for_all_classes:
            p_NK = combine_vectors(switch_NK, image_M, answers, **rule)
        else:
            p_NK = combine_answers(switch_NK, image_M, class_M, answers, added_K=self._added_K, **rule)
        return p_NK, active_NK, macs_N + self.macs

    def save(self, path: Path | str) -> None:
        """Write everything into one safetensors file, whole or not at all."""
        parts = Parts(self.switch, self._asked.experts, self.tail, self.trunk)
        save_weights(Path(path), self.state_dict(), packed_header(self.header, self.rule, parts))

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        seed: int | None = None,
        dataset_threshold: float | None = None,
        switch_function: str | None = None,
    ) -> "MetaNeuralNetwork":
        """Read the network that a run chose on its validation images, or a packed file; on the CPU.

        Args:
            path: folder of a run, such as results/demo, or a file of `save` (`metann pack`).
            seed: of a run; None is its first.
            dataset_threshold: of a run; None is the chosen one.
            switch_function: instead of the chosen one, such as `top_k(2)`.

        Raises:
            MetannError: nothing there, files that are broken or do not belong together, or a choice that the run does not have.
        """
        path = Path(path)
        state = None
        if path.is_dir():
            parts, rule, header = read_run(path, seed, dataset_threshold, switch_function)
        elif seed is not None or dataset_threshold is not None:
            raise MetannError(f"{path} is packed: its seed and dataset threshold are fixed; give the folder of a run to choose them")
        else:
            parts, rule, header, state = read_packed(path, switch_function)
        network = cls(parts.switch, parts.experts, rule, header, tail=parts.tail, trunk=parts.trunk)
        if state is not None:
            fill(network, state, path, f"a meta neural network of {header['architecture']}")
        return network
