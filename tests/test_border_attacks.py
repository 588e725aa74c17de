"""Attacks and accidents: shared names, planted links, broken headers, exhausted machines, edited files, numbers beyond reason."""

import errno
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from digits_networks import prepared
from safetensors.torch import load_file, save_file

from metann.cli import main
from metann.compute import gpus
from metann.compute.process import start_torch
from metann.config.mnn import ExpertSection
from metann.config.network import NetworkSection
from metann.config.section import read_section
from metann.config.training import TrainingSection
from metann.data.prepared import read_info, read_prepared
from metann.errors import MetannError, exhausted
from metann.files import atomic as files
from metann.files.atomic import atomic, remove_leftovers, together
from metann.files.headers import read_sealed_json, write_sealed_json
from metann.files.text import read_json, write_json, write_text
from metann.function_call import SwitchFunction
from metann.networks._build import build
from metann.tables import sealed
from metann.tables.probabilities import Probabilities, read_probabilities, write_probabilities
from metann.weights.files import load_state, load_weights, read_header, save_weights
from metann.workflow.rules import check_folder

pytestmark = pytest.mark.bad_input

HEADER = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}, "num_classes": 3, "channels": 1, "image_size": 8}
HEADER |= {"class_names": ["a", "b", "c"], "mean": [0.5], "std": [0.25]}


def one_line(call: Callable[..., object], *arguments: object, match: str) -> str:
    with pytest.raises(MetannError, match=match) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


# --- temporary files ------------------------------------------------------------------------------------------------


