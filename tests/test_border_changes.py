"""A run notices that photos, tables or weights changed, by their content, and takes no results of another configuration."""

import json
import os
import re
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import snakemake
from digits_networks import NETWORK, prepared, training
from test_border_photos import fill, picture, settings

from metann.config.data import DataSection
from metann.config.network import NetworkSection
from metann.config.run import Config
from metann.config.section import read_section
from metann.data.classes import class_count, fingerprint, recorded
from metann.data.rehearsal import rehearse
from metann.errors import MetannError
from metann.files.digests import FileDigests, combined
from metann.stages.prepare_data import prepare_data
from metann.stages.train_network import train_network
from metann.workflow.outside import digests_of, files_of
from metann.workflow.records import check_records


def older(path: Path, source: Path) -> None:
    shutil.copy(source, path)
    os.utime(path, (1, 1))


CHANGES: list[tuple[str, Callable[[Path], object], bool]] = [
    ("touched", lambda root: os.utime(root / "ant" / "0.png"), False),
    ("an older file copied over", lambda root: older(root / "ant" / "0.png", root / "bee" / "1.png"), True),
    ("a class renamed", lambda root: (root / "ant").rename(root / "ape"), True),
    ("a class added", lambda root: fill(root, ("wasp",), n=1), True),
    ("a photo added", lambda root: picture(root / "bee" / "deep" / "9.png"), True),
    ("a photo moved to another class", lambda root: (root / "ant" / "0.png").rename(root / "bee" / "new.png"), True),
    ("a photo removed", lambda root: (root / "bee" / "0.png").unlink(), True),
    ("a system file added", lambda root: (root / "bee" / ".DS_Store").write_bytes(b"x"), False),
    ("photos copied elsewhere", lambda root: shutil.copytree(root, root.parent / "copy") and shutil.rmtree(root) and None, False),
]


@pytest.mark.parametrize(("what", "change", "counts"), CHANGES, ids=[case[0] for case in CHANGES])
def test_fingerprint_of_photos(tmp_path: Path, what: str, change: Callable[[Path], object], counts: bool) -> None:
    root = fill(tmp_path / "photos")
    before = fingerprint(settings(root), FileDigests(tmp_path / "memory.json"))
    change(root)
    root = root if root.exists() else root.parent / "copy"
    assert (fingerprint(settings(root), FileDigests(tmp_path / "memory.json")) != before) == counts, what


def test_content_of_the_same_size_and_time_in_the_same_place(tmp_path: Path) -> None:
    """Only the time of the record (ctime) tells, which nobody sets back."""
    path = tmp_path / "w.pth"
    path.write_bytes(b"before")
    status = path.stat()
    first = FileDigests(tmp_path / "memory.json")
    before = first.of(path)
    first.keep()
    with path.open("r+b") as file:
        file.write(b"behind")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (status.st_size, status.st_mtime_ns, status.st_ino)
    assert FileDigests(tmp_path / "memory.json").of(path) != before


def test_what_is_remembered_is_written_under_a_name_that_nobody_can_guess(tmp_path: Path) -> None:
    """Two containers share process ids, and somebody may have planted a link."""
    victim, photo = tmp_path / "victim", tmp_path / "a.png"
    victim.write_text("mine")
    photo.write_bytes(b"1")
    memory = tmp_path / "memory.json"
    memory.with_name(f"memory.json.{os.getpid()}").symlink_to(victim)
    digests = FileDigests(memory)
    found = digests.of(photo)
    digests.keep()
    assert victim.read_text() == "mine"
    assert not memory.is_symlink()
    again = FileDigests(memory)
    assert (again.of(photo), again.anew) == (found, [])


def test_files_are_read_once(tmp_path: Path) -> None:
    root = fill(tmp_path / "photos")
    first = FileDigests(tmp_path / "memory.json")
    found = fingerprint(settings(root), first)
    again = FileDigests(tmp_path / "memory.json")
    assert fingerprint(settings(root), again) == found
    assert again.anew == []
    (tmp_path / "memory.json").write_text("[" * 100_000)
    broken = FileDigests(tmp_path / "memory.json")
    assert fingerprint(settings(root), broken) == found
    assert fingerprint(settings(root), FileDigests(tmp_path / "no" / "folder" / "memory.json")) == found


