"""Stage status: how far a run is, from its files."""

from pathlib import Path


def status(run: Path, *, watch: bool = False, every: float = 5.0) -> None:
    """Say which jobs of a run are done, run, wait or failed; also on a cluster's login node, where snakemake was started.

    Of a training that runs: its epochs, its validation accuracy so far and when it will end; of one that failed: the last line of its log.

    Parameters
    ----------
    run
        Folder of a run, such as results/demo.
    watch
        Say it again until nothing runs or waits any more.
    every
        Seconds between two looks.
    """
    import sys
    import time

    from metann.errors import MetannError
    from metann.workflow.progress import progress_lines
    from metann.workflow.jobs import read_jobs

    if not every > 0:
        raise MetannError(f"--every {every} seconds is no time; give a number above 0")
    while True:
        jobs = read_jobs(run)
        clear = "\x1b[2J\x1b[H" if watch and sys.stdout.isatty() else ""
        print(clear + "\n".join(progress_lines(run.name, jobs, time.time())), flush=True)
        if not watch or not any(job.state in ("running", "waiting") for job in jobs) or any(job.state == "stopped" for job in jobs):
            return
        time.sleep(every)
