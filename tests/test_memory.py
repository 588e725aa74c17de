"""Memory keys (published test vectors, real images) and the bounded store (a naive one as oracle)."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann import registry
from metann.cascade import memory_keys, thumbnails
from metann.cascade.memory import Memory, key_function, replay
from metann.errors import MetannError

CIFAR = Path(__file__).parents[2] / "shared" / "data" / "cifar10-test.parquet"
KINDS = registry.functions("cascade/memory_keys.py")


def vectors() -> np.ndarray:
    """V1..V4 of the published test vectors, (4, 32, 32, 3)."""
    r, c, k = np.meshgrid(np.arange(32), np.arange(32), np.arange(3), indexing="ij")
    return (np.stack([7 * r + 13 * c + 29 * k + r * c, 3 * r**2 + 5 * c**2 + 11 * k * (r + c), 8 * c, 0 * r + 7]) % 256).astype(np.uint8)


def rotated(images: np.ndarray) -> np.ndarray:
    """A quarter turn clockwise."""
    return np.rot90(images, -1, axes=(1, 2))


def noise(n: int, size: tuple[int, ...] = (32, 32, 3)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *size), dtype=np.uint8)


def test_dhash_vectors() -> None:
    assert memory_keys.dhash(vectors()).tolist() == [0xA554AA56A54DBBE7, 0xD893D595AE66A8A5, 0xFFFFFFFFFFFFFFFF, 0]
    assert memory_keys.dhash(rotated(vectors())).tolist() == [0xAA954A2499463007, 0xA55A776AA56A465A, 0, 0]


def test_invariant_vectors() -> None:
    expected = [
        [0.00811943329297, -2.22024882499e-05, -2.78916280932e-05, 1.13749493015e-05, 1.28108225618e-05, 1.36636577062e-05],
        [0.00820985886224, -8.29086395255e-06, 9.88816429613e-06, 5.22602277851e-06, 3.75647000447e-06, -6.99239659301e-06],
        [0.0069400259839, -1.96271582951e-04, 0, 7.10713123544e-05, 7.10713123544e-05, 0],
        [0.149453556763, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(thumbnails.moment_invariants(thumbnails.grey(vectors())), expected, rtol=1e-11, atol=1e-16)
    keys = np.array([0.008121416576580755, 0.00821055049106708, 0.0068858970256602085, 0.14945355676257244])
    for images in (vectors(), rotated(vectors())):
        assert memory_keys.invariants(images).tolist() == np.rint(keys * 1e12).astype(int).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(32, 32, 3), (28, 28, 1), (8, 8, 1), (5, 7, 3), (40, 64, 3), (1, 1, 1)])
def test_contract(kind: str, size: tuple[int, ...]) -> None:
    images = noise(7, size)
    function = key_function(kind)
    keys = function(images)
    assert keys.shape == (7,)
    assert keys.dtype.kind in "iu"
    assert function(images[3:4])[0] == keys[3]
    if size[2] == 1:
        assert (function(np.repeat(images, 3, axis=3)) == keys).all()
    assert len(function(images[:0])) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_bad_images_are_told(kind: str) -> None:
    with pytest.raises(MetannError, match="needs uint8"):
        key_function(kind)(noise(2).astype(np.float32))
    with pytest.raises(MetannError, match="needs uint8"):
        key_function(kind)(noise(2)[..., :2])


def test_black_images_have_a_key_that_equals_itself() -> None:
    black = np.zeros((2, 32, 32, 3), np.uint8)
    assert memory_keys.invariants(black).tolist() == [0, 0]


@pytest.mark.parametrize(("height", "width"), [(11, 13), (8, 9), (5, 6), (3, 40), (40, 3), (1, 1)])
def test_resize_equals_a_plain_loop(height: int, width: int) -> None:
    """The fixed-point arithmetic, one pixel at a time; beyond a border the index stays, and across a row its weight goes too."""
    image = noise(1, (height, width))[0]
    image[-1, -1], image[0, 0] = 0, 255
    got = thumbnails.resize(image[None], 8, 9)[0]
    assert got.dtype == np.uint8
    for r in range(8):
        for c in range(9):
            y, x = np.float32((r + 0.5) * (height / 8) - 0.5), np.float32((c + 0.5) * (width / 9) - 0.5)
            i, j = math.floor(y), math.floor(x)
            ahead_y, ahead_x = y - np.float32(i), x - np.float32(j) if 0 <= j < width - 1 else np.float32(0)
            wy, wx = round(float(ahead_y) * 2048), round(float(ahead_x) * 2048)
            vy, vx = round(float(np.float32(1) - ahead_y) * 2048), round(float(np.float32(1) - ahead_x) * 2048)
            left, right = (min(max(at, 0), width - 1) for at in (j, j + 1))
            rows = [
                int(image[min(max(at, 0), height - 1), left]) * vx + int(image[min(max(at, 0), height - 1), right]) * wx
                for at in (i, i + 1)
            ]
            assert got[r, c] == (((vy * (rows[0] >> 4)) >> 16) + ((wy * (rows[1] >> 4)) >> 16) + 2) >> 2


@pytest.fixture(scope="module")
def cifar() -> np.ndarray:
    """All 10,000 CIFAR-10 test images."""
    if not CIFAR.is_file():
        pytest.skip(f"LOUD: no real images at {CIFAR}; false hits of the memory keys are NOT measured")
    import pyarrow.parquet as pq
    from PIL import Image

    column = pq.read_table(CIFAR, columns=["image"])["image"].to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in column])


def test_real_images(cifar: np.ndarray) -> None:
    """No false hits on 10,000 different images; rotations keep the invariant key and never the dhash."""
    hashes, keys = memory_keys.dhash(cifar), memory_keys.invariants(cifar)
    assert (len(cifar), len(np.unique(hashes)), len(np.unique(keys))) == (10_000, 10_000, 10_000)
    some = cifar[:1500]
    for how in (rotated, lambda x: np.rot90(x, 1, (1, 2)), lambda x: np.rot90(x, 2, (1, 2)), lambda x: x[:, ::-1]):
        assert (memory_keys.invariants(how(some)) == keys[:1500]).all()
        assert not (memory_keys.dhash(how(some)) == hashes[:1500]).any()


# -- the store -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2))), st.one_of(st.none(), st.integers(1, 5)))
def test_against_a_naive_store(stream: list[tuple[int, int]], capacity: int | None) -> None:
    memory = Memory(capacity)
    first_N, hit_N = replay([key for key, _ in stream], [source for _, source in stream], memory)
    kept: list[list[int]] = []  # [key, position of the first, source], most recent last
    hits = false_hits = 0
    for position, (key, source) in enumerate(stream):
        found = next((item for item in kept if item[0] == key), None)
        if found:
            kept.remove(found)
            hits += 1
            false_hits += found[2] != source
        item = found or [key, position, source]
        kept.append(item)
        if capacity is not None and len(kept) > capacity:
            kept.pop(0)
        assert (first_N[position], hit_N[position]) == (item[1], found is not None)
    assert (memory.hits, memory.misses, memory.false_hits) == (hits, len(stream) - hits, false_hits)
    assert len(memory) == len(kept)


def test_an_entry_that_is_forgotten_before_it_is_filled_still_answers() -> None:
    memory = Memory(1)
    first, _ = memory.look_up("a", 0)
    again, hit = memory.look_up("a", 0)
    memory.look_up("b", 1)
    first.answer = 7
    assert hit
    assert again.answer == 7
    assert memory.look_up("a", 0)[1] is False


def test_wrong_settings_are_told() -> None:
    with pytest.raises(MetannError, match="remembers nothing"):
        Memory(0)
    with pytest.raises(MetannError, match="unknown memory key 'phash'; known: dhash, invariants"):
        key_function("phash")
