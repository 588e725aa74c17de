"""A stream of images answered by a cascade, timed, and what it says compared with the tables of its networks.

Shapes: N images of the base set, M images of the stream, C channels, H x W pixels, K classes, S members.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from metann.cascade.calibration import tempered_tables
from metann.cascade.model import Cascade, Decided
from metann.cascade.record import compare
from metann.cascade.rule import decide
from metann.cascade.workload import TURNS, Workload, turned
from metann.tables.samples import Probabilities


def pictures(images_NCHW: np.ndarray, rows_N: np.ndarray, work: Workload) -> Callable[[np.ndarray], np.ndarray]:
    """A function that gives the images at some positions of a stream, turned as the stream wants them.

    Args:
        images_NCHW: uint8 pixels of a dataset, perhaps memory-mapped.
        rows_N: where the base set stands in it.
        work: the stream.
    """

    def batch(position: np.ndarray) -> np.ndarray:
        found_NCHW = np.ascontiguousarray(images_NCHW[rows_N[work.source_M[position]]])
        if not work.turn_M[position].any():
            return found_NCHW
        return np.ascontiguousarray(np.moveaxis(turned(np.moveaxis(found_NCHW, 1, -1), work.turn_M[position]), -1, 1))

    return batch


def stream(
    chain: Cascade, batch: Callable[[np.ndarray], np.ndarray], work: Workload, labels_N: np.ndarray, size: int
) -> tuple[list[Decided], list[float]]:
    """What was decided on each batch in order, and the milliseconds that it took.

    Args:
        chain: is asked, and remembers.
        batch: of `pictures`.
        work: the stream.
        labels_N: true classes of the base set, for the oracle.
        size: images answered at once.
    """
    starts = range(0, len(work), size)
    found, times = [], []
    for start in _progress(starts, len(work)):
        position = np.arange(start, min(start + size, len(work)))
        images_NCHW = batch(position)
        before = time.perf_counter()
        found.append(chain.decide(images_NCHW, work.source_M[position], labels_N[work.source_M[position]]))
        times.append(1000 * (time.perf_counter() - before))
    return found, times


def record_of(
    found: Sequence[Decided], times: Sequence[float], work: Workload, sample_id_N: np.ndarray, labels_N: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The columns of a record, one row for each image of the stream.

    Args:
        found, times: of `stream`.
        work: the stream.
        sample_id_N, labels_N: of the base set.
        names: of the members.
    """
    batch_M = np.repeat(np.arange(len(found)), [len(part.hit_N) for part in found])
    label_M = labels_N[work.source_M]
    prediction_M = np.concatenate([part.prediction_N for part in found])
    answered_M = np.concatenate([part.answered_N for part in found])
    score_MS = np.concatenate([part.score_NS for part in found])
    return {
        "sample_id": sample_id_N[work.source_M],
        "duplicate": work.duplicate_M,
        "turn": np.array(TURNS)[work.turn_M],
        "label": label_M,
        "prediction": prediction_M,
        "right": prediction_M == label_M,
        "hit": np.concatenate([part.hit_N for part in found]),
        "networks_run": np.concatenate([part.asked_N for part in found]),
        "answered_by": np.array([*names, "memory"])[answered_M],
        "batch": batch_M,
        "latency_ms": np.array(times)[batch_M],
    } | {f"score_{number}": score_MS[:, number] for number in range(len(names))}


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
    of_run = tempered_tables([table.p_NK[record["sample_id"]] for table in tables], chain.temperatures)
    return compare(record, decide(of_run, chain.thresholds, chain.score, False, record["label"], answer=chain.answer_rule))