def test_archived_photos_are_not_needed(tmp_path: Path) -> None:
    root = fill(tmp_path / "photos")
    prepare_data(data=settings(root), output=tmp_path / "data")
    said = recorded(tmp_path / "data")
    assert said["files"] == fingerprint(settings(root), FileDigests())
    shutil.rmtree(root)
    assert fingerprint(settings(root), FileDigests()) == ""
    assert rehearse(settings(root), said, "", FileDigests()) is True
    assert class_count(settings(root), said["class_names"]) == 2
    with pytest.raises(MetannError, match="No such file"):
        class_count(settings(root))
    assert recorded(tmp_path / "nothing") == {}
    assert fingerprint(DataSection(name="digits"), FileDigests()) == ""


def test_parts_do_not_run_together() -> None:
    assert combined(["a", "bc"]) != combined(["ab", "c"])
    assert combined(["a", ""]) != combined(["a"])


def test_tables_and_weights_count_by_content(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros(3))
    np.save(tmp_path / "y.npy", np.zeros(3))
    (tmp_path / "ids.txt").write_text("1")
    table = read_section(
        NetworkSection, {"probabilities": tmp_path / "p.npy", "labels": tmp_path / "y.npy", "val_rows": str(tmp_path / "ids.txt")}
    )
    assert files_of(table) == [tmp_path / "p.npy", tmp_path / "y.npy", tmp_path / "ids.txt"]
    seen = {digests_of(table, FileDigests())}
    for name in ("p.npy", "y.npy", "ids.txt"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, (1, 1))
        seen.add(digests_of(table, FileDigests()))
    assert len(seen) == 4
    (tmp_path / "w.pth").write_bytes(b"1")
    weights = NETWORK.model_copy(update={"weights": str(tmp_path / "w.pth")})
    before = digests_of(weights, FileDigests())
    older(tmp_path / "w.pth", tmp_path / "ids.txt")
    assert digests_of(weights, FileDigests()) not in ("", before)
    for none in (NETWORK, NETWORK.model_copy(update={"weights": "published"})):
        assert digests_of(none, FileDigests()) == ""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run without Snakemake's records."""
    run = tmp_path_factory.mktemp("copied") / "results" / "digits"
    data = prepared(run / "data")
    train_network(name="switch", network=NETWORK, training=training(epochs=1), data=data, seed=0, output=run / "networks/switch/seed_0")
    return run


PLAIN = {
    "run": "digits",
    "data": {"name": "digits"},
    "networks": {"switch": {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}},
    "training": training(epochs=1).model_dump(mode="json"),
    "mnn": {"controls": []},
}


def configured(**change: object) -> Config:
    return read_section(Config, PLAIN | change)


CONFIGURATIONS = [
    ("the same", {}, ""),
    ("another root", {"data": {"name": "digits", "root": "elsewhere"}}, ""),
    ("another device", {"training": training(epochs=1, threads=3).model_dump(mode="json")}, ""),
    ("another network too", {"networks": PLAIN["networks"] | {"more": {"architecture": "small_cnn"}}}, ""),
    ("more epochs", {"training": training(epochs=2).model_dump(mode="json")}, r"training\.epochs 1, not 2"),
    ("other batches", {"training": training(epochs=1, batch_size=32).model_dump(mode="json")}, r"training\.batch_size 64, not 32"),
    ("another split", {"data": {"name": "digits", "split_seed": 7}}, r"settings\.split_seed 42, not 7"),
    ("wider", {"networks": {"switch": {"architecture": "small_cnn", "settings": {"width": 8, "depth": 2}}}}, r"settings\.width 4, not 8"),
]


