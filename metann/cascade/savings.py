"""What a memory saves on a stream with duplicates, in hindsight from tables.

Shapes: N images of the base set, M of the stream.
"""

from typing import Any

import numpy as np

from metann.cascade.memory import Memory, replay
from metann.cascade.rule import Decisions
from metann.cascade.workload import Workload, expected_hit_rate


def savings_row(
    decisions: Decisions, labels_N: np.ndarray, macs: list[float], work: Workload, keys_M: np.ndarray, capacity: int | None
) -> dict[str, Any]:
    """Hits, calls, accuracy and cost of a cascade with a memory on one stream, beside the same without.

    A turned duplicate that misses is counted as if the networks judged it like its original: the tables hold no turned images.

    Args:
        decisions: of the cascade on the base set.
        labels_N: true classes of the base set.
        macs: multiply-accumulates per image of each network.
        work: the stream.
        keys_M: memory key of every image of the stream.
        capacity: most entries of the memory; None for no bound.
    """
    memory = Memory(capacity)
    first_M, hit_M = replay(keys_M.tolist(), work.source_M.tolist(), memory)
    asked_N = decisions.asked_N
    calls_S = [int((asked_N[work.source_M[~hit_M]] > stage).sum()) for stage in range(len(macs))]
    plain_S = [int((asked_N[work.source_M] > stage).sum()) for stage in range(len(macs))]
    answer_M, label_M = decisions.prediction_N[work.source_M[first_M]], labels_N[work.source_M]
    size = len(work)
    return {
        "n": size,
        "hits": memory.hits,
        "misses": memory.misses,
        "false_hits": memory.false_hits,
        "hit_rate": memory.hits / size,
        "expected_hit_rate": expected_hit_rate((size - len(labels_N)) / len(labels_N)),
        "second_calls": calls_S[1] if len(macs) > 1 else 0,
        "use": calls_S[1] / size if len(macs) > 1 else 0.0,
        "accuracy": float((answer_M == label_M).mean()),
        "accuracy_without": float((decisions.prediction_N[work.source_M] == label_M).mean()),
        "macs": float(np.dot(calls_S, macs) / size),
        "macs_without": float(np.dot(plain_S, macs) / size),
    }
