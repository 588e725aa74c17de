"""Expert jobs on SLURM: one class to a job, the same as array jobs, and several classes to a job.

    python benchmarks/bench_slurm.py [--plan 200]          (minutes; needs a SLURM with two free CPUs, else it says so and ends)

All ways start from the same trained switch of scikit-learn's digits and end when every expert's table is there. With --plan, instead: how
long `metann plan` says that a run with so many expert jobs (one class each) takes on the CPUs of this cluster, from the times of a pilot
with a tenth of them that ran there, and how long it takes.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from _report import machine, seconds

ROOT = Path(__file__).parent.parent
THRESHOLDS, CLASSES = ("0.05", "0.20"), 10
WAYS = {
    "1 class to a job": (1, []),
    "1 class to a job, array jobs": (1, ["--slurm-array-jobs", "train_expert"]),
    "5 classes to a job": (5, []),
    "10 classes to a job": (10, []),
}


def snakemake(folder: Path, *words: object) -> None:
    command = [sys.executable, "-m", "snakemake", *words, "--snakefile", ROOT / "Snakefile", "--configfile", "digits.yaml"]
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def configure(folder: Path, classes_per_job: int, thresholds: list[float] | None = None) -> None:
    config = yaml.safe_load((ROOT / "presets/digits.yaml").read_text())
    config["mnn"]["dataset_thresholds"] = thresholds or [float(threshold) for threshold in THRESHOLDS]
    config["mnn"]["classes_per_job"] = classes_per_job
    (folder / "digits.yaml").write_text(yaml.safe_dump(config))


def submitted(folder: Path) -> int:
    """Jobs that SLURM remembers from a folder; an array counts its tasks."""
    lines = subprocess.run(["squeue", "-h", "-r", "-t", "all", "-o", "%Z"], capture_output=True, text=True, check=True).stdout
    return lines.splitlines().count(str(folder))


def against_the_plan(experts: int) -> None:
    """Print what the plan says and what is so."""
    total = subprocess.run(["sinfo", "-h", "-o", "%C"], capture_output=True, text=True, check=True).stdout.split("/")[-1].strip()
    thresholds = [round(0.9 * (k + 1) / (experts // CLASSES), 4) for k in range(experts // CLASSES)]
    with tempfile.TemporaryDirectory() as place:
        folders = {"pilot": Path(place) / "pilot", "whole": Path(place) / "whole"}
        took = {}
        for name, folder in folders.items():
            shutil.copytree(ROOT / "slurm", folder / "slurm")
            configure(folder, 1, thresholds[:: 10 if name == "pilot" else 1])
        took["pilot"] = seconds(lambda: snakemake(folders["pilot"], "--profile", "slurm"))
        words = ["--config", folders["whole"] / "digits.yaml", "--run", folders["pilot"] / "results/digits", "--devices", total]
        said = subprocess.run(
            [sys.executable, "-m", "metann", "plan", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        took["whole"] = seconds(lambda: snakemake(folders["whole"], "--profile", "slurm"))
        print(machine("snakemake", "snakemake-executor-plugin-slurm"))
        print(f"{total} CPUs in the cluster; pilot of {len(thresholds[::10]) * CLASSES} experts: {took['pilot']:.0f} s\n\n{said.stdout}")
        print(f"measured, {experts} experts, {submitted(folders['whole'])} SLURM jobs: {took['whole']:.0f} s")
        jobs = re.search(r"(\d[\d,]*) jobs", said.stdout)
        print(f"jobs of the plan: {jobs[1] if jobs else '?'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=int, default=0, help="how many expert jobs to hold against the plan, a multiple of 100")
    given = parser.parse_args()
    if not shutil.which("sbatch"):
        print("no SLURM here: nothing measured")
        return
    if given.plan:
        against_the_plan(given.plan)
        return
    with tempfile.TemporaryDirectory() as place:
        start = Path(place) / "start"
        shutil.copytree(ROOT / "slurm", start / "slurm")
        configure(start, 5)
        snakemake(start, "--cores", 2, "--until", "export_probabilities")
        targets = [
            f"results/digits/mnn/seed_0/dataset_threshold_{threshold}/class_{c}/expert_probabilities.parquet"
            for threshold in THRESHOLDS
            for c in range(CLASSES)
        ]
        print(machine("snakemake", "snakemake-executor-plugin-slurm"))
        print("| 20 experts | SLURM jobs | seconds until all are there |")
        print("| --- | --- | --- |")
        for number, (way, (classes_per_job, words)) in enumerate(WAYS.items()):
            folder = Path(place) / f"way_{number}"
            shutil.copytree(start, folder)
            configure(folder, classes_per_job)
            profile = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", 2, *words]
            took = seconds(lambda folder=folder, profile=profile: snakemake(folder, *targets, *profile))
            print(f"| {way} | {submitted(folder)} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
