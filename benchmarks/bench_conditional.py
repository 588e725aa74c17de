"""Conditional inference: a meta neural network against the networks that it runs, and against running all experts.

    OMP_NUM_THREADS=1 python benchmarks/bench_conditional.py [--repeats 7] [--device cpu] [--asked 1.2] [--networks small_cnn resnet20]

For each architecture and batch size, in turn within each repeat:
    conditional   images in, probabilities out: `metann.MetaNeuralNetwork`
    networks      the forward passes of the switch and of the asked experts alone, on pixels that are normalised and gathered already
    answers       the same networks from images to probabilities, each by itself: normalisation, forward pass, softmax
    all experts   the meta neural network with every expert asked

Weights are random, their last layer scaled so that classes are equally frequent and probabilities as peaked as a trained network's;
the threshold is set so that an image asks `--asked` experts on average. Batches of one are measured over 64 images.
N images, K classes.
"""

import argparse
import statistics
from collections.abc import Callable

import _report
import numpy as np
import torch
from torch import Tensor, nn

from metann.compute.normalise import normalise
from metann.compute.process import start_torch
from metann.mnn.model import MetaNeuralNetwork
from metann.mnn.setting import Rule
from metann.networks._build import build
from metann.training.objectives import class_probabilities

CLASSES, SINGLES = 10, 64
SHAPES = {"small_cnn": (1, 28)}  # the demo's; other networks get colour images of 32 pixels
MEAN, STD = 0.5, 0.25


@torch.inference_mode()
def peaked(network: nn.Module, pixels_NCHW: Tensor) -> nn.Module:
    """Scale the last layer: every class's logit gets mean 0 and standard deviation 4 over the images."""
    network.eval()
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    logits_NK = network(pixels_NCHW)
    mean_K, std_K = logits_NK.mean(dim=0), logits_NK.std(dim=0)
    last.bias.copy_(4 * (last.bias - mean_K) / std_K)
    last.weight.mul_(4 / std_K[:, None])
    return network


def make(architecture: str, asked: float, device: torch.device) -> tuple[MetaNeuralNetwork, MetaNeuralNetwork, Tensor]:
    """A meta neural network, the same with every expert asked, and 512 images."""
    channels, size = SHAPES.get(architecture, (3, 32))
    torch.manual_seed(0)
    images_NCHW = torch.randint(0, 256, (512, channels, size, size), dtype=torch.uint8)
    mean, std = (MEAN,) * channels, (STD,) * channels
    pixels_NCHW = normalise(images_NCHW[:128], mean, std)
    switch, *experts = (peaked(build(architecture, CLASSES, channels, size), pixels_NCHW) for _ in range(CLASSES + 1))
    with torch.inference_mode():
        falling = np.sort(class_probabilities(switch(normalise(images_NCHW, mean, std))).numpy().ravel())[::-1]
    threshold = float(falling[int(asked * len(images_NCHW))])
    header = {"class_names": list("abcdefghij"), "channels": channels, "image_size": size, "mean": mean, "std": std}
    networks = [MetaNeuralNetwork(switch, experts, Rule(rule), header).to(device) for rule in (f"threshold({threshold})", "all")]
    return networks[0], networks[1], images_NCHW.to(device)


def sides(network: MetaNeuralNetwork, everyone: MetaNeuralNetwork, batches: list[Tensor]) -> dict[str, Callable[[], object]]:
    """The four things that are measured."""
    mean, std = tuple(network.header["mean"]), tuple(network.header["std"])
    ready = []  # normalised pixels, and for each asked expert its share of them
    rows = []
    for images_NCHW in batches:
        pixels_NCHW = normalise(images_NCHW, mean, std)
        asked = {c: network(images_NCHW).active_NK[:, c].nonzero().flatten().to(pixels_NCHW.device) for c in range(CLASSES)}
        rows.append({c: index for c, index in asked.items() if len(index)})
        ready.append((pixels_NCHW, [(network.experts[str(c)], pixels_NCHW[index]) for c, index in rows[-1].items()]))

    def networks() -> None:
        for pixels_NCHW, parts in ready:
            with torch.inference_mode():
                last = network.switch(pixels_NCHW)
                for expert, part in parts:
                    last = expert(part)
        if last.is_cuda:
            torch.cuda.synchronize()

    def answers() -> None:
        for images_NCHW, asked in zip(batches, rows, strict=True):
            with torch.inference_mode():
                pixels_NCHW = normalise(images_NCHW, mean, std)
                class_probabilities(network.switch(pixels_NCHW)).cpu()
                for c, index in asked.items():
                    part = pixels_NCHW if len(index) == len(pixels_NCHW) else pixels_NCHW[index]
                    class_probabilities(network.experts[str(c)](part))[:, c].cpu()

    return {
        "conditional": lambda: [network(images) for images in batches],
        "networks": networks,
        "answers": answers,
        "all experts": lambda: [everyone(images) for images in batches],
    }


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=_report.at_least, default=7, help="of which the median is taken; at least 5")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--asked", type=float, default=1.2, help="experts that an image asks on average")
    parser.add_argument("--networks", nargs="+", default=["small_cnn", "resnet20"], help="architectures")
    given = parser.parse_args()

    print(f"{_report.machine('torch', 'numpy')}; 1 torch thread, {given.device}; median of {given.repeats}, milliseconds per batch\n")
    device, lines = start_torch(given.device, 1), []
    for architecture in given.networks:
        network, everyone, images_NCHW = make(architecture, given.asked, device)
        for size in (512, 1):
            batches = list(images_NCHW[: SINGLES if size == 1 else 512].split(size))
            asked = torch.cat([network(batch).active_NK for batch in batches]).sum(dim=1).double().mean().item()
            _report.progress(f"{architecture}, batch {size}")
            times = _report.in_turn(sides(network, everyone, batches), given.repeats)
            medians = [1000 * statistics.median(times[name]) / len(batches) for name in times]
            ratios = [_report.median_ratio(times["conditional"], times[name]) for name in ("networks", "answers")]
            faster = _report.median_ratio(times["all experts"], times["conditional"])
            cells = [f"{value:.3g}" for value in medians] + [f"{ratio:.2f}" for ratio in ratios] + [f"{faster:.1f}"]
            lines.append([architecture, str(size), f"{network.macs / 1e6:.1f} M", f"{asked:.2f}", *cells])
    head = ["network", "batch", "MACs", "experts asked", "conditional", "networks", "answers", "all experts"]
    print(_report.table([*head, "conditional / networks", "conditional / answers", "all experts / conditional"], lines))


if __name__ == "__main__":
    main()
