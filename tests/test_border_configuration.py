"""Configurations that people write: what would silently not count is refused, and `~` is a home in every path."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from test_border_photos import made

from metann.cli import main
from metann.config.data import DataSection
from metann.config.network import NetworkSection
from metann.config.run import Config
from metann.config.section import read_section
from metann.errors import MetannError
from metann.workflow.configuration import check_configuration, check_keys, check_text, chosen_files

pytestmark = pytest.mark.bad_input


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
        ('{"run": "a",\n\t"seeds": [0],\n\t"run": "b"}', "'run' stands twice in one mapping"),
        ('{"mnn": {\n\t"switch": "a",\n\t"switch": "b"}}', "'switch' stands twice in one mapping"),
        ("cascade:\n  chains:\n  - {networks: [a], networks: [b]}\n", "'cascade.chains.networks' stands twice, in lines 3 and 3"),
        ("data: {é: 1, é: 2}\n", "'data.é' stands twice"),
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


TEXT = "run: caf\u00e9\nnetworks: {}\n"
NO_TEXT = [
    ("UTF-16", TEXT.encode("utf-16"), "is UTF-16, and UTF-8 is needed"),
    ("UTF-16 big end first", b"\xfe\xff" + TEXT.encode("utf-16-be"), "is UTF-16"),
    ("UTF-16 without a mark", TEXT.encode("utf-16-le"), "is UTF-16"),
    ("UTF-32", TEXT.encode("utf-32"), "is UTF-32"),
    ("a zero byte", b"run: a\0b\n", "is no text"),
    ("Latin-1", TEXT.encode("latin-1"), "line 1: byte 0xe9 is no UTF-8"),
    ("code page 1252 further down", b"run: a\n# \x93quoted\x94\n", "line 2: byte 0x93"),
    ("a tab", b"run: a\ntraining:\n\tepochs: 3\n", "line 3 is no YAML"),
    ("a list not closed", b"run: a\nseeds: [0, 1\n", "is no YAML"),
    ("a control character", b"run: a\x07\n", "is no YAML: special characters"),
    ("a list", b"- run\n", "has no keys at its top"),
    ("a word", b"run\n", "has no keys at its top"),
    ("nothing", b"", "is empty"),
    ("comments alone", b"# run: a\n", "is empty"),
    ("two documents", b"run: a\n---\nrun: b\n", "several documents"),
    ("very deep", b"[" * 100_000, "nested too deep"),
    ("itself", b"run: a\ndata: &d {name: digits, root: *d}\n", "line 2: the value there contains itself"),
    ("itself in a list", b"run: a\nnetworks: {}\nseeds: &s [1, [2, *s]]\n", "line 3: the value there contains itself"),
    ("itself at the top", b"&all\nrun: a\ntraining: *all\n", "the value there contains itself"),
    ("code", b"run: !!python/object/apply:os.system ['touch hacked']\n", "line 1 is no YAML: could not determine a constructor"),
    ("a tag of somebody's", b"run: a\nseeds: !range 0..3\n", "line 2 is no YAML: could not determine a constructor"),
    ("a key that is a list", b"run: a\n? [x, y]\n: b\n", "is no YAML: found unhashable key"),
    ("a date that no calendar has", b"run: a\nwhen: 2026-13-45\n", "holds a value that YAML cannot read"),
]


@pytest.mark.parametrize(("raw", "says"), [case[1:] for case in NO_TEXT], ids=[case[0] for case in NO_TEXT])
def test_files_that_are_no_configuration(tmp_path: Path, raw: bytes, says: str) -> None:
    (tmp_path / "c.yaml").write_bytes(raw)
    with pytest.raises(MetannError, match=re.escape(says)):
        check_text(tmp_path / "c.yaml")


@pytest.mark.parametrize(("make", "says"), [(Path.mkdir, "is a directory"), (bool, "no file")])
def test_configurations_that_cannot_be_read(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    make(tmp_path / "c.yaml")
    with pytest.raises(MetannError, match=says):
        check_text(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfrun: a\n",
        b'{\n\t"run": "a"\n}',
        "run: \u732b\n".encode(),
        b"run: a\r\nseeds: [0]\r\n",
        b"a: &a [1]\nb: [*a, *a]\nc: *a\n",
    ],
)
def test_texts_that_are_taken(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(raw)
    check_text(tmp_path / "c.yaml")


def test_snakemake_is_asked_before_it_reads(tmp_path: Path) -> None:
    """Through the profile, for Snakemake reads configurations before the rules."""
    (tmp_path / "utf16.yaml").write_bytes(TEXT.encode("utf-16"))
    assert "utf16.yaml is UTF-16" in refusal(tmp_path, "--configfile", "utf16.yaml")


def test_files_on_the_command_line() -> None:
    arguments = ["all", "--configfile", "a.yaml", "b.yaml", "-n", "x", "--configfiles=c.yaml", "--config", "k=v", "--configf", "d.yaml"]
    assert chosen_files(arguments) == ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]


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


@pytest.mark.parametrize("seed", [2**63, 10**23, -1, 0.5, "zero", None])
def test_seeds_that_no_table_can_hold(seed: object) -> None:
    with pytest.raises(MetannError, match="seeds"):
        read_section(Config, {"run": "a", "networks": {"s": {"architecture": "small_cnn"}}, "seeds": [seed]})
