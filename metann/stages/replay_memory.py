"""Stage replay_memory: what a memory would save on streams with duplicates, from the tables and the images; no network runs."""

from pathlib import Path

from metann.cascade.inputs import macs_of, read_cascade, read_tables
from metann.config.cascade import MemorySection, WorkloadSection


def replay_memory(
    *,
    cascade: Path,
    probabilities: list[Path],
    output: Path,
    data: Path | None = None,
    duplicates: list[float] | None = None,
    memory: MemorySection | None = None,
    workload: WorkloadSection | None = None,
    seed: int = 0,
) -> None:
    """Replay streams with duplicates of the test images through a memory in front of a cascade.

    Parameters
    ----------
    cascade
        cascade.json of choose-cascade: networks, score, thresholds and post-check.
    probabilities
        Tables of at least the cascade's networks.
    output
        The memory.parquet to write.
    data
        Folder made by prepare-data, for the keys of real images; without it only an ideal memory is replayed, that knows
        every image again and takes no two for one.
    duplicates
        Duplicates per image of each stream; also that of the workload.
    memory
        The bound of the memory; all kinds of key are compared.
    workload
        Rotations, order and seed of the streams.
    seed
        Of the networks, for the table.
    """
    from functools import cache

    import numpy as np
    import pandas as pd

    from metann import registry
    from metann.cascade.calibration import tempered_tables
    from metann.cascade.memory import key_function
    from metann.cascade.rule import decide
    from metann.cascade.savings import savings_row
    from metann.cascade.workload import build_workload, turned
    from metann.data.prepared import read_prepared
    from metann.tables.frames import write_frame
    from metann.tables.join import align
    from metann.workflow.provenance import stage_code

    memory, workload = memory or MemorySection(), workload or WorkloadSection()
    described = read_cascade(cascade)
    tables = read_tables(probabilities, described.networks, seed, f"{cascade} needs")
    first = tables[0]
    test = first.rows("test")
    labels_N = first.label[test].astype(np.int64)
    of_test = tempered_tables([table.p_NK[test] for table in tables], described.temperatures)
    decisions = decide(of_test, described.thresholds, described.score, False, labels_N, answer=described.answer)
    macs = [macs_of(table) for table in tables]

    keys_NT = {"ideal": lambda _: np.arange(len(test))}
    if data is not None:
        prepared = read_prepared(data)
        images_NHWC = np.moveaxis(prepared.images_NCHW[align(first, prepared.samples)[test]], 1, -1)
        for kind in registry.functions("cascade/memory_keys.py"):
            # one column of keys for every turn that occurs, made when it is first asked for
            keys_NT[kind] = cache(lambda turn, kind=kind: key_function(kind)(turned(images_NHWC, np.full(len(test), turn))))
    rows = []
    for amount in sorted({*(duplicates or [0.0, 0.25, 0.5, 1.0, 2.0]), workload.duplicates}):
        work = build_workload(len(test), amount, workload.rotations, workload.shuffled, workload.seed)
        for kind, keys_of in keys_NT.items():
            keys_M = keys_of(0)[work.source_M]
            for turn in np.unique(work.turn_M[work.turn_M > 0]):
                here = work.turn_M == turn
                keys_M[here] = keys_of(int(turn))[work.source_M[here]]
            how = {"seed": seed, "key": kind, "duplicates": amount, "rotations": workload.rotations}
            rows.append(how | savings_row(decisions, labels_N, macs, work, keys_M, memory.capacity))
    metadata = {key: first.metadata.get(key) for key in ("dataset", "digest", "class_names")}
    metadata |= described.model_dump(mode="json") | {
        "capacity": memory.capacity,
        "shuffled": workload.shuffled,
        "asked": {"memory": memory.model_dump(mode="json"), "workload": workload.model_dump(mode="json")},
        "code": stage_code("replay_memory"),
    }
    write_frame(output, pd.DataFrame(rows), "cascade_memory", metadata)
    print(f"{len(rows)} streams; keys: {', '.join(keys_NT)}")
