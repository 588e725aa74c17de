"""Bad input at the command line, file by file and flag by flag: code 2, one line, no traceback, nothing changed on disk, nothing run.

tests/test_config.py and tests/test_tables.py have the cases of keys and columns; here is what a user types and what lies on a disk.
"""

import hashlib
import io
import json
import os
import pickle
import shlex
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import BAD_INPUT, ROOT, snakemake
from digits_networks import experts, exported, prepared, switch
from PIL import Image
from safetensors.torch import save_file

from metann.cli import main
from metann.tables.probabilities import read_samples
from metann.tables.sealed import seal

pytestmark = pytest.mark.bad_input

SMALL = ("--network.architecture=small_cnn", "--network.settings.width=4", "--network.settings.depth=2")
TRAINING = ("--training.epochs=1", "--training.crop-padding=0", "--training.no-flip", "--training.device=cpu")
TRAIN = ("train-network", "--name=switch", *SMALL, *TRAINING, "--data=data", "--seed=0", "--output=out")
EXPORT = ("export-probabilities", "--weights=switch/weights.safetensors", "--data=data", "--output=out/p.parquet", "--device=cpu")
EXPERTS = tuple(f"experts/class_{c}/expert_probabilities.parquet" for c in range(10))
EVALUATE = ("evaluate-mnn", "--switch=switch/probabilities.parquet", "--experts", *EXPERTS, "--dataset-threshold=0.1")
EVALUATE = (*EVALUATE, "--test-thresholds", "0.1", "0.5", "--output=out")
IMPORT = ("import-probabilities", "--name=mine", "--network.probabilities=p.npy", "--network.labels=y.npy", "--output=out/p.parquet")
FOLDER = ("prepare-data", "--data.name=image_folder", "--data.root=photos", "--data.image-size=8", "--output=out")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run's files: digits, a switch and its ten experts."""
    folder = tmp_path_factory.mktemp("made")
    data = prepared(folder / "data")
    weights = switch(data, folder / "switch")
    exported(data, weights)
    experts(data, weights, folder / "experts", list(range(10)))
    rng = np.random.default_rng(0)
    np.save(folder / "p.npy", rng.dirichlet(np.ones(4), 20).astype(np.float32))
    np.save(folder / "y.npy", rng.integers(0, 4, 20))
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of those files, in a folder whose name needs quoting, as the working directory."""
    folder = tmp_path / 'it\'s a "place"; touch hacked'
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def refused(place: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a verb that must fail; returns its line."""
    before = everything(place)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(arguments)
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("metann: error: ")
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    assert len(said) < 1200
    assert everything(place) == before, "nothing is changed on disk"
    return said


def with_flag(arguments: tuple[str, ...], flag: str) -> tuple[str, ...]:
    """Replace a flag by name, or add it."""
    name = flag.split("=")[0] + "="
    return (*(word for word in arguments if not word.startswith(name)), flag)


# --- what a user types ----------------------------------------------------------------------------------------

