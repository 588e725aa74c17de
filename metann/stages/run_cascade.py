"""Stage run_cascade: networks really answer a stream of images, the second only where it is asked."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metann.cascade.stream import compare_with_tables, stream
from metann.config.cascade import MemorySection, WorkloadSection

if TYPE_CHECKING:
    import numpy as np

    from metann.cascade.model import Cascade


def run_cascade(
    *,
    networks: list[Path],
    data: Path,
    output: Path,
    cascade: Path | None = None,
    thresholds: list[float] | None = None,
    score: str = "difference",
    postcheck: bool = False,
    split: Literal["train", "val", "test"] = "test",
    limit: int | None = None,
    batch_size: int = 1,
    memory: MemorySection | None = None,
    workload: WorkloadSection | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
    probabilities: list[Path] | None = None,
    seed: int = 0,
    when_done: str | None = None,
) -> None:
    """Run a cascade, or a single network, on a stream of images and report accuracy, use, latency and energy.

    Writes record.parquet (every image: which network answered, scores, memory hit, latency), report.json and report.md.

    Parameters
    ----------
    networks
        Weight files in the order in which they are asked; one alone runs without a second network. With --cascade the ones
        that it names are taken, in its order.
    data
        Folder made by prepare-data.
    output
        Folder to write into.
    cascade
        cascade.json of choose-cascade: networks, thresholds, score and post-check.
    thresholds
        One after each network but the last; an image less sure than it goes on to the next network.
    score
        A function of metann/cascade/score_functions.py.
    postcheck
        Keep the more confident answer.
    split
        Which images.
    limit
        Only the first so many images of the split.
    batch_size
        Images answered at once.
    memory
        Answers kept for images that come again.
    workload
        Duplicates, rotations and order of the stream.
    device
        Where to compute; auto takes CUDA where it is.
    threads
        Torch threads on the CPU.
    probabilities
        Tables of these networks; the report says on how many images they give another answer than the run.
    seed
        Of the networks, for the record.
    when_done
        Shell command to run at the end, also after an error; METANN_STATUS is 'done' or 'failed', METANN_REPORT the report.
    """
    import os
    import subprocess

    status = "failed"
    try:
        _run(**{name: value for name, value in locals().items() if name not in ("when_done", "status", "os", "subprocess")})
        status = "done"
    finally:
        if when_done:
            environment = os.environ | {"METANN_STATUS": status, "METANN_REPORT": str(output / "report.md")}
            result = subprocess.run(when_done, shell=True, env=environment, check=False)
            if result.returncode:
                print(f"the command of --when-done ended with {result.returncode}: {when_done}")


def _run(*, data: Path, output: Path, split: str, limit: int | None, batch_size: int, device: str, threads: int, **how: Any) -> None:
    import numpy as np

    from metann.cascade.inputs import read_tables
    from metann.cascade.record import describe, measure, page
    from metann.cascade.workload import TURNS, build_workload, turned
    from metann.compute.process import start_torch
    from metann.cost.energy import find_meter
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.files import write_json, write_text
    from metann.tables.frames import write_frame
    from metann.workflow.provenance import stage_code

    if batch_size < 1 or (limit is not None and limit < 1):
        raise MetannError(f"batch size {batch_size}, limit {limit}: both must be at least 1")
    target = start_torch(device, threads)
    prepared = read_prepared(data)
    rows = prepared.samples.rows(split)[:limit]
    if not len(rows):
        raise MetannError(f"{data} has no {split} images")
    chain = _cascade(how, target, prepared.info.class_names)
    workload = how["workload"] or WorkloadSection()
    work = build_workload(len(rows), workload.duplicates, workload.rotations, workload.shuffled, workload.seed)
    labels_N = prepared.samples.label[rows].astype(np.int64)

    def batch(position: "np.ndarray") -> "np.ndarray":
        images_NCHW = np.ascontiguousarray(prepared.images_NCHW[rows[work.source_M[position]]])
        if not work.turn_M[position].any():
            return images_NCHW
        return np.ascontiguousarray(np.moveaxis(turned(np.moveaxis(images_NCHW, 1, -1), work.turn_M[position]), -1, 1))

    chain.warm_up(batch(np.arange(min(batch_size, len(work)))))
    meter = find_meter(target.type)
    meter.measure_idle()
    with meter.measure() as energy:
        answers, latency_ms = stream(chain, batch, work.source_M, labels_N, batch_size)
    record = {
        "seed": np.full(len(work), how["seed"]),
        "sample_id": prepared.samples.sample_id[rows[work.source_M]],
        "duplicate": work.duplicate_M,
        "turn": np.array(TURNS)[work.turn_M],
        "label": labels_N[work.source_M],
        "prediction": answers["prediction"],
        "right": answers["prediction"] == labels_N[work.source_M],
        "hit": answers["hit"],
        "networks_run": answers["asked"],
        "answered_by": np.array([*(stage.name for stage in chain.stages), "memory"])[answers["answered"]],
        "batch": np.arange(len(work)) // batch_size,
        "latency_ms": latency_ms,
    } | {f"score_{number}": answers["score"][:, number] for number in range(len(chain.stages))}
    macs = [stage.macs for stage in chain.stages]
    report = measure(record, macs, prepared.info.class_names, vars(energy), batch_size)
    tables = None
    if how["probabilities"]:
        names = [stage.name for stage in chain.stages]
        tables = read_tables(how["probabilities"], names, how["seed"], "the comparison with tables needs", prepared.samples)
    report |= describe(chain, work, split, str(target), how["seed"]) | compare_with_tables(tables, chain, record)
    metadata = {key: report[key] for key in ("networks", "thresholds", "score", "postcheck", "device", "batch_size", "split")}
    metadata |= {
        "dataset": prepared.info.name,
        "digest": prepared.info.digest,
        "code": stage_code("run_cascade", architectures={member.header["architecture"] for member in chain.stages}),
    }
    write_frame(output / "record.parquet", record, "cascade_record", metadata)
    write_json(output / "report.json", report)
    write_text(output / "report.md", page(report))
    print(page(report))


def _cascade(how: dict[str, Any], device: Any, class_names: tuple[str, ...]) -> "Cascade":
    """Load the networks and put them together."""
    from metann.cascade.inputs import read_cascade
    from metann.cascade.memory import Memory
    from metann.cascade.model import Cascade, Stage
    from metann.errors import MetannError
    from metann.weights.files import read_header

    paths, thresholds, score, postcheck = how["networks"], how["thresholds"] or [], how["score"], how["postcheck"]
    if how["cascade"] is not None:
        if thresholds:
            raise MetannError("give either --cascade or --thresholds, not both: the cascade has its own")
        described = read_cascade(how["cascade"])
        by_name = {str(read_header(path).get("network") or path.stem): path for path in paths}
        for name in described.networks:
            if name not in by_name:
                raise MetannError(f"{how['cascade']} needs the weights of {name!r}; --networks has: {', '.join(by_name)}")
        paths = [by_name[name] for name in described.networks]
        thresholds, score, postcheck = list(described.thresholds), described.score, described.postcheck
    memory = how["memory"] or MemorySection()
    store = None if memory.key == "none" else Memory(memory.capacity)
    return Cascade([Stage.load(path, device, class_names) for path in paths], thresholds, score, postcheck, store, memory.key)
