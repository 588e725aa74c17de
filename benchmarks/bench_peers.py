"""metann beside what people would take instead, each part with both sides in one run.

    pip install 'metann[peers]'   # none of it is needed for anything else
    OMP_NUM_THREADS=1 python benchmarks/bench_peers.py [--parts selection experts ...] [--tables ../shared/data/probabilities]

selection: DESlib and deskit choose networks for each image by their neighbours among the 5,000 validation images of the published CIFAR-10
tables (features: the answers of the cheapest network, which has to be asked first, or of all); ours are chains of `cascade.every_chain`,
product of the answers, with the most right answers on validation, and within a budget. Reported on the other 5,000 images.
experts: the gate and the dispatch of mixture-of-experts (one-hot tensors, a capacity) against ours (gathered rows), the same experts of
images and the same two experts for each of 512 images. generators: a step of hypnettorch's HMLP, hyperlight's HyperNet and our `mlp` that
write the same classifier for 20 tasks. workflow: 30 experts of digits by `xargs` and by Snakemake on two cores, and both a second time.
Prints Markdown; a part whose package is not installed says so and is left out.
"""

import argparse
import contextlib
import io
import statistics
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import _peers_selection
import _peers_workflow
import _report
import torch

from metann.compute.process import start_torch
from metann.hypernetwork.classifiers import build_classifier
from metann.hypernetwork.generators import build_generator
from metann.mixture.dispatch import Experts
from metann.mixture.taps import Tapped
from metann.networks._build import build


def experts(repeats: int) -> str:
    """Images a second of two dispatches over the same experts."""
    from mixture_of_experts.mixture_of_experts import Top2Gating

    rows, n = [], 512
    for name, number, size in (("mnist_expert", 10, 28), ("conv_4", 10, 32)):
        channels = 1 if size == 28 else 3
        ours = Experts([Tapped(build(name, 10, channels, size)) for _ in range(number)]).eval().requires_grad_(False)
        gate = Top2Gating(channels * size * size, number, second_policy_eval="all").eval().requires_grad_(False)
        images = torch.randn(1, n, channels * size * size)
        dispatch, combine, _ = gate(images)
        kept_NE, weight_NE = dispatch[0].sum(-1) > 0, combine[0].sum(-1)
        pixels = images[0].unflatten(1, (channels, size, size))

        def theirs(images=images, gate=gate, ours=ours, shape=(channels, size, size)):
            dispatch, combine, _ = gate(images)
            given = torch.einsum("bnd,bnec->ebcd", images, dispatch).flatten(1, 2)
            answers = torch.stack([e(x.unflatten(1, shape))[0] for e, x in zip(ours.networks, given, strict=True)])
            return torch.einsum("ebck,bnec->bnk", answers[:, None], combine)[0]

        def mine(images=images, gate=gate, ours=ours, pixels=pixels, kept=kept_NE, weight=weight_NE):
            gate(images)  # the same routing costs both the same
            return torch.einsum("nek,ne->nk", ours.some(pixels, kept), weight)

        with torch.inference_mode():
            assert torch.allclose(theirs(), mine(), atol=1e-4), "the same experts, the same routing, the same answers"
            times = _report.in_turn({"theirs": theirs, "mine": mine}, repeats)
        lost = 1 - float(kept_NE.sum()) / (2 * n)
        speeds = [f"{n / statistics.median(times[side]):,.0f}" for side in ("theirs", "mine")]
        rows.append([f"{name} x {number}", *speeds, f"{_report.median_ratio(times['theirs'], times['mine']):.2f}", f"{100 * lost:.1f} %"])
    head = ["experts", "mixture-of-experts, images/s", "metann, images/s", "metann faster", "asked and dropped by the capacity"]
    return _report.table(head, rows)


def generators(repeats: int) -> str:
    """Steps a second: 20 tasks forward, a sum of squares backward."""
    tasks, z_size, steps = 20, 16, 10
    classifier = build_classifier("published", 3, 32)
    shapes = {name: tuple(p.shape) for name, p in classifier.named_parameters()}
    numbers = sum(p.numel() for p in classifier.parameters())
    z_TD = torch.rand(tasks, z_size)
    ours = build_generator("mlp", classifier, z_size, "linear")
    sides = {"metann mlp": (ours, lambda: list(ours(z_TD).values()))}
    if find_spec("hypnettorch"):
        from hypnettorch.hnets import HMLP

        with contextlib.redirect_stdout(io.StringIO()):
            hmlp = HMLP(list(shapes.values()), cond_in_size=z_size, layers=(64, 64), verbose=False, num_cond_embs=tasks)
        sides["hypnettorch HMLP"] = (hmlp, lambda: [w for row in hmlp(cond_input=z_TD, ret_format="sequential") for w in row])
    if find_spec("hyperlight"):
        from hyperlight import HyperNet

        hyper = HyperNet({"z": (z_size,)}, {name.replace(".", "_"): shape for name, shape in shapes.items()}, [64, 64], encoding=None)
        sides["hyperlight HyperNet"] = (hyper, lambda: list(hyper(z=z_TD).values()))

    def work(module: torch.nn.Module, write: Callable[[], list[torch.Tensor]]) -> None:
        for _ in range(steps):
            module.zero_grad(set_to_none=True)
            sum(part.square().sum() for part in write()).backward()

    times = _report.in_turn({name: (lambda side=side: work(*side)) for name, side in sides.items()}, repeats)
    rows = []
    for name, (module, write) in sides.items():
        assert sum(part.numel() for part in write()) == tasks * numbers
        parameters = sum(p.numel() for p in module.parameters())
        ratio = _report.median_ratio(times[name], times["metann mlp"])
        rows.append([name, f"{numbers:,}", f"{parameters:,}", f"{steps / statistics.median(times[name]):.1f}", f"{ratio:.2f}"])
    return _report.table(["generator", "numbers written", "parameters", "steps a second", "metann faster"], rows)


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["selection", "experts", "generators", "workflow"])
    parser.add_argument("--tables", type=Path, default=Path("../shared/data/probabilities"))
    parser.add_argument("--repeats", type=_report.at_least, default=_report.REPEATS)
    parser.add_argument("--workflow-experts", type=int, choices=[10, 20, 30], default=30)
    given = parser.parse_args()
    start_torch("cpu", 1)
    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "selection": ("sklearn", lambda: _peers_selection.selection(given.tables)),
        "experts": ("mixture_of_experts", lambda: experts(given.repeats)),
        "generators": ("hypnettorch", lambda: generators(given.repeats)),
        "workflow": ("snakemake", lambda: _peers_workflow.measure(given.workflow_experts)),
    }
    print(f"{_report.machine('torch')}\n")
    for name in given.parts:
        package, measure = parts[name]
        if find_spec(package) is None or (name == "selection" and not given.tables.is_dir()):
            print(f"{name}: left out, without {package if find_spec(package) is None else given.tables}\n")
            continue
        print(f"{name}\n\n{measure()}\n", flush=True)


if __name__ == "__main__":
    main()
