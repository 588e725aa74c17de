"""Every registered dataset that needs no download keeps the contract; the others are read from made-up or restored files."""

import gzip
import hashlib
import importlib
import subprocess
import sys
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from metann import registry
from metann.config.data import DataSection
from metann.data.classes import check_files, class_count
from metann.data.prepared import write_prepared
from metann.data.raw import folder_of, load_dataset
from metann.datasets import fashion_mnist_small
from metann.datasets._idx import DEBIAN_FASHION_MNIST, read_idx
from metann.errors import MetannError

NEEDS_FILES = {"cifar10", "cifar100", "fashion_digits", "fashion_mnist", "image_folder", "mnist"}
EMBEDDED = [name for name in registry.datasets() if name not in NEEDS_FILES]


@pytest.mark.parametrize("name", EMBEDDED)
def test_contract(name, tmp_path):
    """A new dataset file is tested the moment it exists."""
    settings = DataSection(name=name)
    check_files(settings)
    raw = load_dataset(settings)
    again = load_dataset(settings)
    assert np.array_equal(raw.images_NCHW, again.images_NCHW)
    assert len(raw.class_names) == class_count(settings)
    assert set(raw.labels_N.tolist()) == set(range(len(raw.class_names)))
    assert raw.images_NCHW.max() > 200, "the pixels do not use 0..255"
    assert raw.images_NCHW.min() < 50
    prepared = write_prepared(tmp_path, raw, settings)
    for split in ("train", "val", "test"):
        assert set(prepared.samples.select(split).label.tolist()) == set(range(len(raw.class_names)))
    other = write_prepared(tmp_path, raw, DataSection(name=name, val_fraction=0.3))
    np.testing.assert_array_equal(other.samples.rows("test"), prepared.samples.rows("test"))


@pytest.mark.parametrize("name", registry.datasets())
def test_every_dataset_says_how_many_classes(name):
    module = importlib.import_module(f"metann.datasets.{name}")
    assert module.__doc__
    assert module.load.__doc__
    assert registry.dataset_classes(name) or module.class_names


def test_unknown_dataset():
    with pytest.raises(MetannError, match="unknown dataset 'cifar11'; known: cifar10"):
        load_dataset(SimpleNamespace(name="cifar11"))


# fashion_mnist_small


def test_embedded_split_is_exact_and_stratified():
    raw = load_dataset(DataSection())
    assert raw.images_NCHW.shape == (22_000, 1, 28, 28)
    counts = {name: np.bincount(raw.labels_N[raw.official_split == name]) for name in ("train", "val", "test")}
    assert {name: int(count.sum()) for name, count in counts.items()} == {"train": 10_000, "val": 2_000, "test": 10_000}
    assert counts["test"].tolist() == [1000] * 10
    assert (np.abs(counts["val"] - (counts["train"] + counts["val"]) / 6) < 1).all()
    assert (raw.official_split[12_000:] == "test").all()


def test_embedded_file_is_checked(tmp_path, monkeypatch):
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(fashion_mnist_small.FILE.read_bytes()[:-1])
    for path, complaint in [(damaged, "sha256"), (tmp_path / "none.npz", "No such file")]:
        monkeypatch.setattr(fashion_mnist_small, "FILE", path)
        with pytest.raises(MetannError, match=f"{path.name}.*{complaint}.*install metann again"):
            load_dataset(DataSection())


def test_notice_is_beside_the_file():
    text = fashion_mnist_small.FILE.with_name("FASHION_MNIST_NOTICE.txt").read_text()
    assert "Zalando SE" in text
    assert "The above copyright notice and this permission notice shall be included" in text


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_script_builds_the_embedded_file():
    tool = Path(__file__).parent.parent / "tools" / "build_fashion_mnist_small.py"
    code = f"import runpy; tool = runpy.run_path({str(tool)!r}); print(tool['digest'](tool['build'](tool['DEBIAN_FASHION_MNIST'])))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fashion_mnist_small.SHA256
    assert hashlib.sha256(fashion_mnist_small.FILE.read_bytes()).hexdigest() == fashion_mnist_small.SHA256


