"""What the rules need of this machine; no torch."""

import os
import sysconfig
from typing import Any

from metann.compute.gpus import local_gpus
from metann.config.run import TrainingSection


def use_this_environment() -> None:
    """Put the scripts of the running Python first on PATH: the rules call `metann` by name, its environment active or not."""
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])


def gpus_are_there(settings: Any) -> bool:
    """Whether `device: auto` means a GPU: where the job will run, which need not be here.

    Snakemake reads the rules again inside every Slurm job, on a machine other than the login node. Only the allocation may
    answer there: a step that asks for a GPU which its job has not got fails.

    Args:
        settings: the workflow's `resource_settings`; `--resources gpu=4`, or a `gpu_model` in a profile, says that there are GPUs.
    """
    if "SLURM_JOB_ID" in os.environ:
        return any(os.environ.get(name) for name in ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS"))
    return bool(local_gpus()) or "gpu" in (settings.resources or ()) or "gpu_model" in (settings.default_resources or ())


def gpus(training: TrainingSection, there: bool) -> int:
    """GPUs that a training job asks for: one where CUDA is asked for, or is there to be used."""
    return int(training.device == "cuda" or (training.device == "auto" and there))