TYPED: list[tuple[str, tuple[str, ...], str]] = [
    ("unknown verb", ("train-netwrok",), "train-netwrok"),
    ("misspelt flag", (*TRAIN, "--sed=1"), "--sed"),
    ("missing flag", tuple(word for word in TRAIN if not word.startswith("--seed")), "--seed"),
    ("flag without a value", (*(word for word in TRAIN if not word.startswith("--seed")), "--seed"), "--seed"),
    ("words for a number", with_flag(TRAIN, "--seed=zero"), "zero"),
    ("fraction of a seed", with_flag(TRAIN, "--seed=1.7"), "--seed=1.7: a whole number below 2^63 is needed"),
    (
        "fraction of a number of images",
        ("run-cascade", "--networks=w", "--data=data", "--output=out", "--limit=2.9"),
        "--limit=2.9: a whole",
    ),
    ("fraction in a list", ("plan", "--devices", "1", "2.5"), "--devices=2.5: a whole"),
    ("seed beyond a table", with_flag(TRAIN, f"--seed={10**30}"), "a whole number below 2^63"),
    ("seed beyond a search", ("search-cascade", "--probabilities=p", f"--seed={10**30}", "--output=out"), "a whole number below 2^63"),
    ("threshold of more decimals", with_flag(EVALUATE, "--dataset-threshold=1e-7"), "would be 0, as names keep 6 decimals"),
    ("fraction of an epoch", with_flag(TRAIN, "--training.epochs=1.5"), "1.5"),
    ("no epoch", with_flag(TRAIN, "--training.epochs=0"), "epochs"),
    ("no thread", with_flag(TRAIN, "--training.threads=0"), "threads"),
    ("unknown schedule", with_flag(TRAIN, "--training.schedule=cyclic"), "cyclic"),
    ("unknown device", with_flag(TRAIN, "--training.device=tpu"), "tpu"),
    ("CUDA where there is none", with_flag(TRAIN, "--training.device=cuda"), "CUDA"),
    ("unknown architecture", with_flag(TRAIN, "--network.architecture=resnet21"), "resnet21"),
    ("unknown setting", (*TRAIN, "--network.settings.widht=4"), "widht"),
    ("setting with a command in it", with_flag(TRAIN, "--network.settings.width=4; touch hacked"), "is not of type int"),
    ("setting of no size", with_flag(TRAIN, "--network.settings.width=0"), "width"),
    ("fold that is none", (*TRAIN, "--fold=7", "--folds=5"), "fold"),
    ("no folder of data", with_flag(TRAIN, "--data=nowhere"), "nowhere"),
    ("data that is a file", with_flag(TRAIN, "--data=p.npy"), "p.npy"),
    ("output that is a file", with_flag(TRAIN, "--output=p.npy"), "p.npy"),
    ("dataset that is none", ("prepare-data", "--data.name=cifar11", "--output=out"), "cifar11"),
    ("more than all for validation", ("prepare-data", "--data.name=digits", "--data.val-fraction=1.5", "--output=out"), "val_fraction"),
    ("threshold above one", with_flag(EVALUATE, "--dataset-threshold=1.2"), "1.2"),
    ("threshold that is no number", with_flag(EVALUATE, "--dataset-threshold=nan"), "nan"),
    ("threshold of another run", with_flag(EVALUATE, "--dataset-threshold=0.3"), "dataset threshold"),
    ("unknown rule", (*EVALUATE, "--combine=sum"), "'sum'"),
    ("unknown switch function", (*EVALUATE, "--switch-functions=top_q(2)"), "top_q"),
    ("expert missing", tuple(word for word in EVALUATE if word != EXPERTS[4]), "class 4"),
    ("expert twice", (*EVALUATE[:2], "--experts", EXPERTS[0], *EVALUATE[3:]), "class 0 is given twice"),
    ("unknown figure", ("draw-figure", "heatmp", "--run=.", "--png=out.png"), "heatmp"),
    ("figure without tables", ("draw-figure", "mnn_heatmap", "--run=.", "--png=out.png"), "mnn_results.parquet"),
    ("figure without a file", ("draw-figure", "mnn_heatmap", "--run=."), "--png"),
    ("folder without evaluations", ("collect-mnn", "--evaluations", "data", "--output=out"), "prefix.parquet"),
]


@pytest.mark.parametrize(("what", "arguments", "says"), TYPED, ids=[case[0] for case in TYPED])
def test_typed(place: Path, capsys: pytest.CaptureFixture[str], what: str, arguments: tuple[str, ...], says: str) -> None:
    if what == "CUDA where there is none" and torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    assert says in refused(place, arguments, capsys)
    assert not (place / "hacked").exists()


# --- what lies on a disk --------------------------------------------------------------------------------------