def test_two_writers_never_share_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where their process ids are equal, as in two containers."""
    monkeypatch.setattr(files.os, "getpid", lambda: 7)
    names = []

    def write(text: str) -> None:
        for _ in range(40):
            with atomic(tmp_path / "a.txt") as temporary:
                names.append(temporary)
                temporary.write_text(text * 1000)
            assert len(set((tmp_path / "a.txt").read_text())) == 1

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 120
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)  # somebody who guesses
    (tmp_path / "victim").write_text("mine")
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
        name = temporary.name
    (tmp_path / name).symlink_to("victim")
    one_line(write_text, tmp_path / "a.txt", "new", match="cannot write")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "x"


KILLED = """
import os, signal, sys
from pathlib import Path
from metann.files.atomic import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "a [1].txt"
    subprocess.run([sys.executable, "-c", KILLED, target], cwd=ROOT, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".a [1].mine.txt").write_text("keep")
    write_text(target, "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"a [1].txt", ".a [1].mine.txt"}
    with atomic(target) as alive:
        alive.write_text("slow")
        remove_leftovers(target)
        write_text(target, "quick")
        assert alive.exists()
    assert target.read_text() == "slow"


def test_another_machines_leftovers_wait_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / f".a.{'f' * 8}.{'0' * 16}.tmp.txt"
    left.write_text("of another machine, perhaps alive")
    write_text(tmp_path / "a.txt", "x")
    assert left.exists()
    monkeypatch.setattr(files, "_DEAD_S", -1)
    with together(tmp_path / "a.txt", tmp_path / "b.txt") as parts:
        for part in parts:
            part.write_text("y")
    assert not left.exists()


# --- the lock of a GPU ----------------------------------------------------------------------------------------------


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METANN_GPUS", "0")
    monkeypatch.setenv("METANN_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "locks").mkdir()
    return tmp_path / "locks"


@pytest.mark.parametrize("plant", ["link", "hard link", "pipe", "folder"])
def test_a_planted_lock_is_not_followed(locks: Path, plant: str) -> None:
    victim = locks.parent / "victim"
    victim.write_text("precious")
    lock = locks / "gpu_0.lock"
    {
        "link": lambda: lock.symlink_to(victim),
        "hard link": lambda: os.link(victim, lock),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
    }[plant]()
    one_line(gpus.take_gpu, match="METANN_LOCKS")
    assert victim.read_text() == "precious"


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METANN_GPUS", "0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("METANN_LOCKS", raising=False)
    monkeypatch.setattr(gpus, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"metann-gpus-{os.getuid()}").symlink_to("elsewhere")
    one_line(gpus.take_gpu, match="is no folder of yours")
    assert list((tmp_path / "elsewhere").iterdir()) == []


# --- headers --------------------------------------------------------------------------------------------------------


def weights_with(path: Path, text: str) -> Path:
    torch.manual_seed(0)
    save_file(build("small_cnn", 3, 1, 8, width=4, depth=2).state_dict(), path, metadata={"metann": text})
    return path


BAD_WEIGHTS = [
    ({"class_names": 5}, "class_names = 5"),
    ({"class_names": ["a", 2, "c"]}, "class_names.1 = 2"),
    ({"class_names": ["a"]}, "1 class names for 3 classes"),
    ({"mean": ["x"]}, "mean"),
    ({"std": [0]}, "std"),
    ({"mean": [0.1, 0.2]}, "2 numbers of mean for 1 channels"),
    ({"num_classes": "3"}, "num_classes = '3'"),
    ({"num_classes": None}, "num_classes|architecture|required|take"),
    ({"channels": 10**30}, "channels"),
    ({"channels": -1}, "channels"),
    ({"settings": [1]}, "settings"),
    ({"settings": {"width": {"a": 1}}}, "settings.width"),
    ({"architecture": 7}, "architecture = 7"),
    ({"seed": "zero"}, "seed"),
]


@pytest.mark.parametrize(("change", "says"), BAD_WEIGHTS)
def test_weights_headers_of_other_types(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = weights_with(tmp_path / "w.safetensors", json.dumps(HEADER | change))
    for read in (read_header, load_weights):
        if change == {"num_classes": None} and read is read_header:
            continue
        one_line(read, path, match=says)


@pytest.mark.parametrize("text", ["null", "5", "[]", "{}", "", "[" * 100_000, '{"a": ' * 50_000, "\ud800"[:0] + '"text"'])
def test_weights_headers_that_are_no_object(tmp_path: Path, text: str) -> None:
    path = weights_with(tmp_path / "w.safetensors", text)
    for read in (read_header, load_weights):
        one_line(read, path, match="header")


@pytest.mark.parametrize("claim", [2**62, 10**6])
def test_safetensors_that_claim_much(tmp_path: Path, claim: int) -> None:
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", claim) + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}')
    for read in (read_header, load_weights, load_state):
        one_line(read, tmp_path / "w.safetensors", match="as safetensors")


def table_with(path: Path, **change: object) -> Path:
    """A table whose header was changed and sealed again."""
    p_NK = np.full((6, 2), 0.5, np.float32)
    ids = np.arange(6, dtype=np.int32)
    metadata = {"dataset": "d", "digest": "1", "class_names": ["a", "b"], "network": "n", "seed": 0, "macs": 5.0}
    keys = (ids, np.full(6, "test"), (ids % 2).astype(np.int16))
    write_probabilities(path, Probabilities(*keys, metadata, p_NK=p_NK, log_partition=np.zeros(6, np.float32)))
    arrow = pq.read_table(path)
    found = json.loads(arrow.schema.metadata[b"metann"]) | change
    pq.write_table(sealed.seal(arrow.replace_schema_metadata(None), found), path)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class_names": 5}, "class_names = 5"),
        ({"class_names": [1, 2]}, "class_names.0 = 1"),
        ({"macs": "abc"}, "macs = 'abc'"),
        ({"macs": -1}, "macs"),
        ({"seed": [0]}, "seed"),
        ({"kind": None}, "kind"),
        ({"network": {"a": 1}}, "network"),
        ({"notices": "none"}, "notices"),
        ({"digest": 7}, "digest"),
    ],
)
def test_table_headers_of_other_types(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    one_line(read_probabilities, table_with(tmp_path / "t.parquet", **change), match=says)


@pytest.mark.parametrize("raw", [b"null", b"[1]", b"\xff\xfe", b"[" * 100_000, b""])
def test_table_headers_that_are_no_object(tmp_path: Path, raw: bytes) -> None:
    arrow = pq.read_table(table_with(tmp_path / "t.parquet")).replace_schema_metadata({b"metann": raw})
    pq.write_table(arrow, tmp_path / "t.parquet")
    one_line(read_probabilities, tmp_path / "t.parquet", match=r"t\.parquet")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("attacked") / "data")


@pytest.mark.parametrize(
    "change",
    [
        *({"class_names": 5}, {"class_names": ["only"]}, {"mean": ["x"]}, {"mean": []}, {"std": [0.0]}, {"channels": "1"}, {"channels": 0}),
        *({"image_size": 10**12}, {"digest": None}, {"skipped": [1]}, {"notices": {}}, {"more": 1}),
    ],
)
def test_descriptions_of_data_of_other_types(data: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    content = json.loads((data / "dataset.json").read_text()) | change
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    one_line(read_info, tmp_path, match=r"dataset\.json")


@pytest.mark.parametrize("text", ["null", "[]", "5", "[" * 200_000, "{}", '{"name": "digits"}'])
def test_descriptions_of_data_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    one_line(read_info, tmp_path, match=r"dataset\.json")


@pytest.mark.parametrize("shape", ["(99999999999999999999999, 1, 8, 8)", "(1797, 1, 8", "(-1,)", "'x'", "(1797, 1, 8, 8), 'y': 1"])
def test_image_files_that_claim_much(data: Path, tmp_path: Path, shape: str) -> None:
    for name in ("dataset.json", "samples.parquet"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    (tmp_path / "images.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(1000))
    one_line(read_prepared, tmp_path, match=r"images\.npy")


# --- edited files ---------------------------------------------------------------------------------------------------


def test_edited_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    module = build("small_cnn", 3, 1, 8, width=4, depth=2)
    save_weights(path, module, HEADER)
    with __import__("safetensors").safe_open(path, "pt") as file:
        text = file.metadata()["metann"]
    state = load_file(path)
    first = next(iter(state))
    save_file({key: value + 1 if key == first else value for key, value in state.items()}, path, metadata={"metann": text})
    for read in (load_weights, load_state):
        one_line(read, path, match="was changed after metann wrote it")
    swapped = json.dumps(json.loads(text) | {"class_names": ["b", "a", "c"]})
    save_file(state, path, metadata={"metann": swapped})
    one_line(load_weights, path, match="was changed after metann wrote it")
    save_file(state, path, metadata={"metann": json.dumps({key: value for key, value in json.loads(text).items() if key != "content"})})
    assert load_weights(path)[1] == HEADER  # from before there was a digest


def test_edited_images_and_labels_are_refused(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "data")
    content = bytearray((folder / "images.npy").read_bytes())
    content[5000] ^= 1
    (folder / "images.npy").write_bytes(content)
    one_line(read_prepared, folder, match=r"images\.npy or the labels .* were changed after prepare-data wrote them")


def test_edited_expert_sets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "expert_set.json"
    write_sealed_json(path, {"size": 3, "state": "trained"})
    assert read_sealed_json(path) == {"size": 3, "state": "trained"}
    path.write_text(path.read_text().replace("3", "30"))
    one_line(read_sealed_json, path, match="was changed after metann wrote it")
    write_json(path, [1])
    one_line(read_sealed_json, path, match="holds a list")


# --- exhausted machines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory is used up"),
        (pa.ArrowMemoryError("malloc of size 64 failed"), "memory is used up"),
        (OSError("Failed to start thread: Resource temporarily unavailable"), "no more threads"),
        (PermissionError(errno.EACCES, "Permission denied"), "give permission"),
        (OSError(errno.EIO, "Input/output error"), "the disk fails"),
    ],
)
def test_what_the_machine_lacks_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    path = table_with(tmp_path / "t.parquet")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sealed.pq, "ParquetFile", fail)
    assert "delete" not in one_line(read_probabilities, path, match=says)
    if isinstance(error, OSError) and error.errno:
        monkeypatch.setattr(Path, "read_text", fail)
        assert "delete" not in one_line(read_json, tmp_path / "x.json", match=says)


def test_no_thread_to_be_had_in_a_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for error in (
        RuntimeError("can't start new thread"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ):

        def fail(*_: object, _error: Exception = error, **__: object) -> None:
            raise _error

        monkeypatch.setattr("metann.cli.app", fail)
        with pytest.raises(SystemExit) as end:
            main(["prepare-data"])
        assert end.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert exhausted(ValueError("something else")) is None


# --- numbers beyond reason ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["top_k(inf)", "top_k(nan)", "top_k(1e300)", "top_k(-inf)", "top_p(nan)", "top_p(inf)", "only_if_unsure(0.5, inf)"]
)
def test_switch_functions_beyond_reason(text: str) -> None:
    one_line(SwitchFunction.parse, text, match="must be")


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (TrainingSection, {"learning_rate": 1e300}),
        (TrainingSection, {"batch_size": 10**20}),
        (TrainingSection, {"batch_size": 1e20}),
        (TrainingSection, {"threads": 10**6}),
        (TrainingSection, {"epochs": 10**18}),
        (TrainingSection, {"weight_decay": 1e200}),
        (TrainingSection, {"crop_padding": 10**9}),
        (ExpertSection, {"epochs": 10**18}),
        (NetworkSection, {"architecture": "small_cnn", "settings": {"width": 10**20}}),
        (NetworkSection, {"architecture": "small_cnn", "settings": {"width": "{a"}}),
        (NetworkSection, {"architecture": "small_cnn", "settings": {"width": "!!python/object:os.system"}}),
        (NetworkSection, {"architecture": "small_cnn", "settings": {"width": "[" * 3000}}),
    ],
)
def test_settings_beyond_reason(section: Any, values: dict[str, Any]) -> None:
    with pytest.raises(MetannError) as caught:
        read_section(section, values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threads", [0, -1, 10**6, 10**20])
def test_threads_beyond_reason(threads: int) -> None:
    one_line(start_torch, "cpu", threads, match="give 1 to 4096")


@pytest.mark.parametrize(("name", "letter"), [("a $(touch x) b", "$"), ("it `runs`", "`"), ('say "hi"', '"'), ("back\\slash", "backslash")])
def test_folders_that_a_cluster_would_run(name: str, letter: str) -> None:
    one_line(check_folder, Path("/home") / name, match="which the shell of a cluster would take for a command")
    assert letter


@pytest.mark.parametrize("name", ["with space", "it's", "dash-and_1.0", "\u732b", "a;b&c", "(brackets)"])
def test_folders_that_it_would_not(name: str) -> None:
    check_folder(Path("/home") / name)