@pytest.mark.parametrize(("what", "change", "says"), CONFIGURATIONS, ids=[case[0] for case in CONFIGURATIONS])
def test_copied_results_of_another_configuration(copied: Path, tmp_path: Path, what: str, change: dict, says: str) -> None:
    if not says:
        check_records(configured(**change), copied, tmp_path / ".snakemake")
        return
    with pytest.raises(MetannError, match=f"was made with {says}, and Snakemake has no record of it.*delete ") as caught:
        check_records(configured(**change), copied, tmp_path / ".snakemake")
    assert "\n" not in str(caught.value), what


EVERYTHING = PLAIN | {
    "networks": PLAIN["networks"]
    | {"other": {"architecture": "small_cnn"}, "long": {"architecture": "small_cnn"}, "twin": PLAIN["networks"]["switch"]},
    "mnn": {
        "switch": "switch",
        "controls": [],
        "second": "twin",
        "generic": True,
        "longer": "long",
        "unsure": 0.9,
        "probabilities": "out_of_fold",
        "folds": 3,
        "dataset_thresholds": [0.1],
        "combine": "product",
        "expert": {"epochs": 2, "objective": "combined", "body": "second"},
    },
    "cascade": {"scores": ["entropy"], "grid": 100, "memory": {"capacity": 10}, "workload": {"shuffled": False}},
    "mixture": {"settings": ["expectation"], "controls": ["same_parameters"], "training": {"epochs": 1}},
    "hypernetwork": {"training": {"steps": 200}},
    "statistics": {"confidence": 0.9, "permutations": 50},
}
# Of each kind of file what it could say otherwise: below results/digits, the key, and a value of another configuration.
STALE = [
    ("mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors", "training", {"epochs": 9}, "training.epochs 9, not 2"),
    ("mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors", "seed", 5, "seed 5, not 0"),
    ("mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors", "unsure", None, "unsure None, not 0.9"),
    ("mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors", "selection", "in_sample", "selection 'in_sample', not 'out_of_fold'"),
    ("mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors", "body", "third", "body 'third', not 'twin'"),
    ("mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors", "training", {"tail": 2}, "training.tail 2, not 0"),
    (
        "mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors",
        "training",
        {"objective": "residual"},
        "training.objective 'residual'",
    ),
    ("mnn/seed_0/dataset_threshold_0.10/class_7/weights.safetensors", "network", "other", "network 'other', not 'switch'"),
    ("mnn/seed_0/generic/weights.safetensors", "training", {"epochs": 9}, "training.epochs 9, not 2"),
    ("mnn/seed_0/generic/weights.safetensors", "unsure", 0.5, "unsure 0.5, not 0.9"),
    ("mnn/seed_0/generic/probabilities.parquet", "selection", "in_sample", "selection 'in_sample', not 'out_of_fold'"),
    ("networks/long/seed_0/weights.safetensors", "training", {"batch_size": 9}, "training.batch_size 9, not 64"),
    ("networks/switch/seed_0/fold_1/weights.safetensors", "folds", 5, "folds 5, not 3"),
    ("tables/mnn_results.parquet", "longer", None, "longer None, not 'long'"),
    ("tables/mnn_results.parquet", "opinions", ["generic"], "opinions ['generic'], not ['generic', 'twin']"),
    ("mnn/seed_0/dataset_threshold_0.10/evaluation/prefix.parquet", "combine", "replace", "combine 'replace', not 'product'"),
    ("mnn/seed_0/dataset_threshold_0.10/evaluation/cells/all.parquet", "temperature", "validation", "temperature 'validation', not"),
    ("networks/switch/seed_0/weights.safetensors", "settings", {"width": 4}, "settings.depth 'the default', not 2"),
    ("networks/other/seed_0/weights.safetensors", "settings", {"width": 4}, "settings.width 4, not 'the default'"),
    ("cascade/seed_0/results.parquet", "asked", {"scores": ["margin"]}, "asked.scores ['margin'], not ['entropy']"),
    ("cascade/seed_0/results.parquet", "asked", {"grid": 2000}, "asked.grid 2000, not 100"),
    ("cascade/seed_0/memory.parquet", "asked", {"memory": {"capacity": 11}}, "asked.memory.capacity 11, not 10"),
    ("cascade/seed_0/run/record.parquet", "batch_size", 8, "batch_size 8, not 1"),
    ("mixture/seed_0/expectation/weights.safetensors", "options", {"training": {"epochs": 7}}, "options.training.epochs 7, not 1"),
    ("mixture/seed_0/same_parameters/weights.safetensors", "options", {"training": {"epochs": 7}}, "options.training.epochs 7, not 1"),
    ("mixture/seed_0/expectation/evaluation/run.parquet", "confidence", 0.99, "confidence 0.99, not 0.9"),
    ("hypernetwork/seed_0/E1_mlp/weights.safetensors", "training", {"steps": 400}, "training.steps 400, not 200"),
    ("hypernetwork/seed_0/E1_mlp/weights.safetensors", "asked", {"test": 9}, "asked.test 9, not"),
    ("hypernetwork/seed_0/E1_mlp/adapt/z_adapt_20.parquet", "adaptation", {"steps": 7}, "adaptation.steps 7, not"),
    ("tables/mnn_results.parquet", "permutations", 2000, "permutations 2000, not 50"),
    ("tables/cascade_choice.parquet", "objective", "budget", "objective 'budget', not 'accuracy'"),
    ("tables/mixture_runs.parquet", "seeds", [0, 1], "seeds [0, 1], not [0]"),
    ("results.parquet", "confidence", 0.95, "confidence 0.95, not 0.9"),
]