# digits


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MetannError, match="pip install scikit-learn"):
        load_dataset(DataSection(name="digits"))


def test_digits_spread_seventeen_levels():
    raw = load_dataset(DataSection(name="digits"))
    assert len(np.unique(raw.images_NCHW)) == 17
    assert raw.images_NCHW.max() == 255


# idx files


def write_idx(path, array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(folder, suffix=".gz", seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for part, n in [("train", 40), ("t10k", 20)]:
        made[part] = rng.integers(0, 256, (n, 28, 28)), np.arange(n) % 10
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", made[part][0])
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", made[part][1])
    return made


@pytest.mark.parametrize(
    ("name", "below", "suffix"), [("mnist", "MNIST/raw", ""), ("mnist", ".", ".gz"), ("fashion_mnist", "FashionMNIST/raw", ".gz")]
)
def test_mnist_from_idx_files(name, below, suffix, tmp_path):
    made = write_mnist(tmp_path / below, suffix)
    settings = DataSection(name=name, root=tmp_path, download=False)
    check_files(settings)
    raw = load_dataset(settings)
    np.testing.assert_array_equal(raw.images_NCHW[:40, 0], made["train"][0])
    np.testing.assert_array_equal(raw.images_NCHW[40:, 0], made["t10k"][0])
    np.testing.assert_array_equal(raw.labels_N, np.concatenate([made["train"][1], made["t10k"][1]]))
    assert (raw.official_split == np.repeat(["train", "test"], [40, 20])).all()
    assert len(raw.class_names) == class_count(settings) == 10


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[:-1], lambda b: b[:0], lambda b: b"x" + b[1:], lambda b: b + b"x"])
def test_damaged_idx_file_is_named(damage, suffix, tmp_path):
    path = tmp_path / f"images-ubyte{suffix}"
    write_idx(path, np.random.default_rng(0).integers(0, 256, (4, 5, 6)))
    assert read_idx(path).shape == (4, 5, 6)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MetannError, match=path.name) as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)


def test_lengths_of_an_idx_pair(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(19))
    with pytest.raises(MetannError, match=r"test images are \(20, 28, 28\), labels \(19,\)"):
        load_dataset(DataSection(name="mnist", root=tmp_path))


@pytest.mark.usefixtures("nowhere")
def test_a_download_cut_off_is_taken_up_again(tmp_path, monkeypatch):
    """Three of the four files: fetched where that is allowed, and otherwise said to be missing."""
    write_mnist(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MetannError, match="no MNIST in"):
        load_dataset(DataSection(name="mnist", root=tmp_path, download=False))
    monkeypatch.setattr("metann.datasets._torchvision._download", lambda *_: write_mnist(tmp_path / "MNIST/raw"))
    assert len(load_dataset(DataSection(name="mnist", root=tmp_path)).labels_N) == 60


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_from_debian(tmp_path):
    raw = load_dataset(DataSection(name="fashion_mnist", root=tmp_path, download=False))
    assert raw.images_NCHW.shape == (70_000, 1, 28, 28)
    assert np.bincount(raw.labels_N).tolist() == [7000] * 10
    small = load_dataset(DataSection())
    np.testing.assert_array_equal(raw.images_NCHW[:12_000], small.images_NCHW[:12_000])
    np.testing.assert_array_equal(raw.images_NCHW[60_000:], small.images_NCHW[12_000:])


