"""The workflow's own files: beside the package in a clone, inside it where a wheel was installed."""

import shutil
from pathlib import Path

from metann.errors import MetannError
from metann.registry import PACKAGE

PARTS = ("Snakefile", "config.yaml", "rules", "presets", "profiles", "slurm")


def project_folder() -> Path:
    """The folder with Snakefile, rules, config.yaml, presets and profiles.

    Raises:
        MetannError: the package was copied without them.
    """
    for folder in (PACKAGE.parent, PACKAGE / "_project"):
        if (folder / "Snakefile").is_file() and (folder / "rules").is_dir():
            return folder
    raise MetannError(f"the workflow is neither beside {PACKAGE} nor in it; install metann's wheel, or work in a clone")


def copy_project(target: Path) -> None:
    """Write the workflow into a new or empty folder.

    Raises:
        MetannError: it is a file, holds something, or cannot be written.
    """
    source = project_folder()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            found = f"holds {min(path.name for path in target.iterdir())}" if target.is_dir() else "is a file"
            raise MetannError(f"{target} {found}; give a new or an empty folder")
        target.mkdir(parents=True, exist_ok=True)
        for name in PARTS:
            if (source / name).is_dir():
                shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source / name, target / name)
    except OSError as error:
        raise MetannError(f"cannot write into {target}: {(error.strerror or str(error)).lower()}; give another folder") from None
