"""Snakemake's own list of the jobs of a configuration; nothing is run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from metann.errors import MetannError
from metann.plan.grouping import PLANNING

CLASSES = "METANN_PLAN_CLASSES"
"""Environment variable with a number of classes to plan for, instead of the data set's own; its files need not be there then."""


def dag(config: Path, snakefile: Path, classes: int | None = None) -> str:
    """What `snakemake --dag dot` prints for a configuration, in the folder in which this process works.

    Args:
        config: the configuration.
        snakefile: of the workflow.
        classes: instead of the data set's number of classes.

    Raises:
        MetannError: the workflow refuses the configuration; with its own line.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--configfile", str(config)]
    command += ["--dag", "dot", "--nolock", "--cores", "1"]
    environment = os.environ | _home() | {PLANNING: "1"} | ({CLASSES: str(classes)} if classes is not None else {})
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("metann: error: ")), " ".join(lines[-3:]))
        raise MetannError(said.removeprefix("metann: error: "))
    return done.stdout


def _home() -> dict[str, str]:
    """A place for Snakemake's own files where the user has none: no HOME, and no entry in passwd."""
    try:
        Path.home()
    except RuntimeError:
        return {"HOME": tempfile.gettempdir()}
    return {}
