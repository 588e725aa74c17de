"""Experts and gate put together: one pass over a batch, in training and in evaluation.

Shapes: N images, E experts, K classes.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metann.config.mixture_parts import NOISE
from metann.config.mixture_setting import SettingSection
from metann.function_call import read_call
from metann.mixture import combination, routing
from metann.mixture.dispatch import Experts, StackedExperts
from metann.mixture.distribution import label_column, log_distribution, noisy, routed
from metann.mixture.gate import Gate
from metann.mixture.losses import Said
from metann.registry import functions


class Pass(NamedTuple):
    """What came of a batch.

    Attributes:
        scores_NE: of the gate, before noise.
        noisy_NE: with it.
        deviation_NE: of learned noise, or None.
        log_p_NE: the gate's distribution before routing.
        kept_NE: bool, who answers.
        log_gate_NE: weights of those who answer.
        logits_NEK: of the experts; 0 for experts that were not run.
        log_answer_NK: of the mixture; where weights do not sum to 1, neither do these.
    """

    scores_NE: Tensor
    noisy_NE: Tensor
    deviation_NE: Tensor | None
    log_p_NE: Tensor
    kept_NE: Tensor
    log_gate_NE: Tensor
    logits_NEK: Tensor
    log_answer_NK: Tensor

    def said(self, labels_N: Tensor) -> Said:
        """What was said of the true classes."""
        log_y_NE = label_column(self.logits_NEK.log_softmax(dim=2), labels_N)
        return Said(self.log_answer_NK.gather(1, labels_N[:, None]).squeeze(1), self.log_gate_NE, log_y_NE)

    def probabilities(self) -> Tensor:
        """(N, K) of the mixture; each row sums to 1."""
        return self.log_answer_NK.softmax(dim=1)


class Mixture(nn.Module):
    """Experts, gate, and the rules between them as one phase has them.

    Attributes:
        setting: of the phase.
        experts, gate: the parts that learn.
        temperature: of the gate's scores, as a buffer: it belongs to the weights that learned with it.
    """

    def __init__(self, setting: SettingSection, experts: Experts | StackedExperts, gate: Gate) -> None:
        super().__init__()
        self.setting, self.experts, self.gate = setting, experts, gate
        self.register_buffer("temperature", torch.ones(()))

    @property
    def lean(self) -> bool:
        """Whether experts that do not answer are not run."""
        return self.setting.compute == "sparse" and not self.setting.gate.needs_experts

    def forward(
        self,
        pixels_NCHW: Tensor,
        labels_N: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pass:
        """Answer a batch; with a generator as in training, noise and its routing included, without one as in evaluation.

        Args:
            pixels_NCHW: normalised images.
            labels_N: true classes, in training and for gates that look at them.
            generator: of noise and of sampled routing.
        """
        setting = self.setting
        text = setting.route.train if generator is not None else setting.route.eval
        late = self.lean and text != "em"
        logits_NEK, features_NEh = (None, None) if late else self.experts(pixels_NCHW)
        scores_NE, deviation_NE = self.gate(pixels_NCHW, logits_NEK, features_NEh, labels_N)
        noisy_NE = self._noisy(scores_NE, deviation_NE, generator)
        log_p_NE = log_distribution(noisy_NE, self.temperature, setting.gate.activation)
        kept_NE = self._kept(text, log_p_NE, logits_NEK, labels_N, pixels_NCHW, generator)
        if late:
            logits_NEK = self.experts.some(pixels_NCHW, kept_NE)
        return self._answered(Pass(scores_NE, noisy_NE, deviation_NE, log_p_NE, kept_NE, log_p_NE, logits_NEK, log_p_NE))

    def at(self, seen: Pass, temperature: float, pixels_NCHW: Tensor, labels_N: Tensor, generator: torch.Generator) -> Pass:
        """The same batch, noise included, with the gate at another temperature."""
        log_p_NE = log_distribution(seen.noisy_NE, temperature, self.setting.gate.activation)
        kept_NE = self._kept(self.setting.route.train, log_p_NE, seen.logits_NEK, labels_N, pixels_NCHW, generator)
        return self._answered(seen._replace(log_p_NE=log_p_NE, kept_NE=kept_NE))

    def _answered(self, seen: Pass) -> Pass:
        log_gate_NE = routed(seen.log_p_NE, seen.kept_NE, self.setting.route.renormalise)
        log_answer_NK = getattr(combination, self.setting.combine)(log_gate_NE, seen.logits_NEK)
        if self.setting.final_softmax:
            log_answer_NK = log_answer_NK.exp().log_softmax(dim=1)
        return seen._replace(log_gate_NE=log_gate_NE, log_answer_NK=log_answer_NK)

    def _noisy(self, scores_NE: Tensor, deviation_NE: Tensor | None, generator: torch.Generator | None) -> Tensor:
        if generator is None or self.setting.noise == "none":
            return scores_NE
        name, numbers = read_call(self.setting.noise, "noise", NOISE)
        if name == "gumbel":
            return noisy(scores_NE, "gumbel", 1.0, generator)
        return noisy(scores_NE, "gaussian", deviation_NE if name == "learned" else numbers[0], generator)

    def _kept(
        self,
        text: str,
        log_p_NE: Tensor,
        logits_NEK: Tensor | None,
        labels_N: Tensor | None,
        pixels_NCHW: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        name, numbers = _routing(text)
        more = {}
        if name == "sample":
            more["uniform_N"] = _of_images(pixels_NCHW) if generator is None else _drawn(len(pixels_NCHW), generator)
        if name == "em":
            more["log_likelihood_NE"] = label_column(logits_NEK.log_softmax(dim=2), labels_N)
        return getattr(routing, name)(log_p_NE, *numbers, **more)


@cache
def _routing(text: str) -> tuple[str, tuple[float, ...]]:
    """Read once: at one image a batch, reading takes as long as a small expert."""
    return read_call(text, "routing", functions("mixture/routing.py"))


def _drawn(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device)


def _of_images(pixels_NCHW: Tensor) -> Tensor:
    """(N,) in [0, 1): a draw that is the image's own, so that an evaluation says the same in batches of any size."""
    return (pixels_NCHW.double().flatten(1).sum(dim=1) * 1e4 * 0.6180339887).remainder(1)
