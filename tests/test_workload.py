"""The workload generator, and the arithmetic of hits that follows from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann.cascade import memory_keys
from metann.cascade.memory import Memory, replay
from metann.cascade.workload import TURNS, build_workload, expected_hit_rate, turned
from metann.errors import MetannError


@given(st.integers(0, 40), st.floats(0, 3), st.floats(0, 1), st.booleans(), st.integers(0, 5))
def test_shares(n: int, duplicates: float, rotations: float, shuffled: bool, seed: int) -> None:
    work = build_workload(n, duplicates, rotations, shuffled, seed)
    extra = int(duplicates) * n + round((duplicates - int(duplicates)) * n)
    assert len(work) == n + extra
    assert sorted(work.source_M[~work.duplicate_M]) == list(range(n))
    assert (work.turn_M[~work.duplicate_M] == 0).all()
    assert (work.turn_M > 0).sum() == round(rotations * extra)
    times = np.bincount(work.source_M, minlength=n)
    assert not n or set(times) <= {1 + int(duplicates), 2 + int(duplicates)}
    if not shuffled:
        assert (work.duplicate_M == (np.arange(len(work)) >= n)).all()
    again = build_workload(n, duplicates, rotations, shuffled, seed)
    assert all((getattr(work, name) == getattr(again, name)).all() for name in vars(work))


def test_seed_and_order_matter() -> None:
    work = build_workload(100, 0.5, 0.5, seed=1)
    assert (work.source_M != build_workload(100, 0.5, 0.5, seed=2).source_M).any()
    assert (build_workload(100, 0.5, shuffled=False).source_M[:100] == np.arange(100)).all()
    assert (build_workload(100, 0.5).source_M[:100] != np.arange(100)).any()
    assert set(build_workload(1000, 1, 1).turn_M) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("duplicates", "rate"), [(0, 0.0), (0.25, 0.2), (0.5, 0.3333), (1, 0.5), (2, 0.6667)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_expected_hits(duplicates: float, rate: float, shuffled: bool) -> None:
    """With one key per image, hits are d / (1 + d) of the stream and the networks run once per image of the base set."""
    n = 2000
    work = build_workload(n, duplicates, shuffled=shuffled)
    memory = Memory()
    first_M, hit_M = replay(work.source_M.tolist(), work.source_M.tolist(), memory)
    assert round(hit_M.mean(), 4) == rate
    assert expected_hit_rate(duplicates) == pytest.approx(hit_M.mean())
    assert memory.misses == n
    assert memory.false_hits == 0
    assert (work.source_M[first_M] == work.source_M).all()
    sent_N = np.arange(n) % 3 == 0  # images that the second network is asked for
    assert (sent_N[work.source_M] & ~hit_M).sum() == sent_N.sum()


def test_turns_are_what_they_say_and_the_right_keys_survive_them() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    before = images.copy()
    got = turned(images, np.arange(5))
    assert (images == before).all()
    for k in range(3):
        plane = images[..., k]
        expected = [plane[0], np.rot90(plane[1]), np.rot90(plane[2], 3), np.rot90(plane[3], 2), np.flipud(plane[4])]
        assert (got[..., k] == np.stack(expected)).all()
    assert len(TURNS) == 5
    assert (memory_keys.invariants(got) == memory_keys.invariants(images)).all()


def test_bad_settings_are_told() -> None:
    with pytest.raises(MetannError, match="duplicates are 0 or more"):
        build_workload(5, -1)
    with pytest.raises(MetannError, match=r"rotations in \[0, 1\]"):
        build_workload(5, 1, 1.5)
    with pytest.raises(MetannError, match="cannot be turned by a quarter"):
        turned(np.zeros((1, 4, 6, 3), np.uint8), np.array([1]))
    assert turned(np.zeros((1, 4, 6, 3), np.uint8), np.array([3])).shape == (1, 4, 6, 3)
