"""Stage new: a configuration for one's own photos, from a look at their folder."""

from pathlib import Path


def new(*, photos: Path, output: Path | None = None) -> None:
    """Look at a folder of photos, write a configuration that fits it, and estimate how long it takes on this machine.

    Prints classes, splits, sizes and what would be skipped. The file says behind every number why it stands there.

    Parameters
    ----------
    photos
        Folder with one folder for each class, or with train, val and test that have them.
    output
        The configuration to write, which must not be there yet; without it the folder's name with .yaml.
    """
    import dataclasses
    import os
    import re
    import time

    import yaml

    from metann.config.data import DataSection
    from metann.config.run import Config
    from metann.config.section import read_section
    from metann.data.suggestion import as_yaml, suggest
    from metann.datasets._search import printable
    from metann.datasets._survey import survey
    from metann.errors import MetannError
    from metann.plan.dry_run import dag
    from metann.workflow.project import project_folder

    run = re.sub(r"[^A-Za-z0-9_.-]+", "-", photos.absolute().name).strip("-_.")[:100] or "photos"
    target = output if output is not None else Path(f"{run}.yaml")
    if not photos.is_dir():
        raise MetannError(f"no folder {photos}; give one that has a folder of pictures for each class")
    if str(photos).encode("utf-8", "replace").decode() != str(photos):
        raise MetannError(f"the name of folder {printable(photos)} is no text in UTF-8, which a configuration is; rename it")
    if os.path.lexists(target):
        raise MetannError(f"{target} is there already and is not written over; give another --output")
    if not target.parent.is_dir():
        raise MetannError(f"no folder {target.parent} to write {target.name} into; make it, or give another --output")
    root = photos.absolute() if str(photos).startswith("~") else photos  # a folder of that name, and nobody's home
    found = survey(DataSection(name="image_folder", root=root))
    channels, k = 1 if found.grey else 3, len(found.names)

    start = time.perf_counter()  # what follows every job has to import
    import torch

    from metann.compute.gpus import local_gpus
    from metann.compute.process import start_torch
    from metann.cost.macs import count_macs
    from metann.networks._build import build
    from metann.plan.estimate import estimated_times
    from metann.plan.graph import classes_in_a_job, read_dag, run_jobs
    from metann.plan.scheduling import schedule
    from metann.plan.text import clock
    from metann.training.speed import seconds_per_image

    start = time.perf_counter() - start

    def macs_of(width: int, depth: int, size: int) -> float:
        with torch.device("meta"):
            return count_macs(build("small_cnn", k, channels, size, width=width, depth=depth), channels, size)

    given = suggest(found, macs_of)
    text = as_yaml(given, found, run, str(root))
    config = read_section(Config, yaml.safe_load(text))
    counts = ", ".join(f"{split} {number:,}{'' if split in found.of_split else ' (split here)'}" for split, number in given.images.items())
    print(f"{photos}: {k} classes, {sum(given.images.values()):,} pictures ({counts}), {'grey' if found.grey else 'colour'}")
    print(f"shorter sides of {found.looked_at:,} that were opened: a tenth below {found.sides[0]}, half below {found.sides[1]} pixels")
    if found.skipped:
        print(f"left out: {found.skipped}")
    for sentence in found.assumed:
        print(f"assumed: {sentence}")
    if found.unreadable:
        print(f"cannot be read, and would stop the run: {len(found.unreadable)} of {found.looked_at:,}, such as {found.unreadable[0]}")

    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise MetannError(f"cannot write {target}: {(error.strerror or str(error)).lower()}; give another --output") from None
    try:
        planned = read_dag(dag(target, project_folder() / "Snakefile"))
    except BaseException:
        target.unlink()
        raise
    device = start_torch(config.training.device, config.training.threads)
    speed = {}
    for name, network in config.networks.items():
        module = build(network.architecture, k, channels, given.image_size, **network.settings)
        speed[name] = seconds_per_image(module, channels, given.image_size, config.training_of(name), device)
    rules = {job.rule for job in planned}
    times = estimated_times(config, given.images, k, speed, start, rules)
    jobs = [dataclasses.replace(job, devices=1) for job in run_jobs(planned, times, classes_in_a_job(planned, k), k)]
    places = len(local_gpus()) if device.type == "cuda" else os.cpu_count() or 1
    takes = clock(schedule(jobs, max(places, 1)).makespan)
    what = f"{max(places, 1)} {'GPU' if device.type == 'cuda' else 'core'}{'s' if places > 1 else ''}"
    print(f"wrote {target}: {len(jobs)} jobs, about {takes} (h:mm:ss) on the {what} of this machine, from some steps of each network")
    print(f"run it: snakemake --cores all --configfile {target}")