def says(path: Path, header: dict) -> Path:
    """A file of results with this header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"n": [1]}).replace_schema_metadata({b"metann": json.dumps(header).encode()}), path)
    else:
        text = json.dumps({"__metadata__": {"metann": json.dumps(header)}}).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text)
    return path


@pytest.mark.parametrize(("place", "key", "value", "difference"), STALE, ids=[f"{case[0]}-{case[1]}" for case in STALE])
def test_every_kind_of_result_is_compared(tmp_path: Path, place: str, key: str, value: object, difference: str) -> None:
    run = read_section(Config, EVERYTHING)
    path = says(tmp_path / "results" / place, {key: value})
    with pytest.raises(MetannError, match=re.escape(f"{path} was made with {difference}")):
        check_records(run, tmp_path / "results", tmp_path / ".snakemake")
    says(path, {"other": 1})
    check_records(run, tmp_path / "results", tmp_path / ".snakemake")


def known(path: Path, snakemake: Path) -> None:
    """As if Snakemake had made it a while ago."""
    record = snakemake / "metadata" / urlsafe_b64encode(str(path).encode()).decode()
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("{}")
    os.utime(record, (1e9, 1e9))


@pytest.mark.parametrize(
    ("place", "header", "difference"),
    [
        ("networks/switch/seed_0/probabilities.parquet", {"network": "twin", "seed": 0}, "network 'twin', not 'switch'"),
        ("networks/switch/seed_0/probabilities.parquet", {"network": "switch", "seed": 1}, "seed 1, not 0"),
        ("networks/twin/seed_0/weights.safetensors", {"network": "switch", "seed": 0}, "network 'switch', not 'twin'"),
        ("mnn/seed_0/dataset_threshold_0.10/class_1/weights.safetensors", {"dataset_threshold": 0.2}, "dataset_threshold 0.2, not 0.1"),
        ("mixture/seed_0/expectation/weights.safetensors", {"setting": "single"}, "setting 'single', not 'expectation'"),
    ],
)
def test_a_file_in_the_place_of_another(tmp_path: Path, place: str, header: dict, difference: str) -> None:
    """Newer than Snakemake's record: the job that reads it would have its finished outputs removed, and then refuse it."""
    run, results, snakemake_ = read_section(Config, EVERYTHING), tmp_path / "results", tmp_path / ".snakemake"
    path = says(results / place, header)
    known(path, snakemake_)
    with pytest.raises(MetannError, match=re.escape(f"{path} was replaced after it was made ({difference}); bring back")) as caught:
        check_records(run, results, snakemake_)
    assert "\n" not in str(caught.value)
    os.utime(path, (1e9 - 1, 1e9 - 1))  # Snakemake's own
    check_records(run, results, snakemake_)
    says(path, {"training": {"epochs": 99}, "combine": "replace"})  # other settings: Snakemake's affair
    check_records(run, results, snakemake_)


