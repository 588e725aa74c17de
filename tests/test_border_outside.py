"""All files that come from outside count by their content: raw data sets, weights that a mixture starts from, tables; and by dry runs."""

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import snakemake
from test_border_changes import older
from test_border_photos import fill, picture, settings

from metann.config.data import DataSection
from metann.config.run import Config
from metann.config.section import read_section
from metann.data.classes import counting, fingerprint, recorded
from metann.data.rehearsal import rehearse
from metann.datasets import _torchvision
from metann.errors import MetannError
from metann.files.digests import FileDigests
from metann.stages.prepare_data import prepare_data
from metann.workflow.expected import expected
from metann.workflow.outside import outside_of, told
from metann.workflow.records import record_of


def idx(path: Path, values: np.ndarray) -> Path:
    """An idx file of bytes, gzipped where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)
    return path


def mnist(root: Path, seed: int = 0, n: int = 60, ending: str = "") -> Path:
    rng = np.random.default_rng(seed)
    for part, count in (("train", n), ("t10k", n // 2)):
        idx(root / f"{part}-images-idx3-ubyte{ending}", rng.integers(0, 256, (count, 28, 28)))
        idx(root / f"{part}-labels-idx1-ubyte{ending}", np.arange(count) % 10)
    return root


def data(name: str, root: Path, **keys: object) -> DataSection:
    return DataSection(name=name, root=root, download=False, **keys)


def found(section: DataSection, memory: Path | None = None, before: str = "") -> str:
    """Of files that were prepared before, as `snakemake` looks at them."""
    digests = FileDigests(memory)
    now = fingerprint(section, digests)
    archived = rehearse(section, {"files": before, "settings": counting(section)}, now, digests) if before else False
    return before if archived else now


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("part", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_each_file_of_mnist_counts(tmp_path: Path, name: str, part: str) -> None:
    root = mnist(tmp_path / "raw")
    before = found(data(name, root), tmp_path / "memory.json")
    os.utime(root / part)
    assert before
    assert found(data(name, root), tmp_path / "memory.json") == before
    older(root / part, mnist(tmp_path / "other", seed=1) / part) if "images" in part else idx(root / part, 9 - np.arange(60) % 10)
    os.utime(root / part, (1, 1))
    assert found(data(name, root), tmp_path / "memory.json") != before


def test_mnist_where_torchvision_puts_it(tmp_path: Path) -> None:
    mnist(tmp_path / "MNIST" / "raw", ending=".gz")
    before = found(data("mnist", tmp_path))
    mnist(tmp_path / "MNIST" / "raw", seed=3, ending=".gz")
    assert before not in ("", found(data("mnist", tmp_path)))


def test_each_file_of_cifar_counts(tmp_path: Path) -> None:
    for name, folder in (("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")):
        (tmp_path / folder).mkdir()
        for file in ("train", "meta"):
            (tmp_path / folder / file).write_bytes(b"x")
        before = found(data(name, tmp_path))
        (tmp_path / folder / ".DS_Store").write_bytes(b"x")
        assert before not in ("", found(data("cifar10", tmp_path / "nowhere")))
        assert found(data(name, tmp_path)) == before
        (tmp_path / folder / "meta").write_bytes(b"y")
        assert found(data(name, tmp_path)) != before


def test_changed_files_that_cannot_be_read_are_refused_before_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was prepared before would be removed by a job that fails."""
    root = mnist(tmp_path / "raw")
    before = found(data("mnist", root))
    (root / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03 broken")
    assert found(data("mnist", root)) != before, "nothing is lost where nothing was prepared: the job says it"
    with pytest.raises(MetannError, match="is not a whole idx file"):
        found(data("mnist", root), before=before)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"x")
    kind = type("CIFAR10", (), {"base_folder": folder.name, "train_list": [("data_batch_1", "0" * 32)], "test_list": []})
    monkeypatch.setattr(_torchvision, "_torchvision_class", lambda _: kind)
    with pytest.raises(MetannError, match=r"data_batch_1 is not that of CIFAR10 \(missing or damaged\); bring back the official files"):
        found(data("cifar10", tmp_path), before="another")
    kind.train_list = [("data_batch_1", "9dd4e461268c8034f5c8564e155c67a6")]
    assert found(data("cifar10", tmp_path), before="another")

    photos = fill(tmp_path / "photos")
    memory = FileDigests(tmp_path / "memory.json")
    before = fingerprint(settings(photos), memory)
    whole = (photos / "ant" / "0.png").read_bytes()
    (photos / "ant" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MetannError, match=r"1 of 1 images cannot be read: .*ant/0\.png"):
        found(settings(photos), tmp_path / "memory.json", before)
    (photos / "ant" / "0.png").write_bytes(whole)
    picture(photos / "bee" / "new.png")
    assert found(settings(photos), tmp_path / "memory.json", before) != before


def test_files_that_are_archived_are_not_needed(tmp_path: Path) -> None:
    root = mnist(tmp_path / "raw")
    prepare_data(data=data("mnist", root), output=tmp_path / "data")
    said = recorded(tmp_path / "data")["files"]
    assert said == found(data("mnist", root))
    for path in root.iterdir():
        path.unlink()
    assert found(data("mnist", root), before=said) == said
    assert found(data("mnist", tmp_path / "nowhere"), before=said) == said


