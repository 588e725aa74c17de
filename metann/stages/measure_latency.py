"""Stage measure_latency: how many milliseconds an image takes of every setting of a run, as it would be used."""

from pathlib import Path

from metann.config.latency import LatencySection


def measure_latency(
    *,
    run: Path,
    output: Path,
    latency: LatencySection = LatencySection(),
) -> None:
    """Load settings of a collected run one after the other, answer test images with each on one thread, and write down the time.

    A saved multiply-accumulate is no saved millisecond: small pieces of work cost what they cost to begin. Nothing else should run on
    the machine meanwhile. The settings of the first seed are measured, because time hardly depends on the seed.

    Parameters
    ----------
    run
        Folder of the run, with results.parquet, its models and its prepared data.
    output
        The Parquet file to write.
    latency
        Which settings, how many images at once, how many rounds.
    """
    import pandas as pd

    from metann import layout
    from metann.compute.latency import batches_of, measure
    from metann.compute.process import start_torch
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.model import load_setting
    from metann.registry import FAMILIES
    from metann.report.latency import to_measure
    from metann.tables.frames import read_frame, write_frame
    from metann.workflow.provenance import machine, stage_code, versions

    results = read_frame(run / layout.RESULTS, "results")
    start_torch("cpu", 1)
    prepared = read_prepared(run / layout.DATA)
    images_NCHW = prepared.images_NCHW[prepared.samples.rows("test")[: max(*latency.batch_sizes, latency.images)]]
    rows, skipped = [], []
    for setting in to_measure(results, latency.settings).itertuples():
        try:
            model = load_setting(run, setting.family, setting.seed, setting.load)
        except MetannError as error:
            skipped.append(f"{setting.family} {setting.setting}: not measured: {error}")
            print(skipped[-1])
            continue
        for size in latency.batch_sizes:
            batches = batches_of(images_NCHW, size, latency.images)
            took = measure(model.answer, batches, latency.repeats)
            row = {"family": setting.family, "setting": setting.setting, "role": setting.role, "seed": setting.seed, "batch_size": size}
            rows.append(row | {"images": size * len(batches), "repeats": latency.repeats} | took._asdict())
            print(f"{setting.family} {setting.setting}, {size} at once: {took.ms:.4g} ms an image ({took.low:.4g} to {took.high:.4g})")
    if not rows:
        raise MetannError(f"no setting of {run} can be loaded to be measured: {skipped[0] if skipped else 'results.parquet names none'}")
    metadata = {"run": run.resolve().name, "machine": machine(), "threads": 1, "versions": versions(), "skipped": skipped}
    metadata |= {"which": latency.settings, "code": stage_code("measure_latency", models=FAMILIES)}
    write_frame(output, pd.DataFrame(rows), layout.RUN_LATENCY, metadata)
