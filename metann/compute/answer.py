"""What a trained model of any family says of images: probabilities, what ran, and what that took.

Shapes: N images, C channels, H x H pixels, K classes, P parts that a model may run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metann.errors import MetannError


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of a batch.

    Attributes:
        p_NK: (N, K) float64 probabilities; the prediction is their argmax. Of a cascade, those of the network whose answer
            counts, or of the mean or product of all that were asked.
        ran_NP: (N, P) bool, whether a part ran on an image.
        macs_N: (N,) int64 multiply-accumulates spent on each image: those of the parts that ran.
        parts: P names.
        active_NK: (N, K) bool, of a meta neural network the classes whose experts were asked; one that was not trained is asked and
            does not run. None for other models.
    """

    p_NK: np.ndarray
    ran_NP: np.ndarray
    macs_N: np.ndarray
    parts: tuple[str, ...]
    active_NK: np.ndarray | None = None

    def ran(self, row: int) -> list[str]:
        """Names of the parts that ran on one image."""
        return [name for name, ran in zip(self.parts, self.ran_NP[row].tolist(), strict=True) if ran]


def answer_of(p_NK: np.ndarray, ran_NP: np.ndarray, macs_P: Sequence[int], parts: Sequence[str], **also: Any) -> Answer:
    """An `Answer` whose costs are those of the parts that ran.

    Raises:
        MetannError: probabilities that are no numbers.
    """
    check_numbers(" and ".join(parts[:3]) + (" ..." if len(parts) > 3 else ""), p_NK)
    return Answer(np.asarray(p_NK, np.float64), ran_NP, ran_NP.astype(np.int64) @ np.array(macs_P, np.int64), tuple(parts), **also)


def check_numbers(who: str, answers_NK: np.ndarray, sample_id_N: np.ndarray | None = None) -> None:
    """Refuse answers that are not finite: the largest of them would be the first class.

    Args:
        who: answers.
        answers_NK: logits or probabilities.
        sample_id_N: of the images; None: they are counted.

    Raises:
        MetannError: naming the first such image.
    """
    bad_N = ~np.isfinite(answers_NK).all(axis=1)
    if bad_N.any():
        row = int(np.argmax(bad_N))
        said = answers_NK[row][~np.isfinite(answers_NK[row])][0]
        raise MetannError(
            f"{who}: answers {'NaN' if np.isnan(said) else said} for sample {row if sample_id_N is None else sample_id_N[row]} "
            f"({int(bad_N.sum())} of {len(bad_N)} images); its weights are none that a training ends with: train again, or give others"
        )


def pixels(images_NCHW: Tensor | np.ndarray, channels: int, image_size: int) -> Tensor:
    """Images as the tensor that networks of this shape take.

    Args:
        images_NCHW: uint8, a tensor on any device or an array, read-only ones too.
        channels, image_size: C and H of the networks.

    Raises:
        MetannError: images of another type or shape.
    """
    shape = (channels, image_size, image_size)
    kind = getattr(images_NCHW, "dtype", None)
    if kind not in (torch.uint8, np.dtype(np.uint8)) or tuple(images_NCHW.shape[1:]) != shape:
        found = f"{kind or type(images_NCHW).__name__} of shape {tuple(getattr(images_NCHW, 'shape', ()))}"
        raise MetannError(f"images are {found}; needed: uint8 of shape (N, {', '.join(map(str, shape))})")
    if isinstance(images_NCHW, Tensor):
        return images_NCHW
    # torch warns of arrays that it could not write to, such as a memory-mapped file
    return torch.from_numpy(np.require(images_NCHW, requirements="CW"))