@pytest.mark.parametrize("place", ["networks/switch/seed_0/weights.safetensors", "data/samples.parquet", "data/dataset.json"])
def test_a_file_that_was_cut_off(tmp_path: Path, copied: Path, place: str) -> None:
    run = shutil.copytree(copied, tmp_path / "run")
    path = run / place
    known(path, tmp_path)
    os.utime(path, None)
    check_records(configured(), run, tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MetannError, match=re.escape(f"{path} was replaced after it was made (no whole file of a run)")):
        check_records(configured(), run, tmp_path)


def test_what_is_trained_longer_says_how_long(tmp_path: Path) -> None:
    """Its epochs are counted in the run, not configured."""
    says(tmp_path / "networks/long/seed_0/weights.safetensors", {"training": {"epochs": 77, "batch_size": 64}})
    check_records(read_section(Config, EVERYTHING), tmp_path, tmp_path / ".snakemake")


def test_results_of_other_files(tmp_path: Path) -> None:
    table = {"probabilities": "p.npy", "labels": "y.npy", "split": "test", "val_rows": 5}
    run = configured(networks=PLAIN["networks"] | {"table": table})
    says(tmp_path / "networks/table/seed_0/probabilities.parquet", {"asked": {"val_rows": 5}, "files": "abc"})
    check_records(run, tmp_path, tmp_path, "", {"table": "abc"})
    with pytest.raises(MetannError, match="files 'abc', not 'abd'"):
        check_records(run, tmp_path, tmp_path, "", {"table": "abd"})
    says(tmp_path / "networks/table/seed_0/probabilities.parquet", {"asked": {"val_rows": 6}})
    with pytest.raises(MetannError, match=r"asked\.val_rows 6, not 5"):
        check_records(run, tmp_path, tmp_path)
    (tmp_path / "networks/table/seed_0/probabilities.parquet").unlink()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dataset.json").write_text(json.dumps({"files": "photos of last year"}))
    check_records(run, tmp_path, tmp_path)
    with pytest.raises(MetannError, match="files 'photos of last year', not '1f'"):
        check_records(run, tmp_path, tmp_path, "1f")


def test_many_files_are_named_by_their_folders(tmp_path: Path) -> None:
    for c in range(9):
        says(tmp_path / f"mnn/seed_0/dataset_threshold_0.10/class_{c}/weights.safetensors", {"seed": 3})
    says(tmp_path / "results.parquet", {"confidence": 0.5})
    with pytest.raises(MetannError, match=re.escape(f"delete {tmp_path}/mnn {tmp_path}/results.parquet (9 of mnn, 1 of results.parquet)")):
        check_records(read_section(Config, EVERYTHING), tmp_path, tmp_path)


