"""The memory of a cascade: an image that was answered before is answered again without running a network.

Shapes: N images in the order in which they arrive, D duplicates.

The memory holds predicted answers, never true ones: a wrong answer is repeated on every duplicate. It forgets the least
recently used key when it is full. Images may arrive in batches; what hits is the same for every batch size, because an
image whose key stands earlier in its own batch waits for that one's answer.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metann import registry
from metann.cascade import memory_keys
from metann.errors import MetannError, unknown

_MODULE = "cascade/memory_keys.py"


def key_function(kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function that makes a kind of key.

    Raises:
        MetannError: unknown kind.
    """
    known = registry.functions(_MODULE)
    if kind not in known:
        raise unknown("memory key", kind, known, f"metann/{_MODULE}")
    return getattr(memory_keys, kind)


@dataclass(eq=False)
class Entry:
    """One remembered image.

    Attributes:
        source: id of the image that it was made from.
        answer: what the cascade said; None until the networks have run.
    """

    source: int
    answer: Any = None


@dataclass
class Memory:
    """A bounded store of answers, least recently used forgotten first.

    Attributes:
        capacity: most entries kept; None for no bound.
        hits: lookups that found an entry.
        misses: lookups that did not; the networks run once for each.
        false_hits: hits on an entry that another image left, which is known only where sources are.
    """

    capacity: int | None = None
    hits: int = 0
    misses: int = 0
    false_hits: int = 0
    _entries: "OrderedDict[Hashable, Entry]" = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        if self.capacity is not None and self.capacity < 1:
            raise MetannError(f"a memory of {self.capacity} entries remembers nothing; give 1 or more, or none at all")

    def __len__(self) -> int:
        return len(self._entries)

    def look_up(self, key: Hashable, source: int) -> tuple[Entry, bool]:
        """The entry of a key, and whether it was there; on a miss a new entry without an answer, to be filled.

        An entry stays valid for the caller also when it is forgotten before it is filled.
        """
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            self.hits += 1
            self.false_hits += entry.source != source
            return entry, True
        self.misses += 1
        entry = self._entries[key] = Entry(source)
        if self.capacity is not None and len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
        return entry, False


def replay(keys_N: Sequence[Hashable], sources_N: Iterable[int], memory: Memory) -> tuple[np.ndarray, np.ndarray]:
    """What the memory would do with a stream of images, in hindsight.

    Args:
        keys_N: key of each image in order of arrival.
        sources_N: id of the original of each image.
        memory: is filled and counts.

    Returns:
        first_N: (N,) int64 position in the stream of the image whose answer each image gets; its own on a miss.
        hit_N: (N,) bool.
    """
    first_N, hit_N = np.empty(len(keys_N), np.int64), np.empty(len(keys_N), bool)
    for position, (key, source) in enumerate(zip(keys_N, sources_N, strict=True)):
        entry, hit_N[position] = memory.look_up(key, source)
        if not hit_N[position]:
            entry.answer = position
        first_N[position] = entry.answer
    return first_N, hit_N