class Evil:
    """A pickle that makes a file when it is read as code."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch hacked",)


def write(content: bytes | str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


def pickled_by_torch(path: Path) -> None:
    torch.save({"state_dict": Evil()}, path)


def pickled_array(path: Path) -> None:
    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def array(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def spoil(path: Path) -> None:
        np.save(path, change(np.load(path)), allow_pickle=False)

    return spoil


def at(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """The array with one other value."""

    def change(values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[(3,) + (0,) * (values.ndim - 1)] = value
        return changed

    return change


def column(name: str, value: object) -> Callable[[Path], object]:
    """A table with one other value, sealed as if metann had written it."""

    def spoil(path: Path) -> None:
        table = pq.read_table(path, partitioning=None)
        index = table.schema.get_field_index(name)
        values = [value, *table.column(name).to_pylist()[1:]]
        changed = table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))
        pq.write_table(seal(changed, json.loads(table.schema.metadata[b"metann"])), path)

    return spoil


def header(length: int) -> bytes:
    """A safetensors file that says its header is so long."""
    return struct.pack("<Q", length) + b'{"x":'


def png(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and is not."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def picture(**values: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 1, 20 * 30, dtype=np.float32).reshape(20, 30)).save(buffer, **values)
    return buffer.getvalue()


PICTURE, SWITCH, WEIGHTS = "photos/cat/3.png", "switch/probabilities.parquet", "switch/weights.safetensors"
LOCAL = with_flag(TRAIN, "--network.weights=switch/weights.pt")
LYING: list[tuple[str, tuple[str, ...], str, Callable[[Path], object], str]] = [
    ("empty table", EVALUATE, SWITCH, write(""), "not a whole Parquet file"),
    ("text named .parquet", EVALUATE, SWITCH, write("a,b\n1,2\n"), "not a whole Parquet file"),
    ("half a table", EVALUATE, SWITCH, half, "not a whole Parquet file"),
    ("folder named .parquet", EVALUATE, SWITCH, folder, SWITCH),
    ("table that is gone", EVALUATE, SWITCH, Path.unlink, "no table"),
    ("somebody's table", EVALUATE, SWITCH, lambda path: pq.write_table(pa.table({"x": [1]}), path), "no metann metadata"),
    ("pickle named .parquet", EVALUATE, SWITCH, pickled, "not a whole Parquet file"),
    ("NaN among probabilities", EVALUATE, SWITCH, column("p_3", float("nan")), "sum to nan"),
    ("negative probability", EVALUATE, SWITCH, column("p_3", -0.5), "sum to"),
    ("infinite probability", EVALUATE, SWITCH, column("p_3", float("inf")), "sum to inf"),
    ("label out of range", EVALUATE, SWITCH, column("label", 10), "labels run from 0 to 10"),
    ("negative label", EVALUATE, SWITCH, column("label", -1), "labels run from -1"),
    ("unknown split", EVALUATE, SWITCH, column("split", "holdout"), "holdout"),
    ("id twice", EVALUATE, SWITCH, column("sample_id", 7), "stands 2 times"),
    ("expert beyond one", EVALUATE, EXPERTS[2], column("expert_probability", 1.5), "must be in [0, 1]"),
    ("expert with NaN", EVALUATE, EXPERTS[2], column("expert_probability", float("nan")), "must be in [0, 1]"),
    ("array with NaN", IMPORT, "p.npy", array(at(np.nan)), "p.npy"),
    ("array of logits", IMPORT, "p.npy", array(at(7.0)), "p.npy"),
    ("array with a negative", IMPORT, "p.npy", array(at(-1.0)), "p.npy"),
    ("array of one dimension", IMPORT, "p.npy", array(np.ravel), "p.npy"),
    ("array of no rows", IMPORT, "p.npy", array(lambda values: values[:0]), "npy"),
    ("labels out of range", IMPORT, "y.npy", array(at(4)), "4"),
    ("fewer labels than rows", IMPORT, "y.npy", array(lambda values: values[:-1]), "19"),
    ("labels that are no whole numbers", IMPORT, "y.npy", array(lambda values: values + 0.5), "y.npy"),
    ("array with code in it", IMPORT, "p.npy", pickled_array, "p.npy"),
    ("pickle named .npy", IMPORT, "p.npy", pickled, "p.npy"),
    ("half an array", IMPORT, "p.npy", half, "p.npy"),
    ("empty array file", IMPORT, "p.npy", write(b""), "p.npy"),
    ("empty weights", EXPORT, WEIGHTS, write(b""), "cannot read switch/weights.safetensors"),
    ("text named .safetensors", EXPORT, WEIGHTS, write("weights"), "cannot read"),
    ("half the weights", EXPORT, WEIGHTS, half, "truncated"),
    ("weights with an endless header", EXPORT, WEIGHTS, write(header(2**60)), "cannot read"),
    ("weights with a broken header", EXPORT, WEIGHTS, write(header(5)), "cannot read"),
    ("weights without our header", EXPORT, WEIGHTS, lambda path: save_file({"x": torch.zeros(2)}, path), "no header of metann"),
    ("folder named .safetensors", EXPORT, WEIGHTS, folder, WEIGHTS),
    ("pickle with code named .safetensors", EXPORT, WEIGHTS, pickled, "cannot read"),
    ("pickle with code as weights", LOCAL, "switch/weights.pt", pickled, "nothing in it was run"),
    ("torch file with code in it", LOCAL, "switch/weights.pt", pickled_by_torch, "nothing in it was run"),
    ("torch file of numbers", LOCAL, "switch/weights.pt", lambda path: torch.save([1, 2], path), "not a state_dict"),
    (
        "torch file of another network",
        LOCAL,
        "switch/weights.pt",
        lambda path: torch.save({"x": torch.zeros(3)}, path),
        "does not fit small_cnn",
    ),
    ("empty torch file", LOCAL, "switch/weights.pt", write(b""), "cannot read"),
    ("half the images", TRAIN, "data/images.npy", half, "not a whole image array"),
    ("images with code in them", TRAIN, "data/images.npy", pickled_array, "data/images.npy"),
    ("images of another type", TRAIN, "data/images.npy", array(lambda values: values.astype(np.float32)), "float32"),
    ("half a description", TRAIN, "data/dataset.json", half, "data/dataset.json"),
    ("description of something else", TRAIN, "data/dataset.json", write("[]"), "data/dataset.json"),
    ("half a picture", FOLDER, PICTURE, half, PICTURE),
    ("empty picture", FOLDER, PICTURE, write(b""), f"{PICTURE} (empty file)"),
    ("text named .png", FOLDER, PICTURE, write("not a picture"), f"{PICTURE} (not a picture)"),
    ("web page named .png", FOLDER, PICTURE, write("<!DOCTYPE html><html>404</html>"), f"{PICTURE} (not a picture)"),
    ("huge picture", FOLDER, PICTURE, write(png(60_000, 60_000)), f"{PICTURE} (more than"),
    ("picture that is smaller than it says", FOLDER, PICTURE, write(png(50, 50)), PICTURE),
    ("picture of floats", FOLDER, PICTURE, write(picture(format="TIFF")), "floating-point"),
    ("program for a printer named .png", FOLDER, PICTURE, write("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not a picture"),
    ("class without pictures", FOLDER, "photos/cat", lambda path: [file.unlink() for file in path.iterdir()], "holds no images"),
    ("one class", FOLDER, "photos/cat", shutil.rmtree, "1 class folders"),
    ("no folder of pictures", FOLDER, "photos", shutil.rmtree, "cannot read image folder"),
]


@pytest.mark.parametrize(("what", "arguments", "path", "spoil", "says"), LYING, ids=[case[0] for case in LYING])
def test_lying_on_a_disk(
    place: Path, capsys: pytest.CaptureFixture[str], what: str, arguments: tuple[str, ...], path: str, spoil: Callable, says: str
) -> None:
    spoil(place / path)
    assert says in refused(place, arguments, capsys), what
    assert not (place / "hacked").exists(), "code in a file was run"


def test_there_are_sixty() -> None:
    names = [case[0] for case in TYPED] + [case[0] for case in LYING]
    assert len(set(names)) == len(names) >= 60


def test_the_suite_of_bad_input_is_large(request: pytest.FixtureRequest) -> None:
    """As collected, with every parameter counted, whatever `-m` and `-k` have left out then."""
    cases = request.config.stash[BAD_INPUT]
    if len({case.split("::")[0] for case in cases}) < 9:
        pytest.skip("only a part of the tests was collected")
    assert len(set(cases)) >= 160


def done(arguments: tuple[str, ...]) -> None:
    """Run a verb that must do its work."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code