@pytest.mark.parametrize("length", [0, 255, 143])
def test_results_that_snakemake_knows_are_its_own_affair(copied: Path, tmp_path: Path, length: int) -> None:
    for path in (copied / "data/dataset.json", copied / "networks/switch/seed_0/weights.safetensors"):
        name = urlsafe_b64encode(str(path).encode()).decode()
        parts = [name[start : start + length - 1] for start in range(0, len(name), length - 1)] if length else [name]
        record = tmp_path.joinpath("metadata", *[f"@{part}" for part in parts[:-1]], parts[-1])
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text("{}")
    check_records(configured(training=training(epochs=5).model_dump(mode="json")), copied, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x05" + bytes(7) + b"null!", b"\x10" + bytes(7) + b"[" * 16])
def test_headers_that_say_nothing_stop_nobody(copied: Path, tmp_path: Path, content: bytes) -> None:
    run = shutil.copytree(copied, tmp_path / "run")
    (run / "networks/switch/seed_0/weights.safetensors").write_bytes(content)
    (run / "data/dataset.json").write_text("null")
    check_records(configured(training=training(epochs=5).model_dump(mode="json")), run, tmp_path / ".snakemake")


@pytest.mark.slow
def test_a_finished_run_and_its_photos(tmp_path: Path) -> None:
    """Nothing for a touched file, everything for an older one copied over; no photos are needed once archived; a refusal deletes none."""
    fill(tmp_path / "photos", ("ant", "bee", "fly"), n=12)
    shutil.copy(tmp_path / "photos/ant/3.png", tmp_path / "photos/bee/twin.png")
    small = {"epochs": 1, "batch_size": 16, "crop_padding": 0, "device": "cpu"}
    config = {
        "run": "bugs",
        "data": {"name": "image_folder", "root": "photos", "image_size": 8, "test_fraction": 0.3},
        "networks": {"switch": {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}},
        "training": small,
        "mnn": {"controls": [], "dataset_thresholds": [0.2], "test_thresholds": [0.5], "figures": [], "expert": small},
        "statistics": {"permutations": 50},
    }
    (tmp_path / "bugs.yaml").write_text(yaml.safe_dump(config))

    def dry(check: bool = True) -> str:
        done = snakemake("--dry-run", "--configfile", "bugs.yaml", cwd=tmp_path, check=check)
        return done.stdout + done.stderr

    snakemake("--cores", 2, "--configfile", "bugs.yaml", cwd=tmp_path)
    made = sorted(path for path in (tmp_path / "results").rglob("*") if path.is_file())
    os.utime(tmp_path / "photos/ant/0.png")
    assert "Nothing to be done" in dry()
    (tmp_path / "photos/wasp").mkdir()
    assert "photos/wasp holds no images" in dry(check=False)
    assert made == sorted(path for path in (tmp_path / "results").rglob("*") if path.is_file())
    (tmp_path / "photos/wasp").rmdir()
    # What is known of the images from before is refused before any job removes its results.
    (tmp_path / "strict.yaml").write_text(yaml.safe_dump(config | {"data": config["data"] | {"duplicates": "refuse"}}))
    refused = snakemake("--cores", 1, "--configfile", "strict.yaml", cwd=tmp_path, check=False)
    assert refused.returncode != 0
    assert (
        "2 images stand under two classes or more (1 different images, such as ant/3.png and bee/twin.png); remove them" in refused.stderr
    )
    assert made == sorted(path for path in (tmp_path / "results").rglob("*") if path.is_file())
    (tmp_path / "photos").rename(tmp_path / "archive")
    said = dry()
    assert "Nothing to be done" in said
    assert "metann: photos is not there; what was prepared of it is used" in said
    # Nor are they for newer code, or by another name; for other settings they are, and nothing is removed for a job that has to fail.
    for record in (tmp_path / ".snakemake/metadata").rglob("*"):
        if record.is_file() and (known := json.loads(record.read_text()))["rule"] == "prepare_data":
            known["params"] = [repr("0" * 12) if re.fullmatch("'[0-9a-f]{12}'", text) else text for text in known["params"]]
            record.write_text(json.dumps(known))
    (tmp_path / "moved.yaml").write_text(yaml.safe_dump(config | {"data": config["data"] | {"root": "no such folder"}}))
    for name in ("bugs.yaml", "moved.yaml"):
        assert "Nothing to be done" in snakemake("--dry-run", "--configfile", name, cwd=tmp_path).stdout
    (tmp_path / "larger.yaml").write_text(yaml.safe_dump(config | {"data": config["data"] | {"image_size": 9}}))
    refused = snakemake("--cores", 1, "--configfile", "larger.yaml", cwd=tmp_path, check=False)
    assert refused.returncode != 0
    assert "data.image_size 9, not 8, needs the images of photos anew, which are not there; bring them back" in refused.stderr
    assert made == sorted(path for path in (tmp_path / "results").rglob("*") if path.is_file())
    (tmp_path / "archive").rename(tmp_path / "photos")
    assert "prepare_data" in dry()  # by newer code
    older(tmp_path / "photos/ant/0.png", tmp_path / "photos/bee/1.png")
    assert "prepare_data" in dry()
    info = json.loads((tmp_path / "results/bugs/data/dataset.json").read_text())
    assert info["files"]
