"""What an expert job costs beside its training: the demo's 30 experts, each in a process of its own and as the demo groups them.

    OMP_NUM_THREADS=1 python benchmarks/bench_job_overhead.py [--run results/demo] [--jobs 30]

Needs a finished demo run, from which it reads; experts are trained again in a temporary folder. Every job is one call of
`metann train-expert`, as a rule of the workflow makes it, with `python -c "import torch"` measured before each. Overhead is
the wall time of the process minus the training (the sum of `seconds` in training.csv). It holds starting Python, imports,
reading, and answering all validation and test images, which is given apart, from the job's log.
"""

import argparse
import csv
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import _report

from metann.config.mnn import MnnSection
from metann.config.section import flags
from metann.thresholds import format_threshold


def job(run: Path, output: Path, classes: list[int], threshold: float) -> tuple[float, float, float]:
    """Seconds of one job: wall, training, answering."""
    switch = run / "networks" / "switch" / "seed_0"
    expert = MnnSection().expert
    command = [sys.executable, "-m", "metann", "train-expert", "--classes", *map(str, classes), "--seed=0"]
    command += [f"--dataset-threshold={format_threshold(threshold)}", f"--switch={switch / 'weights.safetensors'}"]
    command += [f"--probabilities={switch / 'probabilities.parquet'}", f"--data={run / 'data'}", f"--output={output}"]
    command += flags("expert", expert)
    log: list[str] = []

    def work() -> None:
        log.append(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    wall = _report.seconds(work)
    training = 0.0
    for c in classes:
        with (output / f"class_{c}" / "training.csv").open(newline="") as file:
            training += sum(float(row["seconds"]) for row in csv.DictReader(file))
    answering = sum(float(found) for found in re.findall(r"images answered in ([\d.]+) s", log[0]))
    return wall, training, answering


def import_torch() -> float:
    """Seconds of `python -c "import torch"`."""
    return _report.seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))


def measure(run: Path, groups: list[tuple[float, list[int]]]) -> dict[str, list[float]]:
    """For each group of classes: seconds per expert of wall, training and answering, and of importing torch."""
    found: dict[str, list[float]] = {"wall": [], "training": [], "answering": [], "torch": []}
    for number, (threshold, classes) in enumerate(groups):
        found["torch"].append(import_torch())
        with tempfile.TemporaryDirectory() as folder:
            wall, training, answering = job(run, Path(folder), classes, threshold)
        for name, value in (("wall", wall), ("training", training), ("answering", answering)):
            found[name].append(value / len(classes))
        _report.progress(
            f"job {number + 1} of {len(groups)}: {wall:.1f} s, of that {training:.1f} s training; torch {found['torch'][-1]:.1f} s"
        )
    return found


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("results/demo"), help="a finished demo run; is only read")
    parser.add_argument("--jobs", type=_report.at_least, default=30, help="how many of the jobs with one class; at least 5")
    given = parser.parse_args()
    if not (given.run / "networks" / "switch" / "seed_0" / "probabilities.parquet").is_file():
        sys.exit(f"{given.run} is not a finished demo run; make one with: snakemake --cores all")

    mnn = MnnSection()
    thresholds, size = mnn.dataset_thresholds, mnn.classes_per_job
    alone = [(threshold, [c]) for c in range(10) for threshold in thresholds]  # another threshold next, so that few jobs are mixed too
    grouped = [(threshold, list(range(first, first + size))) for threshold in thresholds for first in range(0, 10, size)]
    print(f"{_report.machine('torch', 'pyarrow', 'pydantic', 'cyclopts')}; medians, seconds per expert\n")
    import_torch()
    lines = []
    for name, groups in (("one expert per job", alone[: given.jobs]), (f"{size} experts per job, as in the demo", grouped)):
        found = measure(given.run.resolve(), groups)
        overhead = [wall - training for wall, training in zip(found["wall"], found["training"], strict=True)]
        rest = [value - answering for value, answering in zip(overhead, found["answering"], strict=True)]
        cells = [
            f"{statistics.median(values):.2f}"
            for values in (found["wall"], found["training"], overhead, found["answering"], found["torch"])
        ]
        ratios = [f"{_report.median_ratio(values, found['torch']):.2f}" for values in (overhead, rest)]
        lines.append([name, str(len(groups)), *cells, *ratios])
    head = ["experts", "jobs", "wall", "training", "overhead", "of that answering 12,000 images", "`import torch`"]
    print(_report.table([*head, "overhead / import torch", "the same without answering"], lines))


if __name__ == "__main__":
    main()
