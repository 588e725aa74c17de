"""The workflow without a clone: files in a folder of one's own, the wheel in an environment of its own, a module of another workflow."""

import filecmp
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, metann

from metann.errors import MetannError
from metann.workflow.project import PARTS, copy_project, project_folder


def test_init_writes_all_of_the_workflow(tmp_path: Path) -> None:
    done = metann("init", tmp_path / "new folder")
    assert "snakemake --cores all" in done.stdout
    for name in PARTS:
        ours, theirs = ROOT / name, tmp_path / "new folder" / name
        if ours.is_dir():
            compared = filecmp.dircmp(ours, theirs, ignore=["__pycache__"])
            assert (compared.left_only, compared.right_only, compared.diff_files) == ([], [], [])
        else:
            assert theirs.read_bytes() == ours.read_bytes()
    again = metann("init", tmp_path / "new folder", check=False)
    assert again.returncode == 2
    assert again.stderr == f"metann: error: {tmp_path / 'new folder'} holds Snakefile; give a new or an empty folder\n"


def test_init_refuses_what_is_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MetannError, match="is a file; give a new or an empty folder"):
        copy_project(tmp_path / "file")
    with pytest.raises(MetannError, match="not a directory; give another folder"):
        copy_project(tmp_path / "file" / "inner")
    (tmp_path / "empty").mkdir()
    copy_project(tmp_path / "empty")
    assert (tmp_path / "empty/profiles/default").is_dir()


def test_snakefile_is_found() -> None:
    assert metann("snakefile").stdout == f"{ROOT / 'Snakefile'}\n"
    assert project_folder() == ROOT


def test_the_catalogue_of_workflows_knows_how_to_run_it() -> None:
    assert set(yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]) >= {"mandatory-flags", "report"}


IMPORTING = """
configfile: "mine.yaml"

module metann:
    snakefile: "{snakefile}"
    config: config["metann"]

use rule * from metann as metann_*

rule all:
    default_target: True
    input: "lines.txt"

rule count:
    input: "results/mine/summary.md"
    output: "lines.txt"
    shell: "wc -l {{input}} > {{output}}"
"""
NETWORK = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}
EVERY_FAMILY = {
    "run": "mine",
    "data": {"name": "digits"},
    "networks": {"switch": NETWORK, "wide": NETWORK},
    "mnn": {"controls": ["wide"]},
    "cascade": {},
    "mixture": {"experts": {**NETWORK, "number": 2}, "gate": NETWORK, "settings": ["expectation"], "controls": []},
    "hypernetwork": {"experiments": {"E1": {"scheme": "anchor", "held_out": "tasks", "test": 3, "validation": 2}}},
}


def test_another_workflow_imports_this_one(tmp_path: Path) -> None:
    """Its rules under names of their own, its configuration a part of the other's; run below a rule that needs its page."""
    (tmp_path / "Snakefile").write_text(IMPORTING.format(snakefile=ROOT / "Snakefile"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"metann": EVERY_FAMILY, "other": 1}))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    assert jobs["count"] == jobs["metann_collect_run"] == "1"
    assert {f"metann_collect_{family}" for family in ("mnn", "cascade", "mixture", "hypernetwork")} < set(jobs)


@pytest.mark.slow
def test_the_wheel_runs_the_digits_outside_of_the_repository(tmp_path: Path) -> None:
    """Built, installed without its dependencies into an environment that sees the installed ones, and run in a folder of `init`."""
    source = tmp_path / "source"
    source.mkdir()
    for name in (*PARTS, "metann", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)

    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*words: object, cwd: Path = tmp_path) -> str:
        command = list(map(str, words))
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", tmp_path / "wheels", source)
    (wheel,) = (tmp_path / "wheels").glob("metann-*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    # A path of a .pth file, whose own .pth files are not read: the dependencies, and not a metann that is installed editable there.
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)

    bin_metann = tmp_path / "env/bin/metann"
    run(bin_metann, "init", "work")
    snakefile = Path(run(bin_metann, "snakefile").strip())
    assert snakefile.is_relative_to(packages)
    run(python, "-m", "snakemake", "--cores", 2, "--configfile", "presets/digits.yaml", cwd=tmp_path / "work")
    assert "digits" in (tmp_path / "work/results/digits/summary.md").read_text()
    told = run(
        python, "-m", "snakemake", "--snakefile", snakefile, "--dry-run", "--configfile", "presets/digits.yaml", cwd=tmp_path / "work"
    )
    assert "Nothing to be done" in told
