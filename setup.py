"""What pyproject.toml cannot say: the wheel carries the workflow, which lies beside the package here. See `metann init`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WORKFLOW = ("Snakefile", "config.yaml", "rules", "presets", "profiles", "slurm")


class BuildWithWorkflow(build_py):
    """The package, and below it the files of the workflow."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # then they are where they are
            return
        target = Path(self.build_lib, "metann", "_project")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in WORKFLOW:
            copy = shutil.copytree if Path(name).is_dir() else shutil.copy
            copy(name, target / name)


setup(cmdclass={"build_py": BuildWithWorkflow})
