"""A generator and images for tests that must train something: seconds, not minutes."""

import functools
from pathlib import Path

import numpy as np
import torch

from metann.compute.normalise import Normalisation
from metann.hypernetwork.arms import Given
from metann.hypernetwork.classifiers import build_classifier
from metann.hypernetwork.generators import build_generator
from metann.hypernetwork.images import ClassImages
from metann.hypernetwork.model import TrainedGenerator

CLASSES, SIZE = 6, 8


@functools.cache
def class_images(each: int = 30, seed: int = 0) -> ClassImages:
    """Blobs: class k is bright at a place of its own, in noise."""
    rng = np.random.default_rng(seed)
    labels_N = np.tile(np.arange(CLASSES, dtype=np.int16), each)
    images_NCHW = rng.integers(0, 120, (len(labels_N), 1, SIZE, SIZE), dtype=np.uint8)
    for row, k in enumerate(labels_N):
        images_NCHW[row, 0, (k % 3) * 2 : (k % 3) * 2 + 3, (k // 3) * 4 : (k // 3) * 4 + 3] += 120
    return ClassImages.of(images_NCHW, labels_N, np.arange(len(labels_N)), CLASSES, Normalisation((0.3,), (0.2,)), torch.device("cpu"))


def trained(kind: str = "mlp", tasks: int = 4, z_size: int = 4, bound: str = "scaled_tanh", seed: int = 0) -> TrainedGenerator:
    """A generator with the header that a training writes; as good as untrained."""
    torch.manual_seed(seed)
    classifier = build_classifier("small", 1, SIZE)
    generator = build_generator(kind, classifier, z_size, bound).requires_grad_(False)
    z_TD = torch.randn(tasks, z_size) / z_size**0.5
    header = {
        "generator_kind": kind,
        "bound": bound,
        "z": "learned",
        "z_size": z_size,
        "generator_settings": {},
        "tasks": list(range(tasks)),
    }
    header |= {"numbers": generator.numbers, "mean": [0.3], "std": [0.2], "experiment": "E", "generator": kind}
    return TrainedGenerator(generator, classifier.requires_grad_(False), z_TD, header)


def given(**settings: object) -> Given:
    """What arms may use, with both controls."""
    separate = trained("separate", 4, 4, "linear", seed=1)
    with torch.no_grad():
        separate.generator.inside.weight.add_(0.1 * torch.randn(separate.generator.inside.weight.shape))
    controls = {"separate": TrainedGenerator(separate.generator, separate.classifier, torch.eye(4), separate.header)}
    return Given(trained(**settings), controls | {"general": trained("general", 4, 4, "linear", seed=2)})


def files(folder: Path) -> list[str]:
    """Names of the files below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
