"""Three ways to run a mixture's experts: one by one (dense), all at once with stacked weights (vmap), and only those that answer (sparse).

    OMP_NUM_THREADS=1 python benchmarks/bench_mixture.py [--experts 5 10 32] [--expert conv_4] [--gate conv_4] [--device cpu] [--repeats 5]

A step of training is forward, backward and Adam of a top-1 mixture at a batch of 128; dense and vmap do the same work there, sparse an
E-th of the experts'. An answer is one forward pass in evaluation, batches of 1 and of 512; beside it the gate and one expert alone, which
is what a mixture of one answering expert must cost at least. Images are 3 x 32 x 32, of noise; the sides of a comparison run in turn.
Prints a Markdown table: images per second, medians, and the ratios within a repeat.
"""

import argparse
import statistics
from collections.abc import Callable

import _report
import torch

from metann.compute.process import start_torch
from metann.config.mixture_setting import SettingSection, expand
from metann.mixture.build import Shape, build_mixture
from metann.mixture.network import Mixture
from metann.training.optimizers import optimizer

SHAPE, BATCH, STEPS = Shape(10, 3, 32), 128, 4
WAYS = ("dense", "vmap", "sparse")


def mixture(experts: int, way: str, expert: str, gate: str, device: torch.device) -> Mixture:
    """A top-1 mixture with drawn weights."""
    keys = {"experts": {"architecture": expert, "number": experts}, "gate": {"architecture": gate}, "compute": way}
    setting = SettingSection.model_validate(expand({"preset": "top_1"} | keys, {}))
    return build_mixture(setting, SHAPE, (0,)).to(device)


def images(n: int, device: torch.device) -> torch.Tensor:
    """Pixels of noise."""
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device, memory_format=torch.channels_last)


def waits(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """The same, ended when the device has ended."""

    def done() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return done


def training(module: Mixture, device: torch.device) -> Callable[[], None]:
    """`STEPS` steps of a batch."""
    adam, generator = optimizer("adam", module.parameters()), torch.Generator(device).manual_seed(0)
    pixels, labels = images(BATCH, device), (torch.arange(BATCH) % 10).to(device)
    module.train()

    def work() -> None:
        for _ in range(STEPS):
            module(pixels, labels, generator=generator).said(labels).mixture_N.mean().neg().backward()
            adam.step(1e-3)

    return waits(work, device)


def answering(module: Mixture, n: int, device: torch.device) -> Callable[[], None]:
    """Enough passes over a batch of n to be timed."""
    pixels, times = images(n, device), max(64 // n, 1)
    module.eval().requires_grad_(False)

    def work() -> None:
        with torch.inference_mode():
            for _ in range(times):
                module(pixels)

    return waits(work, device)


def alone(module: Mixture, n: int, device: torch.device) -> Callable[[], None]:
    """The gate and the first expert on all images: no routing at all."""
    pixels, times = images(n, device), max(64 // n, 1)
    gate, expert = module.gate.network.eval(), module.experts.networks[0].eval()

    def work() -> None:
        with torch.inference_mode():
            for _ in range(times):
                gate(pixels), expert(pixels)

    return waits(work, device)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", type=int, nargs="+", default=[5, 10, 32])
    parser.add_argument("--expert", default="conv_4")
    parser.add_argument("--gate", default="conv_4")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=_report.at_least, default=_report.REPEATS)
    given = parser.parse_args()
    device = start_torch(given.device, torch.get_num_threads())
    rows = []
    for experts in given.experts:
        made = {way: mixture(experts, way, given.expert, given.gate, device) for way in WAYS}
        works = {("training", BATCH): {way: training(module, device) for way, module in made.items()}}
        for n in (1, 512):
            fresh = {way: mixture(experts, way, given.expert, given.gate, device) for way in WAYS}
            works["answers", n] = {way: answering(module, n, device) for way, module in fresh.items()}
            works["answers", n]["alone"] = alone(fresh["dense"], n, device)
        for (what, n), sides in works.items():
            _report.progress(f"{experts} experts, {what}, batch {n}")
            times = _report.in_turn(sides, given.repeats)
            count = n * (STEPS if what == "training" else max(64 // n, 1))
            speed = {way: f"{count / statistics.median(seconds):,.0f}" for way, seconds in times.items()}
            faster = f"{_report.median_ratio(times['dense'], times['vmap']):.2f}"
            least = f"{_report.median_ratio(times['sparse'], times['alone']):.2f}" if "alone" in times else ""
            rows.append([experts, what, n, *(speed.get(way, "") for way in (*WAYS, "alone")), faster, least])
    print(f"{_report.machine('torch')}; {given.expert} experts, {given.gate} gate, {device.type}\n")
    head = ["experts", "what", "batch", "dense img/s", "vmap img/s", "sparse img/s", "gate and one expert img/s", "dense / vmap time"]
    print(_report.table([*head, "sparse / alone time"], rows))


if __name__ == "__main__":
    main()
