"""How long Snakemake thinks: seconds and memory of a dry run over the number of expert jobs.

    python benchmarks/bench_dag.py [CLASSESxTHRESHOLDSxCLASSES_PER_JOB ...] [--tails]

With --tails experts are the last blocks of a second network, all of a dataset threshold in one job. Classes hold one small image each. The
best of --repeats, since other work on the machine only adds.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from _report import machine
from PIL import Image

ROOT = Path(__file__).parent.parent
CASES = ["10x10x1", "100x10x1", "1000x11x10", "1000x11x1"]


def config(thresholds: int, classes_per_job: int, tails: bool) -> dict:
    network = {"architecture": "small_cnn"}
    return {
        "run": "dag",
        "data": {"name": "image_folder", "root": "photos"},
        "networks": {"switch": network} | ({"second": network} if tails else {}),
        "mnn": ({"second": "second", "expert": {"body": "second", "tail": 2}} if tails else {})
        | {
            "controls": [],
            "dataset_thresholds": [round((i + 1) / 1000, 3) for i in range(thresholds)],
            "test_thresholds": [0, 0.5, 1],
            "classes_per_job": classes_per_job,
            "figures": ["mnn_heatmap"],
        },
    }


def measure(case: str, repeats: int, tails: bool) -> tuple[int, int, float, float]:
    """(expert jobs, all jobs, seconds, MB) of a dry run."""
    classes, thresholds, classes_per_job = map(int, case.split("x"))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for c in range(classes):
            (folder / f"photos/class_{c:04}").mkdir(parents=True)
            Image.new("L", (8, 8), c % 256).save(folder / f"photos/class_{c:04}/0.png")
        (folder / "config.yaml").write_text(yaml.safe_dump(config(thresholds, classes_per_job, tails)))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", "config.yaml", "--dry-run", "--quiet", "rules"]
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
            seconds.append(time.perf_counter() - start)
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", text, re.MULTILINE)}
    experts = sum(count for rule, count in counts.items() if rule.startswith("train_expert"))
    return experts, counts["total"], min(seconds), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--tails", action="store_true")
    arguments = parser.parse_args()
    print(machine("snakemake"))
    print("classes x thresholds x classes per job | expert jobs | all jobs | dry run, s | peak MB so far")
    for case in arguments.cases:
        experts, jobs, seconds, memory = measure(case, arguments.repeats, arguments.tails)
        print(f"{case} | {experts:,} | {jobs:,} | {seconds:.1f} | {memory:.0f}", flush=True)


if __name__ == "__main__":
    main()
