"""A trained generator, and a classifier that one wrote, as files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metann import layout
from metann.compute.answer import Answer, answer_of, pixels
from metann.compute.normalise import Normalisation, normalise
from metann.errors import MetannError, unknown
from metann.hypernetwork.classifiers import answer, build_classifier
from metann.hypernetwork.generators import Generator, build_generator
from metann.hypernetwork.schemes import Task
from metann.tables.frames import read_arrow
from metann.weights.files import check_header, fill, load_state, read_header, save_weights
from metann.weights.unfilled import at_most

GENERATOR, CLASSIFIER = "generator", "generated classifier"
CLASSES = f"{layout.GENERATOR}/classes.safetensors"
RATE = 0.03  # of z, where no run says a better one


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
    if header.get("kind") != GENERATOR:
        raise MetannError(f"{path} holds no generator but {header['architecture']}; give the weights.safetensors of a train-generator")
    for key, wanted in (expect or {}).items():
        if header.get(key) != wanted:
            raise MetannError(f"{path} was made for {key} {header.get(key)!r}, but {wanted!r} is asked for; use a generator made for it")
    state = load_state(path)
    with at_most(state, path):
        classifier = build_classifier(header["classifier"], header["channels"], header["image_size"], **header["settings"])
        generator = build_generator(header["generator_kind"], classifier, header["z_size"], header["bound"], **header["generator_settings"])
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


def chosen_rate(generator: Path, images: int) -> tuple[float, str]:
    """The learning rate that z_adapt took on the validation tasks of the generator's run, and where it comes from.

    Args:
        generator: the weights file; the adapted tables lie beside it.
        images: of the smaller class; the nearest number of shots counts.
    """
    known = {}
    for path in sorted((generator.parent / "adapt").glob("z_adapt_[0-9]*.parquet")):
        if path.stem.removeprefix("z_adapt_").isdigit():
            metadata = read_arrow(path, "hypernetwork_adapt")[1]
            known[metadata["shots"]] = metadata["learning_rate"]
    if not known:
        return RATE, "no run beside the generator says a better one"
    nearest = min(known, key=lambda shots: abs(np.log(shots / images)))
    return known[nearest], f"chosen on validation tasks at {nearest} shots"


@dataclass(frozen=True, eq=False)
class GeneratedClassifier:
    """Classifiers that a generator wrote: one for two classes, or one for each of K classes against the rest, of which the surest wins.

    Attributes:
        classifier: the network; its own parameters are not used.
        parameters: by name, (M, ...); M = 1 for two classes, else K.
        z_MD: what they were written from.
        header: of the weights file.
    """

    classifier: nn.Module
    parameters: dict[str, Tensor]
    z_MD: Tensor
    header: dict[str, Any]

    @classmethod
    def written(
        cls, trained: TrainedGenerator, z_MD: Tensor, parameters: dict[str, Tensor], class_names: Sequence[str], made: Mapping[str, Any]
    ) -> "GeneratedClassifier":
        """What a generator wrote from z, with a header that says how."""
        kept = ("architecture", "channels", "image_size", "mean", "std", "classifier", "settings", "dataset", "digest", "experiment")
        header = {key: trained.header[key] for key in (*kept, "generator", "generator_digest", "numbers", "z_size")}
        header |= {key: trained.header[key] for key in ("bits", "sources") if trained.header.get(key)}
        header |= {"kind": CLASSIFIER, "class_names": list(class_names), "num_classes": len(class_names)}
        header |= {"macs": len(z_MD) * trained.header["macs"], "written": len(z_MD)}
        return cls(trained.classifier, parameters, z_MD, header | dict(made))

    @classmethod
    def load(
        cls, path: Path | str, *, seed: int | None = None, experiment: str | None = None, generator: str | None = None
    ) -> "GeneratedClassifier":
        """Read a file of `metann adapt`, or the classifier for all classes of a run; on the CPU.

        Args:
            path: the file, or the folder of a run.
            seed, experiment, generator: of a run; of those that are not given, the one that is most right on validation images.

        Raises:
            MetannError: nothing there, a file that is broken or another thing, or a choice that the run does not have.
        """
        path = Path(path)
        made_for: dict[str, object] = {}
        if path.is_dir():
            path, made_for = _of_run(path, {"seed": seed, "experiment": experiment, "generator": generator})
        elif any(value is not None for value in (seed, experiment, generator)):
            raise MetannError(f"{path} is one classifier; give the folder of a run to choose seed, experiment or generator")
        header = read_header(path)
        if header.get("kind") != CLASSIFIER:
            raise MetannError(f"{path} is no generated classifier; make one with: metann adapt GENERATOR --negative .. --positive ..")
        of_folder = {"seed": header.get("seed"), "experiment and generator": f"{header['experiment']}_{header['generator']}"}
        check_header(path, of_folder, made_for)
        state = load_state(path)
        with at_most(state, path):
            classifier = build_classifier(header["classifier"], header["channels"], header["image_size"], **header["settings"])
        z_MD = state.pop("z", torch.zeros(0))
        fill(classifier, {name: value[0] for name, value in state.items()}, path, header["architecture"])
        if any(len(value) != header["written"] for value in (*state.values(), z_MD)):
            raise MetannError(f"{path} does not hold {header['written']} classifiers, as its header says; make it again")
        return cls(classifier.requires_grad_(False), dict(state), z_MD, header)

    @property
    def class_names(self) -> list[str]:
        """Names, in label order."""
        return list(self.header["class_names"])

    @property
    def described(self) -> str:
        """What it is, in one line."""
        header = self.header
        of = " against ".join(self.class_names) if len(self.z_MD) == 1 else f"{len(self.class_names)} classes of {header['dataset']}"
        return f"{header['architecture']}, {of}"

    def to(self, device: torch.device | str) -> "GeneratedClassifier":
        """The same on a device."""
        moved = {name: value.to(device) for name, value in self.parameters.items()}
        return GeneratedClassifier(self.classifier.to(device), moved, self.z_MD, self.header)

    @torch.no_grad()
    def answer(self, images_NCHW: Tensor | np.ndarray) -> Answer:
        """Classify a batch of uint8 pixels.

        Raises:
            MetannError: images of another type or shape.
        """
        given = pixels(images_NCHW, self.header["channels"], self.header["image_size"])
        device = next(iter(self.parameters.values())).device
        pieces = []
        for piece in given.split(500):
            ready_NCHW = normalise(piece.to(device), self.header["mean"], self.header["std"]).contiguous()
            logits_MN = answer(self.classifier, self.parameters, ready_NCHW.expand(len(self.z_MD), *ready_NCHW.shape))
            pieces.append(logits_MN.double().cpu())
        logits_NM = torch.cat(pieces, dim=1).T
        both_NK = torch.cat([torch.zeros_like(logits_NM), logits_NM], dim=1) if len(self.z_MD) == 1 else logits_NM
        part = "generated network" if len(self.z_MD) == 1 else f"{len(self.z_MD)} generated networks"
        return answer_of(both_NK.softmax(dim=1).numpy(), np.ones((len(both_NK), 1), bool), [self.header["macs"]], [part])

    def save(self, path: Path | str) -> None:
        """Write it into one safetensors file, whole or not at all."""
        save_weights(Path(path), self.parameters | {"z": self.z_MD}, self.header)


def _of_run(run: Path, choice: Mapping[str, object]) -> tuple[Path, dict[str, object]]:
    """The file of a run's classifier for all classes that a choice names, and what its folder says that it was made for.

    Of several the most right on validation images.
    """
    known = list(layout.found(run, CLASSES))
    for name, value in choice.items():
        if value is not None:
            known_values = [fields[name] for _, fields in known]
            known = [(path, fields) for path, fields in known if fields[name] == str(value)]
            if not known:
                raise unknown(name, value, dict.fromkeys(known_values), f"the configuration of {run}")
    if not known:
        raise MetannError(f"{run} holds no classifier that a generator wrote; give the folder of a finished run")
    path, named = max(known, key=lambda one: read_header(one[0]).get("val_accuracy", 0.0))
    return path, {"seed": int(named["seed"]), "experiment and generator": f"{named['experiment']}_{named['generator']}"}
