"""Configurations that people write: what would silently not count is refused, and `~` is a home in every path."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from test_border_photos import made

from metann.cli import main
from metann.config.data import DataSection
from metann.config.network import NetworkSection
from metann.config.section import read_section
from metann.errors import MetannError
from metann.workflow.configuration import check_configuration, check_keys


def refusal(folder: Path, *arguments: str) -> str:
    """The one line of a workflow that does not start."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "metann: error" in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_case_duplicate_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("15-duplicate-yaml-keys", tmp_path, monkeypatch)
    assert "key 'training' stands twice, in lines 3 and 4" in refusal(tmp_path, "--configfile", "twice.yaml")
    assert "--configfile is given twice" in refusal(tmp_path, "--configfile", "first.yaml", "--configfile", "second.yaml")
    assert "second.yaml has no key 'run'" in refusal(tmp_path, "--configfile", "second.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run: a\nnetworks:\n  x: {architecture: small_cnn}\n  y: {}\n  x: {}\n", "'networks.x' stands twice, in lines 3 and 5"),
        ("run: a\ntraining: {epochs: 3, epochs: 4}\n", "'training.epochs' stands twice, in lines 2 and 2"),
        ("a:\n- b: 1\n  c: 2\n  b: 3\n", "'a.b' stands twice, in lines 2 and 4"),
        ('{"run": "a", "run": "b"}', "'run' stands twice"),
        ("run: a\n'run': b\n", "'run' stands twice, in lines 1 and 2"),
    ],
)
def test_keys_that_stand_twice(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(MetannError, match=says):
        check_keys(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {p: 1, q: 2}\nb: {<<: *x, p: 3}\nc: {<<: *x, q: 3}\n",
        "base: &b {p: 1}\nmore: &m {<<: *b, p: 2}\nlast: {<<: *m, p: 3}\n",
        "a: {x: 1}\nb: {x: 1}\n",
        "1: a\n'1': b\n",
        "not yaml: [",
    ],
)
def test_keys_that_do_not(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    check_keys(tmp_path / "c.yaml")
    check_keys(tmp_path / "not there.yaml")


@pytest.mark.parametrize("path", [*sorted((ROOT / "presets").glob("*.yaml")), ROOT / "config.yaml"], ids=lambda path: path.stem)
def test_presets_are_accepted(path: Path) -> None:
    check_configuration([path], [path], ["snakemake", "--configfile", str(path)], yaml.safe_load(path.read_text()))


def test_several_files_behind_one_flag(tmp_path: Path) -> None:
    check_configuration([], [], ["snakemake", "--cores", "2"], {})
    check_configuration([], [tmp_path / "a", tmp_path / "b"], ["--configfile", "a", "b"], {"run": "x"})
    for arguments in (["--configfile=a", "--configfile=b"], ["--configfiles", "a", "--configfile", "b"]):
        with pytest.raises(MetannError, match="given twice"):
            check_configuration([], [tmp_path / "b"], arguments, {"run": "x"})


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_section(DataSection, {"root": "~/photos"}).root == tmp_path / "photos"
    table = read_section(NetworkSection, {"probabilities": "~/p.npy", "labels": "~/y.npy", "val_rows": "~/ids.txt"})
    assert (table.probabilities, table.labels, table.val_rows) == (tmp_path / "p.npy", tmp_path / "y.npy", str(tmp_path / "ids.txt"))
    weights = read_section(NetworkSection, {"architecture": "small_cnn", "weights": "~/w.pth"})
    assert weights.weights == str(tmp_path / "w.pth")
    with pytest.raises(MetannError, match="no such home"):
        read_section(DataSection, {"root": "~nobody-of-this-name/photos"})


def test_home_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        main(["prepare-data", "--data.name=digits", "--output=~/data"])
    assert end.value.code == 0
    assert (tmp_path / "data" / "dataset.json").is_file()
    with pytest.raises(SystemExit):
        main(["predict", "~/model.safetensors", "~/photo.png"])
    assert f"{tmp_path}/photo.png" in capsys.readouterr().err
