"""Stage run_cascade: networks really answer a stream of images, the second only where it is asked."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from metann.config.cascade import CascadeRule, CascadeRun


def run_cascade(
    *,
    networks: list[Path],
    data: Path,
    output: Path,
    cascade: Path | None = None,
    rule: Annotated[CascadeRule, Parameter(name="*")] = CascadeRule(),
    options: Annotated[CascadeRun, Parameter(name="*")] = CascadeRun(),
    split: Literal["train", "val", "test"] = "test",
    limit: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
    probabilities: list[Path] | None = None,
    seed: int = 0,
    when_done: str | None = None,
) -> None:
    """Run a cascade, or a single network, on a stream of images and report accuracy, use, latency and energy.

    Writes record.parquet (every image: which network answered, scores, memory hit, latency), report.json and report.md: all three
    or none.

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
        cascade.json of choose-cascade: networks, thresholds, score and answer.
    rule
        Which network answers.
    options
        How the cascade is run.
    split
        Which images.
    limit
        Only the first so many images of the split.
    device
        Where to compute; auto takes CUDA where it is.
    threads
        Torch threads on the CPU.
    probabilities
        Tables of these networks; the report says on how many images they give another answer than the run.
    seed
        Of the networks, for the record.
    when_done
        Shell command to run at the end, also after an error, SIGTERM or SIGHUP; METANN_STATUS is 'done' or 'failed', METANN_REPORT the
        report, empty after a failure.
    """
    from metann.workflow.when_done import followed_by

    with followed_by(when_done, output / "report.md"):
        import numpy as np

        from metann.cascade.inputs import read_cascade, read_tables
        from metann.cascade.model import Cascade
        from metann.cascade.record import describe, measure, page
        from metann.cascade.stream import compare_with_tables, pictures, record_of, stream
        from metann.cascade.workload import build_workload
        from metann.compute.process import start_torch
        from metann.cost.energy import find_meter
        from metann.data.prepared import read_prepared
        from metann.errors import MetannError
        from metann.files.atomic import together
        from metann.files.headers import write_sealed_json
        from metann.files.text import write_text
        from metann.tables.frames import write_frame
        from metann.workflow.provenance import stage_code

        if limit is not None and limit < 1:
            raise MetannError(f"limit {limit}: must be at least 1")
        if cascade is not None:
            if rule.thresholds:
                raise MetannError("give either --cascade or --thresholds, not both: the cascade has its own")
            rule = read_cascade(cascade)
        target = start_torch(device, threads)
        prepared = read_prepared(data)
        samples, info = prepared.samples, prepared.info
        rows_N = samples.rows(split)[:limit]
        if not len(rows_N):
            raise MetannError(f"{data} has no {split} images")
        chain = Cascade.of(networks, rule, info.class_names, options.memory).to(target)
        names = [member.name for member in chain.members]
        tables = None
        if probabilities:
            tables = read_tables(probabilities, names, seed, "the comparison with tables needs", samples)
        asked = options.workload
        work = build_workload(len(rows_N), asked.duplicates, asked.rotations, asked.shuffled, asked.seed)
        labels_N = samples.label[rows_N].astype(np.int64)
        batch = pictures(prepared.images_NCHW, rows_N, work)

        chain.warm_up(batch(np.arange(min(options.batch_size, len(work)))))
        meter = find_meter(target.type)
        meter.measure_idle()
        with meter.measure() as energy:
            found, times = stream(chain, batch, work, labels_N, options.batch_size)
        record = {"seed": np.full(len(work), seed)} | record_of(found, times, work, samples.sample_id[rows_N], labels_N, names)
        report = measure(record, [member.macs for member in chain.members], info.class_names, vars(energy), options.batch_size)
        report |= describe(chain, work, split, str(target), seed) | compare_with_tables(tables, chain, record)
        metadata = {key: report[key] for key in ("networks", "thresholds", "score", "postcheck", "answer", "device", "batch_size", "split")}
        architectures = {member.header["architecture"] for member in chain.members}
        metadata["asked"] = options.model_dump(mode="json", include={"memory", "workload"})
        metadata |= {"dataset": info.name, "digest": info.digest, "code": stage_code("run_cascade", architectures=architectures)}
        with together(output / "record.parquet", output / "report.json", output / "report.md") as (record_path, json_path, page_path):
            write_frame(record_path, record, "cascade_record", metadata)
            write_sealed_json(json_path, report)
            write_text(page_path, page(report))
        print(page(report))