# --- what is unusual, and right -------------------------------------------------------------------------------


def test_a_checkpoint_with_code_in_it_is_not_run_and_not_used(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out").mkdir()
    pickled_by_torch(place / "out/checkpoint.pt")
    done(TRAIN)
    assert "training starts anew" in capsys.readouterr().out
    assert not (place / "hacked").exists()
    assert (place / "out/weights.safetensors").exists()


@pytest.mark.parametrize(
    ("mode", "size"),
    [("RGB", (1, 1)), ("1", (9, 9)), ("L", (9, 400)), ("P", (9, 9)), ("RGBA", (9, 9)), ("CMYK", (9, 9)), ("I;16", (9, 9))],
)
def test_pictures_of_any_mode_and_size_are_taken(place: Path, mode: str, size: tuple[int, int]) -> None:
    suffix = ".tif" if mode == "CMYK" else ".png"
    (place / PICTURE).unlink()
    Image.new(mode, size).save((place / PICTURE).with_suffix(suffix))
    done(FOLDER)
    assert len(read_samples(place / "out/samples.parquet")) == 12


@pytest.mark.slow
def test_shell_characters_in_a_configuration_are_only_characters(place: Path) -> None:
    """Through Snakemake and the shell: a path with everything in it is quoted, never executed."""
    name = 'it\'s $(touch hacked) `touch hacked`; "touch hacked" & {touch} *'
    (place / "photos").rename(place / name)
    config = {
        "run": "odd",
        "data": {"name": "image_folder", "root": name, "image_size": 8},
        "networks": {"switch": {"architecture": "small_cnn", "weights": f"{name}/w.safetensors"}},
        "mnn": {"controls": [], "figures": []},
    }
    (place / "odd.yaml").write_text(yaml.safe_dump(config))
    done = snakemake("--cores", 1, "--configfile", "odd.yaml", "--show-failed-logs", cwd=place, check=False)
    assert (place / "results/odd/data/dataset.json").exists(), done.stdout + done.stderr
    assert done.returncode
    assert f"no weights file {name}/w.safetensors" in done.stdout + done.stderr
    assert not list(place.rglob("*hacked")), "a path was executed"
    assert shlex.quote(name) != name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("run: [", "odd.yaml, line 1 is no YAML"),
        ("- run\n", "odd.yaml has no keys"),
        ("run: x\n  seeds: 3\n", "odd.yaml, line 2 is no YAML"),
        ("run: odd\ndata: {name: image_folder, root: nowhere}\n", "nowhere"),
        ("run: odd\nnetworks: {'a; touch hacked': {architecture: small_cnn}}\n", "touch hacked"),
        ("run: odd\nmnn: {switch_functions: ['top_k(1); touch hacked']}\n", "touch hacked"),
    ],
    ids=["half a list", "a list", "wrong indentation", "no such folder", "command for a name", "command for a function"],
)
def test_a_configuration_that_is_none(place: Path, content: str, says: str) -> None:
    (place / "odd.yaml").write_text(content)
    before = everything(place)
    done = snakemake("--cores", 1, "--configfile", "odd.yaml", cwd=place, check=False)
    assert done.returncode
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    after = {name: value for name, value in everything(place).items() if not name.startswith(".snakemake")}
    assert after == before
    assert (ROOT / "Snakefile").exists()
