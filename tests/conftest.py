"""What the tests share."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import settings

# Before torch is imported anywhere: one thread per process on small machines, and figures without a screen.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).parent.parent

# What starts the tests in the background may have them ignore interrupts and hang-ups, and with them every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A deadline would be a timing assertion: on a busy machine any example may take seconds.
settings.register_profile("metann", deadline=None)
settings.load_profile("metann")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside a development checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"NO REAL DATA: {folder} is not there; published tables and CIFAR-10 are not checked")
    return folder


def read_preset(path: Path) -> dict[str, Any]:
    """What a preset says; the test is skipped where it needs timm, which is not installed."""
    text = path.read_text()
    if "timm/" in text and find_spec("timm") is None:
        pytest.skip(f"NO TIMM: pip install 'metann[timm]'; {path.name} is not checked")
    return yaml.safe_load(text)


def metann(*arguments: object, cwd: Path = ROOT, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one verb of the command line in a process of its own."""
    command = [sys.executable, "-m", "metann", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done


def snakemake(*arguments: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the workflow of this checkout in the folder `cwd`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done


BAD_INPUT = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first, whatever their order otherwise: a broken formula is told in seconds, not behind a cluster.

    And the names of those of bad input are kept, before `-m` and `-k` leave any out.
    """
    config.stash[BAD_INPUT] = [item.nodeid for item in items if item.get_closest_marker("bad_input")]
    items.sort(key=lambda item: ("slow" in item.keywords) + 2 * ("slurm" in item.keywords))