@pytest.mark.parametrize(
    ("params", "is_told"),
    [(["''", "'code'"], ""), (["'f1'", "'code'"], "f1"), (["'other'"], "f1"), (None, "f1"), ([], "f1"), ("x", "f1")],
)
def test_what_was_downloaded_by_the_rule_itself_is_no_change(tmp_path: Path, params: object, is_told: str) -> None:
    """The fingerprint was '' when the rule began."""
    record = tmp_path / "record"
    record.write_text(json.dumps({"params": params}))
    assert told("f1", "f1", record) == is_told
    assert told("f2", "f1", record) == "f2"
    assert told("", "f1", record) == ""
    assert told("f1", "f1", None) == "f1"
    assert told("f1", "f1", tmp_path / "none") == "f1"
    record.write_text("[")
    assert told("f1", "f1", record) == "f1"


@pytest.mark.parametrize("text", ["5", "null", "[]", '{"files": 5, "class_names": ["a"]}', '{"class_names": 5}', "[" * 100_000])
def test_a_description_of_another_make_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    assert recorded(tmp_path) == {}


def run_with(source: str) -> Config:
    networks = {"switch": {"architecture": "small_cnn"}}
    setting = {"name": "mine", "preset": "expectation", "phases": [{"share": 1.0, "train": ["gate"], "start_from": source}]}
    mixture = {"settings": ["expectation", setting], "controls": []}
    return read_section(Config, {"run": "x", "networks": networks, "mixture": mixture})


def test_weights_that_a_mixture_starts_from(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"one")
    run = run_with(str(tmp_path / "w.safetensors"))
    before = outside_of(run, FileDigests())
    assert before["mixture:expectation"] == before["switch"] == ""
    (tmp_path / "w.safetensors").write_bytes(b"two")
    os.utime(tmp_path / "w.safetensors", (1, 1))
    after = outside_of(run, FileDigests())
    assert "" != before["mixture:mine"] != after["mixture:mine"]
    wanted = {path.parent.name: values for path, values in expected(run, tmp_path, "", after) if path.name == "weights.safetensors"}
    assert wanted["mine"]["files"] == after["mixture:mine"]
    assert "files" not in wanted["expectation"]
    assert outside_of(run_with("expectation"), FileDigests())["mixture:mine"] == ""


def test_a_record_is_found_by_the_path_of_its_file(tmp_path: Path) -> None:
    assert record_of(Path("results/x/data/dataset.json"), tmp_path) is None
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "cmVzdWx0cy94L2RhdGEvZGF0YXNldC5qc29u").write_text("{}")
    assert record_of(Path("results/x/data/dataset.json"), tmp_path) == tmp_path / "metadata" / "cmVzdWx0cy94L2RhdGEvZGF0YXNldC5qc29u"


Change = Callable[[Path], object]
OUTSIDE: list[tuple[str, Change, str]] = [
    ("nothing", lambda _: None, ""),
    ("a touched file of MNIST", lambda place: os.utime(place / "raw/t10k-labels-idx1-ubyte"), ""),
    ("a label of MNIST", lambda place: idx(place / "raw/t10k-labels-idx1-ubyte", np.arange(30) % 9), "prepare_data"),
    ("an older table", lambda place: older(place / "p.npy", place / "q.npy"), "import_probabilities"),
    ("labels of a table", lambda place: np.save(place / "y.npy", 9 - np.arange(40) % 10), "import_probabilities"),
    ("a state_dict", lambda place: older(place / "w.pt", place / "v.pt"), "train_network"),
]


@pytest.mark.slow
def test_a_run_notices_by_dry_runs(tmp_path: Path) -> None:
    """Whatever changes outside, the next dry run says what it would do anew; before it starts, and no more than that."""
    import torch

    from metann.networks._build import build

    mnist(tmp_path / "raw")
    for name, seed in (("p", 0), ("q", 1)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(seed).dirichlet(np.ones(10), 40).astype(np.float32))
    np.save(tmp_path / "y.npy", np.arange(40) % 10)
    for name, seed in (("w", 0), ("v", 1)):
        torch.manual_seed(seed)
        torch.save(build("small_cnn", 10, 1, 28, width=4, depth=2).state_dict(), tmp_path / f"{name}.pt")
    small = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}
    config = {
        "run": "outside",
        "data": {"name": "mnist", "root": "raw", "download": False},
        "networks": {"theirs": {"probabilities": "p.npy", "labels": "y.npy", "val_rows": 20}, "mine": small | {"weights": "w.pt"}},
        "training": {"device": "cpu"},
        "figures": [],
    }
    (tmp_path / "outside.yaml").write_text(yaml.safe_dump(config))
    snakemake("--cores", 2, "--configfile", "outside.yaml", cwd=tmp_path)
    page = (tmp_path / "results/outside/index.html").read_text()
    assert "network theirs, no seed: test: accuracy" in page
    for what, change, rule in OUTSIDE:
        saved = shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-saved", symlinks=True)
        change(tmp_path)
        done = snakemake("--dry-run", "--configfile", "outside.yaml", cwd=tmp_path)
        text = done.stdout + done.stderr
        jobs = set(re.findall(r"^(\w+) +\d+$", text, re.MULTILINE))
        assert (rule in jobs) if rule else ("Nothing to be done" in text), (what, text[-2000:])
        if rule != "prepare_data":
            assert not jobs & ({"prepare_data", "import_probabilities", "train_network"} - {rule}), what
        for name in ("raw/t10k-labels-idx1-ubyte", "p.npy", "y.npy", "w.pt"):
            shutil.copy2(saved / name, tmp_path / name)
        shutil.rmtree(saved)
