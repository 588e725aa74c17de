"""Stage init: the workflow as files of one's own, for whoever installed the package and has no clone."""

from pathlib import Path


def init(folder: Path) -> None:
    """Write Snakefile, rules, config.yaml, presets and profiles into a new or empty folder, ready for `snakemake --cores all`.

    Parameters
    ----------
    folder
        To write into.
    """
    from metann.workflow.project import copy_project

    copy_project(folder)
    print(f"{folder}: edit config.yaml, or take one of presets/, and run `snakemake --cores all` there")
