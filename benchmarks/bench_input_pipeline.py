"""Input pipeline: crop, flip and normalise on whole batches in memory against torchvision's transforms on one image at a time.

    OMP_NUM_THREADS=1 python benchmarks/bench_input_pipeline.py [--images 10000] [--repeats 7] [--root FOLDER]

Both sides run here, in one process, in turn, on the same images with the same augmentation (random crop with 4 reflected
pixels, mirror, normalise), batch size and order of classes. Theirs is the usual way: PIL, RandomCrop, RandomHorizontalFlip,
ToTensor, Normalize in a DataLoader, without worker processes and with two that are started before the clock. End to end trains
`small_cnn` (width 16, depth 3) for one pass, forward and backward, one torch thread in this process on both sides; worker
processes come on top. Before the clock, both sides' values without the random part are compared. Prints a Markdown table:
medians of images per second, and the slowest and fastest repeat. With --root the images are CIFAR-10, else noise.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from metann import networks
from metann.compute.normalise import normalise
from metann.config.data import DataSection
from metann.data.raw import load_dataset
from metann.training.augmentation import random_crop, random_flip

MEAN, STD, PADDING, BATCH, CLASSES = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616), 4, 128, 10
Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


class OneByOne(Dataset):
    """Images as torchvision's own datasets give them: a PIL image through a chain of transforms."""

    def __init__(self, images_NCHW: np.ndarray, labels_N: np.ndarray, augment: bool = True) -> None:
        self.images_NHWC, self.labels_N = np.ascontiguousarray(images_NCHW.transpose(0, 2, 3, 1)), labels_N
        random = [transforms.RandomCrop(images_NCHW.shape[-1], PADDING, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose([*(random if augment else []), transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images_NHWC[index])), int(self.labels_N[index])


def whole_batches(images_NCHW: Tensor, labels_N: Tensor) -> Batches:
    """Our side: the data as one uint8 tensor, augmented batch by batch."""
    generator = torch.Generator().manual_seed(0)

    def one_pass() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(labels_N), generator=generator).split(BATCH):
            batch = random_flip(random_crop(images_NCHW.index_select(0, rows), PADDING, generator), generator)
            yield normalise(batch, MEAN, STD), labels_N[rows]

    return one_pass


def one_by_one(images_NCHW: np.ndarray, labels_N: np.ndarray, workers: int) -> Batches:
    """Their side; the workers live on between passes, so that starting them is never measured."""
    loader = DataLoader(
        OneByOne(images_NCHW, labels_N), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0, drop_last=False
    )
    return lambda: loader


def consume(batches: Batches) -> int:
    """One pass that does nothing with the images."""
    return sum(len(labels) for _, labels in batches())


def trainer() -> Callable[[Batches], int]:
    """One pass of training; a network of its own for each side."""
    torch.manual_seed(0)
    module = networks.build("small_cnn", CLASSES, 3, 32, width=16, depth=3).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, nesterov=True)

    def one_pass(batches: Batches) -> int:
        seen = 0
        for images, labels in batches():
            # Theirs arrives as NCHW; the conversion is part of what a user would do and faster than leaving it out.
            logits = module(images.contiguous(memory_format=torch.channels_last))
            functional.cross_entropy(logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seen += len(labels)
        return seen

    return one_pass


def compare(sides: dict[str, Callable[[], int]], repeats: int) -> dict[str, list[float]]:
    """Images per second of each side, taken in turn; a first round warms up and is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, run in sides.items():
            start = time.perf_counter()
            images = run()
            if repeat:
                rates[name].append(images / (time.perf_counter() - start))
    return rates


def print_rows(title: str, rates: dict[str, list[float]]) -> None:
    ours = statistics.median(next(iter(rates.values())))
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"| {title}: {name} | {median:,.0f} | {min(values):,.0f} .. {max(values):,.0f} | {ours / median:.1f} |")


def processor() -> str:
    """The processor's name where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--root", type=Path, help="folder of CIFAR-10; noise of the same shape without it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.root:
        raw = load_dataset(DataSection(name="cifar10", root=arguments.root, download=False))
        images_NCHW, labels_N = raw.images_NCHW[: arguments.images], raw.labels_N[: arguments.images].astype(np.int64)
    else:
        rng = np.random.default_rng(0)
        images_NCHW = rng.integers(0, 256, (arguments.images, 3, 32, 32), dtype=np.uint8)
        labels_N = rng.integers(0, CLASSES, arguments.images)
    plain = torch.stack([OneByOne(images_NCHW, labels_N, augment=False)[i][0] for i in range(100)])
    torch.testing.assert_close(normalise(torch.from_numpy(images_NCHW[:100]), MEAN, STD), plain, rtol=1e-4, atol=1e-5)

    inputs = {
        "whole batches (ours)": whole_batches(torch.from_numpy(images_NCHW), torch.from_numpy(labels_N)),
        "one by one, no workers": one_by_one(images_NCHW, labels_N, 0),
        "one by one, 2 workers": one_by_one(images_NCHW, labels_N, 2),
    }
    alone = compare({name: lambda source=source: consume(source) for name, source in inputs.items()}, arguments.repeats)
    training = {name: trainer() for name in inputs}
    whole = compare({name: lambda name=name, source=source: training[name](source) for name, source in inputs.items()}, arguments.repeats)
    source = "CIFAR-10" if arguments.root else "noise"
    print(f"{processor()}, {os.cpu_count()} cores; torch {torch.__version__}, torchvision {torchvision.__version__}")
    print(f"{len(labels_N)} images of 3 x 32 x 32 ({source}), {arguments.repeats} repeats, 1 torch thread\n")
    print("| what | images/s, median | slowest .. fastest | ours / this |\n|---|---|---|---|")
    print_rows("input alone", alone)
    print_rows("training", whole)


if __name__ == "__main__":
    main()
