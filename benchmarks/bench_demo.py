"""Where the wall time of the demo goes: the whole workflow from nothing, and every job's share.

    python benchmarks/bench_demo.py [--repeats 5] [--cores 2]

Each repeat runs `snakemake` in a temporary folder with config.yaml as it is. Starts and ends of jobs are those that Snakemake
writes down; training is the sum of `seconds` in training.csv, answering what the logs say. The table is of the repeat with the
median wall time. Core seconds are wall times of jobs; their share is of cores x wall time.
"""

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import _report

ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path, cores: int) -> float:
    """Seconds of a whole run in an empty folder."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores), "--quiet", "all"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return _report.seconds(
        lambda: subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    )


def jobs(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Start and end of every job by rule, from Snakemake's own records; there is one for each output."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for path in (folder / ".snakemake" / "metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text())
            found[record["rule"], record["shellcmd"]] = record["starttime"], record["endtime"]
    by_rule: dict[str, list[tuple[float, float]]] = {}
    for (rule, _), times in sorted(found.items(), key=lambda item: item[1]):
        by_rule.setdefault(re.sub(r"_\d+$", "", rule), []).append(times)
    return by_rule


def inside(folder: Path) -> dict[str, tuple[float, float]]:
    """Rule -> seconds of training and of answering within its jobs."""
    found = {}
    for rule, pattern in (("train_network", "networks/*/seed_*"), ("train_expert", "mnn/*/*/class_*")):
        trained = 0.0
        for path in (folder / "results" / "demo").glob(f"{pattern}/training.csv"):
            with path.open(newline="") as file:
                trained += sum(float(row["seconds"]) for row in csv.DictReader(file))
        logs = [path.read_text() for path in (folder / "results" / "demo").rglob(f"{rule}*.log")]
        answered = sum(float(number) for text in logs for number in re.findall(r"answered in ([\d.]+) s", text))
        found[rule] = trained, answered
    return found


def describe(folder: Path, wall: float, cores: int) -> str:
    """The table of one run."""
    by_rule, parts = jobs(folder), inside(folder)
    begin, end = min(times[0][0] for times in by_rule.values()), max(t for times in by_rule.values() for _, t in times)
    lines = []
    for rule, times in by_rule.items():
        spent = sum(stop - start for start, stop in times)
        trained, answered = parts.get(rule, (0.0, 0.0))
        detail = [f"{value:.1f}" if value else "" for value in (trained, answered, spent - trained - answered)]
        span = f"{times[0][0] - begin:.0f} to {max(stop for _, stop in times) - begin:.0f}"
        lines.append([rule, str(len(times)), f"{spent:.1f}", f"{100 * spent / (cores * wall):.0f} %", *detail, span])
    busy = sum(stop - start for times in by_rule.values() for start, stop in times)
    outside = wall - (end - begin)
    lines.append(
        ["Snakemake before the first job and after the last", "", f"{outside:.1f}", f"{100 * outside / wall:.0f} %", "", "", "", ""]
    )
    waiting = cores * (end - begin) - busy
    lines.append(["cores without a job", "", f"{waiting:.1f}", f"{100 * waiting / (cores * wall):.0f} %", "", "", "", ""])
    head = ["rule", "jobs", "core seconds", "share", "training", "answering", "the rest (start, imports, files)", "from ... to, s"]
    return _report.table(head, lines)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=_report.REPEATS, help="whole runs")
    parser.add_argument("--cores", type=int, default=2, help="of Snakemake")
    given = parser.parse_args()
    about = _report.machine("torch", "snakemake", "pandas", "matplotlib")
    found = []
    for repeat in range(given.repeats):
        with tempfile.TemporaryDirectory() as name:
            wall = run(Path(name), given.cores)
            found.append((wall, describe(Path(name), wall, given.cores)))
        _report.progress(f"run {repeat + 1} of {given.repeats}: {wall:.0f} s")
    walls = sorted(wall for wall, _ in found)
    median = statistics.median_low(walls)
    print(f"{about}; {given.cores} cores used\n")
    print(f"Median of {len(walls)} runs: {median:.0f} s (from {walls[0]:.0f} to {walls[-1]:.0f}); goal: under 90 s on 2 idle cores.\n")
    print(next(table for wall, table in found if wall == median))


if __name__ == "__main__":
    main()
