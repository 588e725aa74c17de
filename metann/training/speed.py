"""How fast a network is trained and asked on this machine, from some steps of the real training on random pixels."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from metann.compute.normalise import Normalisation
from metann.config.training import TrainingSection
from metann.training.classifier import ClassifierTrainer
from metann.training.images import LabelledImages
from metann.training.objectives import Classification

_STEPS, _REPEATS = 3, 3


def seconds_per_image(module: nn.Module, channels: int, size: int, settings: TrainingSection, device: torch.device) -> tuple[float, float]:
    """Seconds that one image takes in one epoch of training, and in one answer: medians of some batches, the first of which do not count.

    Args:
        module: a network; its weights are changed.
        channels, size: of the images.
        settings: of the training.
        device: where it runs.
    """
    n = _STEPS * settings.batch_size
    generator = torch.Generator().manual_seed(0)
    images_NCHW = torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)
    images = LabelledImages(images_NCHW, torch.zeros(n, dtype=torch.int64)).to(device)
    module.to(device, memory_format=torch.channels_last)
    normalisation = Normalisation((0.5,) * channels, (0.5,) * channels)
    trainer = ClassifierTrainer(module, images, images, normalisation, Classification(), settings, (0, "speed"), list(module.parameters()))
    times = [(_timed(lambda: trainer.epoch(1), device) / n, _timed(trainer.validate, device) / n) for _ in range(1 + _REPEATS)][1:]
    train, answer = zip(*times, strict=True)
    return median(train), median(answer)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
