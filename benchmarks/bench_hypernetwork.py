"""Many small classifiers on their own images each: one after the other, by vmap, and as groups of channels.

    OMP_NUM_THREADS=1 python benchmarks/bench_hypernetwork.py [--repeats 7]

Forward and backward to the task vectors of a mlp generator, as a step of training does it, in turn within each repeat; the ratio is to
the loop. T tasks, B images of each.
"""

import argparse
import statistics
from collections.abc import Callable

import _report
import torch

from metann.compute.process import start_torch
from metann.hypernetwork.classifiers import answer, build_classifier
from metann.hypernetwork.generators import build_generator
from metann.hypernetwork.images import targets
from metann.hypernetwork.many_tasks import task_losses

WAYS = ("loop", "vmap", "grouped")
# name, classifier, settings, channels, pixels, T, B
CASES = [
    ("digits, 45 pairs", "small", {}, 1, 8, 45, 32),
    ("digits, 9 tasks", "small", {}, 1, 8, 9, 32),
    ("16 pixels", "small", {"width": 16, "depth": 3, "hidden": 32}, 3, 16, 50, 20),
    ("published, 32 pixels", "published", {}, 3, 32, 20, 20),
]


def step(name: str, settings: dict, channels: int, size: int, tasks: int, batch: int, how: str) -> Callable[[], None]:
    """One step, without the optimizer."""
    torch.manual_seed(0)
    classifier = build_classifier(name, channels, size, **settings)
    generator = build_generator("mlp", classifier, 16, "scaled_tanh")
    z_TD = torch.randn(tasks, 16).requires_grad_(True)
    images, truth_N = torch.randn(tasks, batch, channels, size, size), targets(batch, torch.device("cpu"))

    def work() -> None:
        task_losses(answer(classifier, generator(z_TD), images, how), truth_N).sum().backward()
        z_TD.grad = None
        for parameter in generator.parameters():
            parameter.grad = None

    return work


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=_report.at_least, default=_report.REPEATS)
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed together")
    options = parser.parse_args()
    start_torch("cpu", 1)
    print(_report.machine("torch"))
    rows = []
    for label, name, settings, channels, size, tasks, batch in CASES:
        works = {how: step(name, settings, channels, size, tasks, batch, how) for how in WAYS}
        times = _report.in_turn(
            {how: (lambda work=work: [work() for _ in range(options.steps)]) for how, work in works.items()}, options.repeats
        )
        for how in WAYS:
            median = statistics.median(times[how]) / options.steps
            ratio = _report.median_ratio(times["loop"], times[how])
            rows.append([label, f"{tasks} x {batch}", how, f"{1e3 * median:.1f}", f"{tasks * batch / median:,.0f}", f"{ratio:.1f}"])
    print(_report.table(["case", "tasks x images", "way", "ms a step", "task images a second", "times the loop"], rows))


if __name__ == "__main__":
    main()
