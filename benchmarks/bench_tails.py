"""Tail experts: a whole dataset threshold of them against one whole expert, and conditional inference against the parts that it runs.

    OMP_NUM_THREADS=1 python benchmarks/bench_tails.py [--run results/demo] [--repeats 5]

Needs a finished run of config.yaml, from which it reads; experts are trained again in a temporary folder. Every side is one call of
`metann train-expert`, as a rule of the workflow makes it:
    tails         all experts of the lowest dataset threshold as the run has them, in one job
    whole         one expert as `mnn.expert` trains it by default (a whole network), the class with most images

Inference, on the run's test images, in turn within each repeat:
    conditional   images in, probabilities out: `metann.load(run)` with the rule that is given
    parts         the forward passes of the switch, of the second trunk where an expert is asked, and of the asked tails alone, on pixels
                  and features that are normalised and gathered already
Batches of one are measured over 64 images. N images, K classes.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import _report
import torch
import yaml
from torch import Tensor

from metann.compute.normalise import normalise
from metann.compute.process import start_torch
from metann.config.mnn import ExpertSection
from metann.config.run import Config
from metann.config.section import flags, read_section
from metann.data.prepared import read_prepared
from metann.files.headers import read_sealed_json
from metann.mnn.model import MetaNeuralNetwork
from metann.thresholds import format_threshold

SINGLES = 64


def trained(run: Path, config: Config, output: Path, classes: list[int], expert: ExpertSection, threshold: float) -> None:
    """One job of `metann train-expert`."""
    networks = run / "networks"
    switch = networks / config.mnn.switch / "seed_0"
    command = [sys.executable, "-m", "metann", "train-expert", "--classes", *map(str, classes), "--seed=0"]
    command += [f"--dataset-threshold={format_threshold(threshold)}", f"--switch={switch / 'weights.safetensors'}"]
    command += [f"--probabilities={switch / 'probabilities.parquet'}", f"--data={run / 'data'}", f"--output={output}"]
    command += [] if config.mnn.unsure is None or not expert.tail else [f"--unsure={config.mnn.unsure}"]
    command += [f"--body={networks / config.mnn.second / 'seed_0/weights.safetensors'}"] if expert.body == "second" else []
    subprocess.run([*command, *flags("expert", expert)], check=True, stdout=subprocess.DEVNULL)


def training(run: Path, config: Config, repeats: int) -> tuple[list[str], list[str]]:
    """Head and row of the table of trainings."""
    threshold = min(config.mnn.dataset_thresholds)
    sets = sorted((run / f"mnn/seed_0/dataset_threshold_{format_threshold(threshold)}").glob("class_*/expert_set.json"))
    sizes = {int(path.parent.name.removeprefix("class_")): read_sealed_json(path)["size"] for path in sets}
    whole = ExpertSection(device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name), iter(range(10**6))
        jobs: dict[str, Callable[[], object]] = {
            "tails": lambda: trained(run, config, folder / str(next(count)), sorted(sizes), config.mnn.expert, threshold),
            "whole": lambda: trained(run, config, folder / str(next(count)), [max(sizes, key=sizes.__getitem__)], whole, threshold),
        }
        times = _report.in_turn(jobs, repeats, warm_up=False)
    ratio = _report.median_ratio(times["tails"], times["whole"])
    row = [str(len(sizes)), *(f"{statistics.median(times[name]):.1f} s" for name in ("tails", "whole")), f"{ratio:.2f}"]
    return ["tails in one job", "tails", "one whole expert", "tails / whole"], row


def parts(network: MetaNeuralNetwork, batches: list[Tensor]) -> Callable[[], None]:
    """The bare forward passes of what runs for these batches."""
    mean, std = tuple(network.header["mean"]), tuple(network.header["std"])
    ready = []
    with torch.inference_mode():
        for images_NCHW in batches:
            pixels_NCHW = normalise(images_NCHW, mean, std)
            asked_NK = network(images_NCHW).active_NK
            seen = pixels_NCHW[asked_NK.any(dim=1)]
            features = network.trunk(seen) if len(seen) else seen
            of = {c: asked_NK[asked_NK.any(dim=1), c] for c in range(asked_NK.shape[1])}
            ready.append((pixels_NCHW, seen, [(network.experts[str(c)], features[rows]) for c, rows in of.items() if rows.any()]))

    def run() -> None:
        with torch.inference_mode():
            for pixels_NCHW, seen, tails in ready:
                network.switch(pixels_NCHW)
                if len(seen):
                    network.trunk(seen)
                for tail, features in tails:
                    tail(features)

    return run


def main() -> None:
    """Measure and print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("results/demo"), help="a finished run with tails of a second network")
    parser.add_argument("--config", type=Path, default=Path(__file__).parent.parent / "config.yaml", help="its configuration")
    parser.add_argument("--repeats", type=_report.at_least, default=5, help="of which the median is taken; at least 5")
    parser.add_argument("--functions", nargs="+", default=["unsure(0.80)", "threshold(0.05)"], help="rules of inference")
    given = parser.parse_args()

    config = read_section(Config, yaml.safe_load(given.config.read_text()))
    print(f"{_report.machine('torch', 'numpy')}; 1 torch thread; medians of {given.repeats}\n")
    head, row = training(given.run, config, given.repeats)
    print(_report.table(head, [row]) + "\n")
    start_torch("cpu", 1)
    prepared, lines = read_prepared(given.run / "data"), []
    images_NCHW = torch.from_numpy(prepared.images_NCHW[prepared.samples.rows("test")[:512]].copy())
    for function in given.functions:
        network = MetaNeuralNetwork.load(given.run, switch_function=function)
        for size in (512, 1):
            batches = list(images_NCHW[: SINGLES if size == 1 else 512].split(size))
            asked = torch.cat([network(batch).active_NK for batch in batches]).sum(dim=1).double().mean().item()
            sides = {"conditional": lambda: [network(batch) for batch in batches], "parts": parts(network, batches)}  # noqa: B023
            times = _report.in_turn(sides, given.repeats)
            medians = [f"{1000 * statistics.median(times[name]) / len(batches):.3g}" for name in sides]
            ratio = _report.median_ratio(times["conditional"], times["parts"])
            lines.append([f"`{function}`", str(size), f"{asked:.2f}", *medians, f"{ratio:.2f}"])
    print(_report.table(["rule", "batch", "tails asked", "conditional, ms", "parts, ms", "conditional / parts"], lines))


if __name__ == "__main__":
    main()