def test_clothes_and_digits_together(tmp_path, monkeypatch):
    clothes, digits = (write_mnist(tmp_path / kind / "raw", seed=seed) for seed, kind in enumerate(("FashionMNIST", "MNIST")))
    monkeypatch.setattr("metann.datasets.fashion_digits.EACH", {"train": 7, "test": 3})
    settings = DataSection(name="fashion_digits", root=tmp_path, download=False)
    check_files(settings)
    raw = load_dataset(settings)
    assert raw.class_names == ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "4", "5", "6", "7", "8", "9")
    assert len(raw.class_names) == class_count(settings) == 12
    wanted = []
    for part, many, split in (("train", 7, "train"), ("t10k", 3, "test")):
        wanted += [(split, image, label) for image, label in zip(*clothes[part], strict=True) if label < 6][:many]
        wanted += [(split, image, label + 2) for image, label in zip(*digits[part], strict=True) if label >= 4][:many]
    assert raw.official_split.tolist() == [split for split, _, _ in wanted]
    assert raw.labels_N.tolist() == [label for _, _, label in wanted]
    np.testing.assert_array_equal(raw.images_NCHW[:, 0], np.stack([image for _, image, _ in wanted]))


def test_one_folder_is_not_clothes_and_digits_at_once(tmp_path):
    write_mnist(tmp_path)
    with pytest.raises(MetannError, match="FashionMNIST/raw and MNIST/raw"):
        load_dataset(DataSection(name="fashion_digits", root=tmp_path, download=False))


# missing files and downloads


@pytest.fixture
def nowhere(monkeypatch):
    monkeypatch.setattr("metann.datasets.fashion_mnist.DEBIAN_FASHION_MNIST", None)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist", "fashion_digits"])
def test_missing_files_are_said_before_any_job(name, tmp_path):
    settings = DataSection(name=name, root=tmp_path, download=False)
    for ask in (check_files, load_dataset):
        with pytest.raises(MetannError, match=f"{tmp_path}.*download: true") as caught:
            ask(settings)
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist", "fashion_digits"])
def test_offline_download_is_one_line(name, tmp_path, monkeypatch, capfd):
    def offline(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    settings = DataSection(name=name, root=tmp_path)
    check_files(settings)
    with pytest.raises(MetannError, match=f"cannot download.*{tmp_path}.*; put the") as caught:
        load_dataset(settings)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_damaged_cifar_is_not_read(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"x")
    with pytest.raises(MetannError, match=f"{folder}.*missing or damaged"):
        load_dataset(DataSection(name="cifar10", root=tmp_path, download=False))


def test_cifar100_in_our_layout(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images_NHWC = rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    made = SimpleNamespace(data=images_NHWC, targets=list(range(100)), classes=[f"class {k}" for k in range(100)])
    constructor = lambda root, train, download: made  # noqa: ARG005, E731
    constructor.url = "the archive"
    monkeypatch.setattr("torchvision.datasets.CIFAR100", constructor)
    raw = load_dataset(DataSection(name="cifar100", root=tmp_path))
    np.testing.assert_array_equal(raw.images_NCHW[:100].transpose(0, 2, 3, 1), images_NHWC)
    assert len(raw.class_names) == class_count(DataSection(name="cifar100")) == 100
    assert (raw.official_split == np.repeat(["train", "test"], 100)).all()


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_without_torchvision(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MetannError, match="pip install torchvision"):
        load_dataset(DataSection(name=name, root=tmp_path))


def test_root_may_name_the_home_folder():
    assert folder_of(DataSection(root=Path("~/images"))) == Path.home() / "images"
    assert folder_of(DataSection()) == Path("data")


@pytest.fixture(scope="session")
def cifar_root(shared, tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, str(shared / "data" / "restore.py"), "cifar10", str(root)], check=True, stdout=subprocess.DEVNULL)
    return root


@pytest.mark.slow
def test_official_cifar10(cifar_root):
    raw = load_dataset(DataSection(name="cifar10", root=cifar_root, download=False))
    assert raw.images_NCHW.shape == (60_000, 3, 32, 32)
    assert np.bincount(raw.labels_N[:50_000]).tolist() == [5000] * 10
    assert raw.class_names[raw.labels_N[0]] == "frog"
    means = raw.images_NCHW[:50_000].mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=1e-4)  # the published constants
    (cifar_root / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(MetannError, match="missing or damaged"):
        load_dataset(DataSection(name="cifar10", root=cifar_root, download=False))
