"""Expert jobs on SLURM: one class to a job, the same as array jobs, and several classes to a job.

    python benchmarks/bench_slurm.py          (minutes; needs a SLURM with two free CPUs, else it says so and ends)

All ways start from the same trained switch of scikit-learn's digits and end when every expert's table is there.
"""

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


def configure(folder: Path, classes_per_job: int) -> None:
    config = yaml.safe_load((ROOT / "presets/digits.yaml").read_text())
    config["mnn"]["dataset_thresholds"] = [float(threshold) for threshold in THRESHOLDS]
    config["mnn"]["classes_per_job"] = classes_per_job
    (folder / "digits.yaml").write_text(yaml.safe_dump(config))


def submitted(folder: Path) -> int:
    """Jobs that SLURM remembers from a folder; an array counts its tasks."""
    lines = subprocess.run(["squeue", "-h", "-r", "-t", "all", "-o", "%Z"], capture_output=True, text=True, check=True).stdout
    return lines.splitlines().count(str(folder))


def main() -> None:
    if not shutil.which("sbatch"):
        print("no SLURM here: nothing measured")
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
