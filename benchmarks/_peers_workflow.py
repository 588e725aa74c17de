"""Thirty experts of digits by the shell alone and by the workflow, and what a second call does again."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import _report
import yaml

from metann.config.run import Config
from metann.config.section import flags, read_section
from metann.thresholds import format_threshold

ROOT = Path(__file__).resolve().parent.parent
CORES = 2


THRESHOLDS = (0.05, 0.1, 0.2)


def measure(experts_in_all: int = 30) -> str:
    """Wall seconds of both, at first and again, after the switch is there.

    Args:
        experts_in_all: 10, 20 or 30: ten for each dataset threshold.
    """
    thresholds = list(THRESHOLDS[: experts_in_all // 10])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = yaml.safe_load((ROOT / "presets/digits.yaml").read_text())
        config["mnn"] |= {"dataset_thresholds": thresholds, "controls": []}
        config["networks"] = {"switch": config["networks"]["switch"]}
        rows = []
        for per_job in (1, 5):
            config["mnn"]["classes_per_job"], config["run"] = per_job, f"digits-{per_job}"
            (folder / "digits.yaml").write_text(yaml.safe_dump(config))
            run = folder / f"results/digits-{per_job}"
            snakemake(folder, str(run.relative_to(folder) / "networks/switch/seed_0/probabilities.parquet"))
            section = read_section(Config, config)
            if per_job == 1:
                commands = folder / "commands.txt"
                commands.write_text("".join(f"{line}\n" for line in experts(run, section)))
                # As a script of a user's would be: each line a process, two at a time.
                plain = ["xargs", "-a", str(commands), "-d", "\n", "-P", str(CORES), "-I{}", "sh", "-c", "{} > /dev/null"]
                shell = partial(subprocess.run, plain, cwd=folder, env=environment(), check=True)
                both = [_report.seconds(shell) for _ in range(2)]
                count = f"{experts_in_all}"
                rows.append(["shell, xargs -P 2", count, *(f"{seconds:.0f}" for seconds in both), f"all {count}"])
                _report.progress(f"shell: {both}")
            targets = [
                f"results/digits-{per_job}/mnn/seed_0/dataset_threshold_{format_threshold(t)}/class_{c}/expert_probabilities.parquet"
                for t in section.mnn.dataset_thresholds
                for c in range(10)
            ]
            texts: list[str] = []
            make = partial(lambda texts, targets: texts.append(snakemake(folder, *targets)), texts, targets)
            both = [_report.seconds(make) for _ in range(2)]
            _report.progress(f"workflow, {per_job} a job: {both}")
            again = "nothing" if "Nothing to be done" in texts[1] else "something"
            jobs = re.search(r"^total +(\d+)$", texts[0], re.MULTILINE)
            how = f"snakemake --cores 2, {per_job} class{'es' if per_job > 1 else ''} to a job"
            rows.append([how, jobs[1] if jobs else "", *(f"{s:.0f}" for s in both), again])
        return _report.table(["way", "processes", "seconds", "seconds of a second call", "what it does again"], rows)


def environment() -> dict[str, str]:
    """This project's code, and one thread a process."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def snakemake(folder: Path, *targets: str) -> str:
    """Make targets; what it says."""
    command = [sys.executable, "-m", "snakemake", *targets, "--snakefile", str(ROOT / "Snakefile"), "--configfile", "digits.yaml"]
    done = subprocess.run(
        [*command, "--cores", str(CORES)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return done.stdout + done.stderr


def experts(run: Path, section: Config) -> list[str]:
    """Command lines that train each expert into a folder beside the run."""
    switch, lines = run / "networks/switch/seed_0", []
    for t in section.mnn.dataset_thresholds:
        for c in range(10):
            words = [sys.executable, "-m", "metann", "train-expert", "--classes", str(c), f"--dataset-threshold={format_threshold(t)}"]
            words += [f"--switch={switch / 'weights.safetensors'}", f"--probabilities={switch / 'probabilities.parquet'}"]
            words += [f"--data={run / 'data'}", f"--output={run.parent / 'shell' / format_threshold(t)}", "--seed=0"]
            lines.append(shlex.join([*words, *flags("expert", section.mnn.expert)]))
    return lines
