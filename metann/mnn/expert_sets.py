"""Which images an expert learns from. N images, K classes."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator


def active(probability_N: np.ndarray, dataset_threshold: float) -> np.ndarray:
    """(N,) bool: the images whose probability for the expert's class reaches the threshold (in float64, as everywhere)."""
    return np.asarray(probability_N, np.float64) >= dataset_threshold


def belongs(p_NK: np.ndarray, class_index: int | None, dataset_threshold: float, unsure: float | None) -> np.ndarray:
    """(N,) bool: the images that an expert learns from.

    Args:
        p_NK: probabilities by which they are chosen.
        class_index: the expert's; None: any class, of the generic expert.
        unsure: only images whose top probability is below this; None: all.
    """
    reached_N = active(p_NK if class_index is None else p_NK[:, class_index], dataset_threshold)
    if class_index is None:
        reached_N = reached_N.any(axis=1)
    return reached_N if unsure is None else reached_N & (np.asarray(p_NK, np.float64).max(axis=1, initial=0.0) < unsure)


@dataclass(frozen=True)
class ExpertSet:
    """What an expert has to learn from.

    Attributes:
        state: 'trained'; 'empty' (no image) or 'one_sided' (all of the class, or none): such an expert answers E = S_c.
        size, positives: training images, and how many are of the class.
        composition: K counts of the training images by true class.
        val_size, val_composition: the same for validation.
    """

    state: str
    size: int
    positives: int
    composition: list[int]
    val_size: int
    val_composition: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def per_view(self, views: int) -> "ExpertSet":
        """The same where every image was counted in so many augmented views: images of one view, on average, rounded."""
        composition = [round(count / views) for count in self.composition]
        positives = round(self.positives / views)
        return replace(self, size=sum(composition), positives=positives, composition=composition)


def describe(class_index: int | None, labels_N: np.ndarray, val_labels_N: np.ndarray, classes: int) -> ExpertSet:
    """Describe an expert's set by the labels of its training and validation images; of the generic expert all are of its class."""
    composition, val_composition = (np.bincount(labels, minlength=classes).tolist() for labels in (labels_N, val_labels_N))
    size = len(labels_N)
    positives = size if class_index is None else composition[class_index]
    one_sided = positives in (0, size) if class_index is not None else sum(count > 0 for count in composition) < 2
    state = "empty" if size == 0 else "one_sided" if one_sided else "trained"
    return ExpertSet(state, size, positives, composition, len(val_labels_N), val_composition)


class SetHeader(BaseModel):
    """The types of expert_set.json; the generic expert's has no class."""

    model_config = ConfigDict(strict=True)

    seed: int
    dataset_threshold: Annotated[float, Field(ge=0, le=1)]
    class_index: Annotated[int | None, Field(ge=0, alias="class")] = None
    state: str
    size: Annotated[int, Field(ge=0)]
    val_size: Annotated[int, Field(ge=0)]
    composition: list[int]
    val_composition: list[int]

    @model_validator(mode="after")
    def _of_one_length(self) -> "SetHeader":
        if len(self.composition) != len(self.val_composition):
            raise ValueError(f"{len(self.composition)} classes in composition, {len(self.val_composition)} in val_composition")
        return self
