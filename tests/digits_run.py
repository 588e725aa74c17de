"""The digits run in a folder of its own: a copy of the project, one undisturbed run to compare with, and what must be equal."""

import csv
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import yaml
from conftest import ROOT

CONFIG = "digits.yaml"
RUN = Path("results/digits")
# Times and places; everything else must be the same, byte for byte.
DIFFERENT_EVERY_TIME = {".log", ".tsv", ".html"}  # the page tells run times


def checkout(folder: Path, source: Path = ROOT) -> Path:
    """Copy the project into a new folder, with a digits configuration that draws only the heatmap.

    Two runs that are compared need the same code: give the first one's folder as `source` of the second.
    """
    folder.mkdir(parents=True)
    for name in ("metann", "rules", "envs", "slurm", "profiles"):
        shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "Snakefile", folder / "Snakefile")
    config = yaml.safe_load((ROOT / "presets/digits.yaml").read_text()) | {}
    config["mnn"]["figures"] = ["mnn_heatmap"]
    (folder / CONFIG).write_text(yaml.safe_dump(config))
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The jobs run the copy's code, so that an edit of the project in the meantime changes nothing."""
    return os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--configfile", CONFIG, *map(str, arguments)]


def run(folder: Path, *arguments: object, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Snakemake in a checkout, to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(done.stdout)
    return done


def undisturbed(base: Path) -> Path:
    """The checkout of a run that nothing happened to; made once in a test session below its temporary folder. Not to be changed."""
    folder = base / "undisturbed"
    if not folder.exists():
        run(checkout(folder), "--cores", 2)
    return folder


def fingerprint(folder: Path) -> dict[str, str]:
    """Path below the run -> digest of what must not depend on where, when and how often interrupted it was made.

    Hidden files are left out: what a killed process was writing has a hidden name.
    """
    found = {}
    for path in sorted((folder / RUN).rglob("*")):
        if path.suffix in DIFFERENT_EVERY_TIME or path.name.startswith(".") or not path.is_file():
            continue
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # a run that goes on removes outputs of failed jobs
            continue
        if path.suffix == ".csv":
            rows = csv.DictReader(content.decode().splitlines())
            content = repr([{**row, "seconds": None} for row in rows]).encode()
        found[str(path.relative_to(folder / RUN))] = hashlib.sha256(content).hexdigest()
    return found


def left_over(folder: Path) -> list[psutil.Process]:
    """Processes that still work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
