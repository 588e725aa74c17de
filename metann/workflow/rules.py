"""What the rules need: of this machine, and small functions that Snakemake's files would otherwise hold untested; no torch."""

import atexit
import hashlib
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from metann.compute.gpus import local_gpus
from metann.config.training import TrainingSection
from metann.errors import MetannError


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


def places(settings: Any, training: TrainingSection) -> int:
    """Jobs of a training that run at once on this machine: as many as its cores, or its GPUs, allow.

    Args:
        settings: the workflow's `resource_settings`.
        training: of these jobs.
    """
    cores = max((settings.cores or os.cpu_count() or 1) // training.threads, 1)
    devices = (settings.resources or {}).get("gpu") or len(local_gpus())
    return min(cores, devices) if devices and training.device != "cpu" else cores


def planned_classes() -> int | None:
    """The number of classes that `metann plan` asks for, when it reads the rules; None when a run does."""
    return int(os.environ["METANN_PLAN_CLASSES"]) if os.environ.get("METANN_PLAN_CLASSES") else None


def grows(amount: int) -> Callable[..., int]:
    """A resource that grows with every attempt: what a job was killed for the want of, it gets more of when it is tried again."""

    def grown(wildcards: Any, attempt: int) -> int:  # noqa: ARG001 - Snakemake gives arguments by these names
        return amount * attempt

    return grown


def one_of(names: Iterable[object]) -> str:
    """A wildcard constraint: exactly these names, or nothing at all."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def short_digest(texts: Iterable[str]) -> str:
    """8 hex digits that name a set of texts in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def folder(path: object, up: int = 1) -> str:
    """The folder of a file, or one further up; for params, which the linter wants derived from files."""
    return str(Path(str(path)).parents[up - 1])


def weights_by_name(names: Iterable[str], known: Iterable[str], pattern: str, field: str, seed: object) -> dict[str, str]:
    """Weights that a configuration names: of something that this run trains with the same seed, or else a file.

    Args:
        names: as configured.
        known: what the run trains.
        pattern: the folder of one of these, with the fields `seed` and `field`.
    """
    trained = set(known)
    return {name: f"{pattern}/weights.safetensors".format(**{field: name, "seed": seed}) if name in trained else name for name in names}


def named_flags(flag: str, files: Mapping[str, str]) -> list[str]:
    """Files by name as flags: `--sources=attentive=path`; a file that is its own name needs none."""
    return [f"--{flag}={name}={path}" for name, path in files.items() if name != path]


def given_flags(inputs: Mapping[str, str], *names: str) -> list[str]:
    """Those of a job's inputs that not every run has, as flags: `--body=path`."""
    given = dict(inputs.items())  # of a list with names, which Snakemake's inputs are, `in` asks for the values
    return [f"--{name}={given[name]}" for name in names if name in given]


def at_the_end(text: str) -> None:
    """Print a line when this process ends: Snakemake's own last words come after what a workflow may say."""
    atexit.register(print, text, file=sys.stderr, flush=True)


def check_folder(folder: Path) -> None:
    """Refuse a folder whose name a cluster's shell would run: the plugin writes it into its scripts between double quotes.

    Raises:
        MetannError: naming the character.
    """
    strange = next((letter for letter in str(folder) if letter in '$`"\\!\n'), None)
    if strange is not None:
        raise MetannError(
            f"the folder {str(folder)!r} has {strange!r} in its name, which the shell of a cluster would take for a command; "
            "rename or move it"
        )
