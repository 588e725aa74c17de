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
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import _peers_workflow
import _report
import numpy as np
import torch

from metann.cascade.every_chain import States, frontier
from metann.cascade.rule import decide
from metann.compute.process import start_torch
from metann.hypernetwork.classifiers import build_classifier
from metann.hypernetwork.generators import build_generator
from metann.mixture.dispatch import Experts
from metann.mixture.taps import Tapped
from metann.networks._build import build

MACS = {
    **{"mobilenet_v2": 88.0, "resnet18": 140.2, "densenet121": 223.4, "vgg11_bn": 272.3, "resnet34": 291.2},
    **{"resnet50": 325.8, "vgg19_bn": 517.7, "googlenet": 1337.1},
}
BUDGET = 320.0


def selection(folder: Path) -> str:
    """Accuracy, networks asked and cost on the half that reports, and seconds to choose and to answer."""
    names, labels = list(MACS), np.load(folder / "labels_test.npy").astype(int)
    tables = [np.load(folder / f"{name}_test.npy").astype(float) for name in names]
    val, test = slice(0, 5000), slice(5000, None)
    rows = []

    def row(what: str, predicted: np.ndarray, asked_NM: np.ndarray, fit: float, answer: float) -> None:
        right, macs = (predicted == labels[test]).mean(), asked_NM @ np.array(list(MACS.values()))
        rows.append([what, f"{100 * right:.2f} %", f"{asked_NM.sum(1).mean():.2f}", f"{macs.mean():,.0f} M", f"{fit:.1f}", f"{answer:.2f}"])

    everyone = np.ones((5000, len(names)))
    row("mean of all eight", sum(table[test] for table in tables).argmax(1), everyone, 0, 0)
    begin = time.perf_counter()
    states = States([table[val] for table in tables], labels[val], "difference", "product")
    found, _ = frontier(states, list(MACS.values()), 5)
    fit = time.perf_counter() - begin
    for what, chains in (("most right", found), (f"within {BUDGET:.0f} M", [one for one in found if one.macs <= BUDGET])):
        best = max(chains, key=lambda one: (one.correct, -one.macs))
        begin = time.perf_counter()
        decisions = decide([tables[i][test] for i in best.chain], best.thresholds, "difference", answer="product")
        answer = time.perf_counter() - begin
        asked = np.zeros((5000, len(names)))
        for place, network in enumerate(best.chain):
            asked[:, network] = decisions.asked_N > place
        row(f"metann, chain of {len(best.chain)}, {what}", decisions.prediction_N, asked, fit, answer)
    for of, features in (("cheapest network", tables[0]), ("all networks", np.concatenate(tables, axis=1))):
        for name, choose in {**_deskit(names), **_deslib(names)}.items():
            predicted, asked, fit, answer = choose(features, tables, labels, val, test)
            asked[:, 0] = 1  # its answer is the feature
            row(f"{name}, neighbours by {of}", predicted, np.ones_like(asked) if of == "all networks" else asked, fit, answer)
    return _report.table(["method", "test accuracy", "networks asked", "cost", "seconds to fit", "seconds to answer 5,000"], rows)


Choose = Callable[..., tuple[np.ndarray, np.ndarray, float, float]]


def _deskit(names: list[str]) -> dict[str, Choose]:
    if find_spec("deskit") is None:
        return {}
    from deskit.des.knorae import KNORAE
    from deskit.des.knorau import KNORAU
    from deskit.des.ola import OLA

    def of(kind: type) -> Choose:
        def choose(features, tables, labels, val, test):
            router = kind(task="classification", metric="prob_correct", mode="max", k=20, preset="exact")
            fit = _report.seconds(lambda: router.fit(features[val], labels[val], dict(zip(names, [t[val] for t in tables], strict=True))))
            begin = time.perf_counter()
            weights = np.array([[w.get(name, 0.0) for name in names] for w in router.predict_weights(features[test])])
            p_NK = np.einsum("nm,mnk->nk", weights, np.stack([table[test] for table in tables]))
            return p_NK.argmax(1), (weights > 0).astype(float), fit, time.perf_counter() - begin

        return choose

    return {f"deskit {kind.__name__}": of(kind) for kind in (KNORAE, KNORAU, OLA)}


def _deslib(names: list[str]) -> dict[str, Choose]:
    if find_spec("deslib") is None:
        return {}
    from deslib.base import BaseDS
    from deslib.dcs.ola import OLA
    from deslib.des.knora_e import KNORAE
    from deslib.des.knora_u import KNORAU
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import validate_data

    class Pooled(ClassifierMixin, BaseEstimator):
        """A network: its rows of a table, found by the features' last column, which is the image's number."""

        def __init__(self, table_NK: np.ndarray) -> None:
            self.table_NK, self.classes_ = table_NK, np.arange(table_NK.shape[1])

        def fit(self, *_: object) -> "Pooled":
            return self

        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            return self.table_NK[np.rint(features[:, -1] * 1e9).astype(int)]

        def predict(self, features: np.ndarray) -> np.ndarray:
            return self.predict_proba(features).argmax(1)

    if not hasattr(BaseDS, "_validate_data"):  # scikit-learn 1.6 took it away from its estimators; 0.3.7 of DESlib is older
        BaseDS._validate_data = validate_data

    def of(kind: type) -> Choose:
        def choose(features, tables, labels, val, test):
            numbered = np.concatenate([features, np.arange(len(features))[:, None] * 1e-9], axis=1)  # too small to move a neighbour
            chooser = kind([Pooled(table) for table in tables], k=20, DFP=False)
            fit = _report.seconds(lambda: chooser.fit(numbered[val], labels[val]))
            begin = time.perf_counter()
            predicted = chooser.predict(numbered[test])
            return predicted, np.ones((5000, len(names))), fit, time.perf_counter() - begin  # it asks all to see whether they agree

        return choose

    return {f"DESlib {kind.__name__}": of(kind) for kind in (KNORAE, KNORAU, OLA)}


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
    given = parser.parse_args()
    start_torch("cpu", 1)
    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "selection": ("sklearn", lambda: selection(given.tables)),
        "experts": ("mixture_of_experts", lambda: experts(given.repeats)),
        "generators": ("hypnettorch", lambda: generators(given.repeats)),
        "workflow": ("snakemake", _peers_workflow.measure),
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
