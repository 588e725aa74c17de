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
        Say it again whenever it has changed, until all is done or snakemake has ended.
    every
        Seconds between two looks.
    """
    import sys
    import time

    from metann.errors import MetannError
    from metann.plan.jobs import read_progress
    from metann.plan.progress import progress_lines

    if not 0 < every < float("inf"):
        raise MetannError(f"--every {every} seconds is no time; give a number above 0")
    clear = "\x1b[2J\x1b[H" if watch and sys.stdout.isatty() else ""
    before: list[str] = []
    while True:
        progress = read_progress(run)
        lines = progress_lines(run.absolute().name, progress, time.time())
        said = [lines[0].partition(": ")[2], *lines[1:]]  # without the time of day
        if clear or said != before:
            print(clear + "\n".join(lines), flush=True)
        if not watch or progress.over or all(job.state == "done" for job in progress.jobs):
            return
        before = said
        time.sleep(every)
