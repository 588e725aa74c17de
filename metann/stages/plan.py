"""Stage plan: how long a configured run would take on other numbers of devices, from the times that were measured in one.

A run's Snakemake benchmark files and training.csv lie beside its outputs; nothing is run here.
"""

from pathlib import Path

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

    from metann.config.run import Config
    from metann.config.section import read_section
    from metann.data.classes import class_count
    from metann.errors import MetannError
    from metann.plan.dry_run import dag
    from metann.plan.forecast import Interruptions, forecast
    from metann.plan.graph import Times, classes_in_a_job, read_dag, run_jobs
    from metann.plan.measured import measured_times
    from metann.plan.scheduling import schedule, useful_devices
    from metann.plan.text import check_arguments, check_times, clock, table
    from metann.workflow.configuration import check_text
    from metann.workflow.project import project_folder

    check_times({"price": price, "network-seconds": network_seconds, "expert-seconds": expert_seconds})
    check_arguments(interruptions, checkpoint_seconds, restart_seconds, repeats, devices_per_job, devices)
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise MetannError(f"figure {figure} ends neither in .png nor in .svg")
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MetannError(f"cannot read the configuration {config}: {' '.join(str(error).split())}; give one with --config") from None
    if values:
        check_text(config)
    planned = read_section(Config, values)
    jobs_of_run = read_dag(dag(config, project_folder() / "Snakefile", classes))
    rules = {job.rule for job in jobs_of_run}
    group, k = 1, 0
    if planned.mnn is not None:
        k = classes if classes is not None else class_count(planned.data)
        group = classes_in_a_job(jobs_of_run, k)
    if network_seconds is not None and expert_seconds is not None:
        times, missing = Times(dict.fromkeys(planned.networks, network_seconds), expert=expert_seconds), []
    else:
        folder = run if run is not None else Path("results") / planned.run
        times, missing = measured_times(folder, planned, rules, network_seconds, expert_seconds)
        print(f"times of {folder}" + (f"; not measured there, taken as 0 s: {', '.join(missing)}" if missing else ""))

    jobs = run_jobs(jobs_of_run, times, group, k, devices_per_job)
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
        import matplotlib as mpl

        mpl.use("Agg")
        from metann.figures._file import save
        from metann.plan.figure import draw, frame_of

        title = f"{planned.run}: {len(jobs):,} jobs"
        save(draw({"plan": frame_of(forecasts, shortest, price, title)}), figure, figure.suffix[1:])
