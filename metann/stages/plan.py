"""Stage plan: how long a configured run would take on other numbers of devices, from the times that were measured in one.

A run's Snakemake benchmark files and training.csv lie beside its outputs; nothing is run here.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metann.config import Config
    from metann.plan import Forecast, Times

MOST_DEVICES = 131_072


def plan(
    *,
    config: Path = Path("config.yaml"),
    run: Path | None = None,
    devices: list[int] | None = None,
    devices_per_job: int = 1,
    classes: int | None = None,
    network_seconds: float | None = None,
    expert_seconds: float | None = None,
    price: float | None = None,
    interruptions: float = 0.0,
    checkpoint_seconds: float = 60.0,
    restart_seconds: float = 60.0,
    repeats: int = 20,
    figure: Path | None = None,
) -> None:
    """Print makespan, device hours and cost of a run on 1 .. 128,000 devices, by list scheduling of its dependency graph.

    Times come from a run that was done (a pilot with fewer seeds, thresholds or epochs will do; its epochs are scaled to those of
    the configuration), or from --network-seconds and --expert-seconds. A device is what one training job holds: a GPU, or a
    processor core.

    Parameters
    ----------
    config
        The configuration to plan for.
    run
        Folder of the measured run; without it the configuration's own in results/.
    devices
        Numbers of devices; without it powers of two up to where more change nothing.
    devices_per_job
        Devices that one training holds; the times are for that many. On fewer it takes longer in proportion.
    classes
        Instead of the dataset's number of classes.
    network_seconds
        Training time of every network, instead of a measured one.
    expert_seconds
        Training time of an expert, instead of a measured one.
    price
        Of a device hour, in any currency.
    interruptions
        Probability that a device is taken away within an hour (spot instances); a job goes on from its last checkpoint.
    checkpoint_seconds
        Time between two checkpoints; here one is written after every epoch.
    restart_seconds
        Until an interrupted job runs again.
    repeats
        Simulations with interruptions for each number of devices.
    figure
        A picture of the table to write (.png or .svg).
    """
    import yaml

    from metann.config import Config
    from metann.data.classes import class_count
    from metann.errors import MetannError
    from metann.plan import Interruptions, Times, forecast, run_jobs, schedule, useful_devices
    from metann.sections import read_section

    _check(interruptions, price, checkpoint_seconds, restart_seconds, repeats, devices_per_job, devices)
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise MetannError(f"figure {figure} ends neither in .png nor in .svg")
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MetannError(f"cannot read the configuration {config}: {' '.join(str(error).split())}; give one with --config") from None
    planned = read_section(Config, values)
    k = classes if classes is not None else class_count(planned.data)
    if network_seconds is not None and expert_seconds is not None:
        times, missing = Times(dict.fromkeys(planned.networks, network_seconds), expert=expert_seconds), []
    else:
        folder = run if run is not None else Path("results") / planned.run
        times, missing = measured_times(folder, planned, network_seconds, expert_seconds)
        print(f"times of {folder}" + (f"; not measured there, taken as 0 s: {', '.join(missing)}" if missing else ""))

    jobs = run_jobs(planned, k, times, devices_per_job)
    enough = useful_devices(jobs)
    if devices is None:
        devices = sorted({2**power for power in range(18) if 2**power < min(enough, MOST_DEVICES)} | {min(enough, MOST_DEVICES)})
    spot = Interruptions(interruptions, checkpoint_seconds, restart_seconds)
    forecasts = [forecast(jobs, count, spot, repeats) for count in devices]
    shortest = schedule(jobs, max(enough, devices_per_job)).makespan
    print(
        f"{len(jobs)} jobs, {sum(job.name == 'train_expert' for job in jobs)} of them expert jobs; "
        f"the longest chain of jobs takes {clock(shortest)}; more than {enough:,} devices change nothing"
    )
    print(table(forecasts, price, interruptions > 0))
    if figure is not None:
        draw(figure, forecasts, shortest, price, f"{planned.run}: {len(jobs):,} jobs, {k:,} classes")


def _check(
    interruptions: float, price: float | None, checkpoint: float, restart: float, repeats: int, per_job: int, devices: list[int] | None
) -> None:
    from metann.errors import MetannError

    if not 0 <= interruptions < 1:
        raise MetannError(f"--interruptions {interruptions} is not a probability in [0, 1)")
    if price is not None and not price >= 0:
        raise MetannError(f"--price {price} is negative")
    if not checkpoint > 0 or not restart >= 0:
        raise MetannError(
            f"--checkpoint-seconds {checkpoint} and --restart-seconds {restart}: the first is above 0, the second not below it"
        )
    if repeats < 1 or per_job < 1 or (devices is not None and min(devices, default=1) < 1):
        raise MetannError("--repeats, --devices-per-job and --devices are at least 1")


def _benchmarks(paths: Iterable[Path]) -> list[tuple[Path, float]]:
    """Snakemake benchmark files and their seconds; a file may hold several rows, the last is the last attempt."""
    from metann.errors import MetannError

    found = []
    for path in sorted(paths):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                found.append((path, float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])))
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            raise MetannError(f"{path} is not a benchmark file of Snakemake; delete it, or plan from another --run") from None
    return found


def _epochs(path: Path) -> list[float]:
    """Seconds of each epoch in a training.csv."""
    from metann.errors import MetannError

    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [float(row["seconds"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError):
        raise MetannError(f"{path} does not say how long its epochs took; delete it and run snakemake again") from None


def measured_times(
    folder: Path, planned: "Config", network_seconds: float | None = None, expert_seconds: float | None = None
) -> "tuple[Times, list[str]]":
    """What a run's files say, scaled to the epochs of `planned`; means over seeds.

    Returns:
        the times, and the names of the jobs that were not measured.

    Raises:
        MetannError: no such run, or a network of `planned` that it did not train.
    """
    from metann.errors import MetannError, one_of
    from metann.plan import Times

    if not folder.is_dir():
        raise MetannError(f"no run {folder} to take times from; run the workflow, or give --run, or --network-seconds and --expert-seconds")
    networks, exports = {}, {}
    for name, section in planned.networks.items():
        jobs = _benchmarks(folder.glob(f"networks/{name}/seed_*/train_network.tsv"))
        if network_seconds is not None or section.imported:
            networks[name] = network_seconds or 0.0
        elif not jobs:
            known = {path.parts[-3] for path in folder.glob("networks/*/seed_*/train_network.tsv")}
            raise MetannError(f"{folder} did not train network {name!r}, only: {one_of(known) or 'none'}; plan from another --run")
        else:
            networks[name] = fmean(_scaled(job, planned.training_of(name).epochs) for job in jobs)
        if seconds := [s for _, s in _benchmarks(folder.glob(f"networks/{name}/seed_*/export_probabilities.tsv"))]:
            exports[name] = fmean(seconds)
    small: dict[str, Any] = {}
    patterns = {"prepare": "data/prepare_data.tsv", "evaluate": "evaluation/*/*/evaluate_mnn.tsv", "collect": "collect_results.tsv"}
    for key, pattern in patterns.items():
        if seconds := [s for _, s in _benchmarks(folder.glob(pattern))]:
            small[key] = fmean(seconds)
    missing = sorted(set(patterns) - set(small)) if planned.mnn else []
    experts = {} if planned.mnn is None else _expert_times(folder, planned.expert.epochs, expert_seconds)
    return Times(networks, exports, **experts, **small), missing


def _scaled(job: tuple[Path, float], epochs: int) -> float:
    """Seconds of a training job with another number of epochs: what is not training stays as it is."""
    path, seconds = job
    measured = _epochs(path.with_name("training.csv"))
    return max(seconds - sum(measured), 0.0) + epochs * median(measured) if measured else seconds


def _expert_times(folder: Path, epochs: int, expert_seconds: float | None) -> dict[str, Any]:
    """Times of the experts: what each class took, and what a job took beyond its classes."""
    from metann.errors import MetannError

    of_class: dict[tuple[str, int], list[float]] = {}
    beyond: list[float] = []
    for threshold in sorted(folder.glob("experts/seed_*/dataset_threshold_*")):
        measured = {int(path.parent.name.removeprefix("class_")): _epochs(path) for path in threshold.glob("class_*/training.csv")}
        for c, seconds in measured.items():
            key = threshold.name.removeprefix("dataset_threshold_"), c
            of_class.setdefault(key, []).append(epochs * median(seconds) if seconds else 0.0)
        # A job trains the classes from the one that it is named after to the next job's.
        jobs = {int(path.stem.removeprefix("train_expert_")): s for path, s in _benchmarks(threshold.glob("train_expert_*.tsv"))}
        ends = [*sorted(jobs)[1:], max(measured, default=-1) + 1]
        for first, end in zip(sorted(jobs), ends, strict=True):
            beyond.append(max(jobs[first] - sum(sum(measured.get(c, [])) for c in range(first, end)), 0.0))
    if expert_seconds is not None:
        return {"expert": expert_seconds, "expert_start": fmean(beyond) if beyond else 0.0}
    if not of_class or not beyond:
        raise MetannError(f"{folder} has no measured experts; run the workflow, or give --expert-seconds")
    known = {key: fmean(seconds) for key, seconds in of_class.items()}
    return {"expert": fmean(known.values()), "expert_of": known, "expert_start": fmean(beyond)}


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 179.3 -> '0:02:59'."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def table(forecasts: "list[Forecast]", price: float | None, disturbed: bool) -> str:
    """The forecasts as aligned text."""
    head = ["devices", "makespan", *(["95 % of runs"] if disturbed else []), "device hours", "in use", *([] if price is None else ["cost"])]
    rows = [
        [
            f"{f.devices:,}",
            clock(f.makespan),
            *([clock(f.makespan_high)] if disturbed else []),
            f"{f.device_hours:,.2f}",
            f"{100 * f.utilisation:.1f} %",
            *([] if price is None else [f"{f.device_hours * price:,.2f}"]),
        ]
        for f in forecasts
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join("  ".join(word.rjust(width) for word, width in zip(row, widths, strict=True)) for row in [head, *rows])


def draw(path: Path, forecasts: "list[Forecast]", shortest: float, price: float | None, title: str) -> None:
    """Write the figure."""
    import matplotlib as mpl

    mpl.use("Agg")
    import pandas as pd

    from metann.figures._plan import draw as draw_plan
    from metann.figures._style import save

    frame = pd.DataFrame([vars(f) for f in forecasts])
    frame.attrs = {"shortest": shortest, "price": price, "title": title}
    save(draw_plan({"plan": frame}), path, path.suffix[1:])
