"""What a trained mixture says of images: of every expert, or with only those run that the gate sends an image to.

Shapes: N images, E experts, K classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metann.compute.inference import in_pieces
from metann.compute.normalise import Normalisation, normalise
from metann.compute.process import exact_arithmetic
from metann.errors import MetannError
from metann.mixture.build import Costs
from metann.mixture.network import Mixture


@dataclass(frozen=True)
class Answers:
    """What was said of a batch, as arrays.

    Attributes:
        p_NK: float32 probabilities of the mixture.
        gate_NE: float32 weights of the experts after routing; each row sums to 1.
        expert_N: int16, the first largest of the row.
        said_NE: int16, each expert's own class; of experts that were not run 0.
        ran_NE: bool, which experts an image needs: all of them where the gate looks at them first.
    """

    p_NK: np.ndarray
    gate_NE: np.ndarray
    expert_N: np.ndarray
    said_NE: np.ndarray
    ran_NE: np.ndarray


def answer(mixture: Mixture, images_NCHW: Tensor, normalisation: Normalisation, labels_N: Tensor | None = None) -> Answers:
    """Answer images in eval mode, in float32, in pieces that change no answer.

    Args:
        mixture: on the device where it runs; where its setting computes `sparse`, experts run only on images that need them.
        images_NCHW: uint8.
        labels_N: true classes, for gates that look at them.

    Raises:
        MetannError: the gate needs the true classes and there are none.
    """
    if mixture.setting.gate.needs_labels and labels_N is None:
        raise MetannError(f"gate {mixture.setting.gate.kind!r} looks at the true class of an image; a new image has none to look at")
    device = mixture.temperature.device
    pieces = in_pieces(images_NCHW, device)
    labels = [None] * len(pieces) if labels_N is None else labels_N.split(max(len(pieces[0]), 1))
    found = []
    with torch.inference_mode(), exact_arithmetic(device):
        for images, true_N in zip(pieces, labels, strict=True):
            pixels = normalise(images.to(device, non_blocking=True), normalisation.mean, normalisation.std)
            seen = mixture(pixels, None if true_N is None else true_N.to(device))
            weights_NE = seen.log_gate_NE.double().softmax(dim=1).float()
            ran_NE = torch.ones_like(seen.kept_NE) if mixture.setting.gate.needs_experts else seen.kept_NE
            found.append((seen.log_answer_NK.double().softmax(dim=1).float(), weights_NE, seen.logits_NEK.argmax(dim=2), ran_NE))
    p_NK, gate_NE, said_NE, ran_NE = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    return Answers(p_NK, gate_NE, gate_NE.argmax(axis=1).astype(np.int16), said_NE.astype(np.int16), ran_NE)


def macs_of(ran_NE: np.ndarray, costs: Costs) -> np.ndarray:
    """(N,) int64 multiply-accumulates of each image: of the gate, and of the experts that ran."""
    return ran_NE.astype(np.int64) @ np.array(costs.experts_E, np.int64) + costs.gate
