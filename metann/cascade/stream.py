"""A stream of images answered by a cascade, timed."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from metann.cascade.model import Cascade
from metann.cascade.record import compare
from metann.cascade.rule import decide
from metann.tables.samples import Probabilities


def stream(chain: Cascade, batch: Any, source_M: np.ndarray, labels_N: np.ndarray, size: int) -> tuple[dict, np.ndarray]:
    """All answers in order, and the milliseconds of the batch that each image was in."""
    starts = range(0, len(source_M), size)
    found, times = [], []
    for start in _progress(starts, len(source_M)):
        position = np.arange(start, min(start + size, len(source_M)))
        images_NCHW = batch(position)
        before = time.perf_counter()
        found.append(chain.answer(images_NCHW, source_M[position], labels_N[source_M[position]]))
        times.append(np.full(len(position), 1000 * (time.perf_counter() - before)))
    parts = {"prediction": "prediction_N", "hit": "hit_N", "asked": "asked_N", "answered": "answered_N", "score": "score_NS"}
    return {name: np.concatenate([getattr(part, field) for part in found]) for name, field in parts.items()}, np.concatenate(times)


def _progress(starts: range, total: int) -> Iterator[int]:
    """Pass the starts on; a line that changes on a terminal, ten plain lines in a log."""
    terminal, shown, began = sys.stderr.isatty(), 0.0, time.monotonic()
    step = max(len(starts) // 10, 1)
    for number, start in enumerate(starts):
        yield start
        done, now = min(start + starts.step, total), time.monotonic()
        if terminal and (now - shown > 0.2 or done == total):
            shown = now
            print(f"\r{done:,} of {total:,} images, {now - began:.0f} s", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif not terminal and ((number + 1) % step == 0 or done == total):
            print(f"{done} of {total} images, {now - began:.1f} s", file=sys.stderr, flush=True)


def compare_with_tables(tables: Sequence[Probabilities] | None, chain: Cascade, record: dict[str, np.ndarray]) -> dict[str, Any]:
    """The run beside the tables of its networks, whose rows are the prepared images: sample_id is the row."""
    if not tables:
        return compare(record, None)
    of_run = [table.p_NK[record["sample_id"]] for table in tables]
    return compare(record, decide(of_run, chain.thresholds, chain.score, chain.postcheck, record["label"]))
