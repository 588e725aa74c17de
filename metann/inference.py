"""The meta neural network as one module: images in, probabilities out, and only the experts that are asked run.

N images, C channels, H x W pixels, K classes. Probabilities are rounded to float32 where the tables round them, and combined
by the same functions, so that a prediction here is the prediction in the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metann.config import SwitchFunction
from metann.cost import count_macs
from metann.data.augmentation import normalise
from metann.errors import MetannError
from metann.mnn import combine, prefix_lengths, prefix_mask
from metann.mnn.calibration import apply_expert_temperature, apply_temperature
from metann.networks.weights import build_unfilled, fill, load_state, load_weights, read_header, save_weights
from metann.objectives import one_class_log_odds


@dataclass(frozen=True)
class Answer:
    """What the meta neural network says of a batch.

    Attributes:
        p_NK: (N, K) float64 probabilities.
        active_NK: (N, K) bool, which experts ran on which image.
        macs_N: (N,) int64 multiply-accumulates spent on each image.
    """

    p_NK: np.ndarray
    active_NK: np.ndarray
    macs_N: np.ndarray

    @property
    def prediction_N(self) -> np.ndarray:
        """(N,) int64, the most probable class."""
        return self.p_NK.argmax(axis=1)


@dataclass(frozen=True)
class Rule:
    """How switch and experts are put together.

    Attributes:
        switch_function: such as `threshold(0.17)`.
        combine: a rule of metann.mnn.RULES.
        prior_K: base rates, for product_calibrated only.
        switch_temperature: divides the switch's logits.
        expert_temperatures_K: divide the experts' log-odds.
    """

    switch_function: str
    combine: str = "product"
    prior_K: tuple[float, ...] | None = None
    switch_temperature: float = 1.0
    expert_temperatures_K: tuple[float, ...] | None = None


class MetaNeuralNetwork(nn.Module):
    """A switch, K experts and the rule between them. Always in eval mode; nothing here is trained."""

    def __init__(self, switch: nn.Module, experts: Sequence[nn.Module], rule: Rule, header: dict[str, Any]) -> None:
        """Put trained parts together.

        Args:
            switch, experts: modules with logits over K classes; one expert for each class, in order.
            rule: see `Rule`.
            header: class_names, channels, image_size, mean and std of the switch's weights.

        Raises:
            MetannError: not one expert for each class, or an unknown switch function.
        """
        super().__init__()
        if len(experts) != len(header["class_names"]):
            raise MetannError(f"{len(experts)} experts for {len(header['class_names'])} classes; each class needs one")
        self.switch, self.experts, self.rule, self.header = switch, nn.ModuleList(experts), rule, header
        self.function = SwitchFunction.parse(rule.switch_function)
        size = header["channels"], header["image_size"]
        self.switch_macs = count_macs(switch, *size)
        self.expert_macs_K = np.array([count_macs(expert, *size) for expert in experts], np.int64)
        self.eval()
        self.to(memory_format=torch.channels_last)

    @property
    def class_names(self) -> list[str]:
        """K names, in label order."""
        return self.header["class_names"]

    def train(self, mode: bool = True) -> "MetaNeuralNetwork":
        """Stay in eval mode: the parts were trained one by one."""
        return super().train(False) if mode or self.training else self

    @torch.inference_mode()
    def forward(self, images_NCHW: Tensor) -> Answer:
        """Classify a batch; an expert runs on the images that ask it, together, and on no other.

        Args:
            images_NCHW: uint8 pixels, as in images.npy, of the header's channels and image size.

        Raises:
            MetannError: images of another type or shape.
        """
        expected = (self.header["channels"], self.header["image_size"], self.header["image_size"])
        if images_NCHW.dtype != torch.uint8 or tuple(images_NCHW.shape[1:]) != expected:
            raise MetannError(f"images are {images_NCHW.dtype} of shape {tuple(images_NCHW.shape)}; needed: uint8 (N, {expected})")
        device = next(self.parameters()).device
        pixels_NCHW = normalise(images_NCHW.to(device), tuple(self.header["mean"]), tuple(self.header["std"]))
        switch_NK = self.switch(pixels_NCHW).double().softmax(dim=1).float().cpu().numpy()
        if self.rule.switch_temperature != 1:
            switch_NK = apply_temperature(switch_NK, self.rule.switch_temperature)
        active_NK = prefix_mask(switch_NK, prefix_lengths(self.function.name, self.function.parameters, switch_NK))
        expert_NK = np.full(active_NK.shape, 0.5)
        for c in np.flatnonzero(active_NK.any(axis=0)):
            rows = np.flatnonzero(active_NK[:, c])
            asked = pixels_NCHW if len(rows) == len(active_NK) else pixels_NCHW[torch.from_numpy(rows).to(device)]
            answers = one_class_log_odds(self.experts[c](asked), int(c)).sigmoid().cpu().numpy()
            if self.rule.expert_temperatures_K is not None:
                answers = apply_expert_temperature(answers, self.rule.expert_temperatures_K[c])
            expert_NK[rows, c] = answers
        p_NK = combine(switch_NK, expert_NK, active_NK, rule=self.rule.combine, prior_K=self.rule.prior_K)
        return Answer(p_NK, active_NK, self.switch_macs + active_NK @ self.expert_macs_K)

    @classmethod
    def assemble(cls, switch: Path, experts: Sequence[Path], rule: Rule) -> "MetaNeuralNetwork":
        """Put the weight files of a run together; the experts in class order.

        Raises:
            MetannError: a file is missing, broken, or of another dataset or class order.
        """
        module, header = load_weights(switch)
        expect = {"class_names": header["class_names"], "digest": header["digest"]}
        parts = []
        for c, path in enumerate(experts):
            expert, found = load_weights(path, expect=expect)
            if found.get("class") != c:
                raise MetannError(f"{path} is the expert of class {found.get('class')}, not of class {c}; give the experts in class order")
            parts.append(expert)
        return cls(module, parts, rule, header)

    def save(self, path: Path) -> None:
        """Write everything into one safetensors file."""
        keep = ("architecture", "settings", "num_classes", "channels", "image_size", "class_names", "mean", "std", "dataset", "digest")
        header = {key: self.header[key] for key in keep if key in self.header} | {"kind": "meta neural network", "rule": vars(self.rule)}
        save_weights(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: Path | str) -> "MetaNeuralNetwork":
        """Read a file that `save` (or `metann pack`) wrote.

        Raises:
            MetannError: missing, broken, or not a meta neural network.
        """
        header = read_header(Path(path))
        if header.get("kind") != "meta neural network":
            raise MetannError(f"{path} is not a packed meta neural network; make one with: metann pack RUN --output {path}")
        rule = {key: tuple(value) if isinstance(value, list) else value for key, value in header["rule"].items()}
        parts = [build_unfilled(header) for _ in range(len(header["class_names"]) + 1)]
        network = cls(parts[0], parts[1:], Rule(**rule), header)
        fill(network, load_state(Path(path)), path, f"a meta neural network of {header['architecture']}")
        return network
