"""What the rules need of this machine; no torch."""

import os
import sysconfig
from pathlib import Path

from metann.config import TrainingSection


def use_this_environment() -> None:
    """Put the scripts of the running Python first on PATH: the rules call `metann` by name, its environment active or not."""
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])


def gpus(training: TrainingSection) -> int:
    """GPUs that a training job asks for: one where CUDA is asked for, or is here to be used."""
    here = any(Path("/dev").glob("nvidia[0-9]*"))
    return int(training.device == "cuda" or (training.device == "auto" and here))
