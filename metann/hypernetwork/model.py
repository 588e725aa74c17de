"""A trained generator, and a classifier that one wrote, as files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metann.compute.normalise import Normalisation
from metann.errors import MetannError
from metann.hypernetwork.classifiers import build_classifier
from metann.hypernetwork.generators import Generator, build_generator
from metann.hypernetwork.schemes import Task
from metann.tables.frames import read_arrow
from metann.weights.files import fill, load_state, read_header

GENERATOR, CLASSIFIER = "generator", "generated classifier"


@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """What a training left.

    Attributes:
        generator, classifier: frozen, in eval mode; the classifier's own parameters are not used.
        z_TD: z of every training task.
        header: of the weights file; `tasks` are the indices of the training tasks, in the order of z's rows.
    """

    generator: Generator
    classifier: nn.Module
    z_TD: Tensor
    header: dict[str, Any]

    @property
    def normalisation(self) -> Normalisation:
        """Of the pixels, as in training."""
        return Normalisation(tuple(self.header["mean"]), tuple(self.header["std"]))


def normalisation_of(pixels: str, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
    """`normalised` by the training images, or `raw` bytes 0 .. 255 as published: (x / 255 - 0) / (1 / 255)."""
    return Normalisation((0.0,) * len(mean), (1 / 255,) * len(std)) if pixels == "raw" else Normalisation(tuple(mean), tuple(std))


def load_generator(path: Path, expect: Mapping[str, Any] | None = None, device: torch.device | None = None) -> TrainedGenerator:
    """Read a generator.

    Raises:
        MetannError: no such file, truncated, no generator, or other than expected.
    """
    header = read_header(path)
    if header.get("made") != GENERATOR:
        raise MetannError(f"{path} holds no generator but {header['architecture']}; give the weights.safetensors of a train-generator")
    for key, wanted in (expect or {}).items():
        if header.get(key) != wanted:
            raise MetannError(f"{path} was made for {key} {header.get(key)!r}, but {wanted!r} is asked for; use a generator made for it")
    classifier = build_classifier(header["classifier"], header["channels"], header["image_size"], **header["settings"])
    generator = build_generator(header["kind"], classifier, header["z_size"], header["bound"], **header["generator_settings"])
    state = load_state(path)
    z_TD = state.pop("z", torch.zeros(0))
    fill(generator, state, path, header["architecture"])
    if generator.digest() != header["generator_digest"] or z_TD.shape != (len(header["tasks"]), header["z_size"]):
        raise MetannError(f"{path} does not hold the generator that its header describes; make it again")
    place = device or torch.device("cpu")
    return TrainedGenerator(generator.requires_grad_(False).to(place), classifier.requires_grad_(False).to(place), z_TD.to(place), header)


def read_tasks(path: Path) -> tuple[list[Task], list[str], dict[str, Any]]:
    """The tasks of an experiment, the set of each, and what the table says of itself.

    Raises:
        MetannError: missing, truncated, foreign or changed.
    """
    arrow, metadata = read_arrow(path, "hypernetwork_tasks")
    rows = arrow.select(["negative", "positive", "flipped", "set"]).to_pylist()
    return [Task(row["negative"], row["positive"], row["flipped"]) for row in rows], [row["set"] for row in rows], metadata
