"""How far a run is, in lines of text."""

import time
from collections import Counter

from metann.plan.jobs import Job, Progress

_ORDER = ("done", "running", "waiting", "failed", "stopped")


def progress_lines(name: str, progress: Progress, now: float) -> list[str]:
    """A line of counts, then one for each job that runs, failed or was stopped.

    Args:
        name: of the run.
        progress: of its jobs.
        now: what time it is, in seconds since 1970.
    """
    jobs = progress.jobs
    counts = Counter(job.state for job in jobs)
    said = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state] or state == "done")
    ended = "; snakemake has ended, start it again to go on" if progress.over and counts["done"] < len(jobs) else ""
    lines = [f"{name}, {time.strftime('%H:%M:%S', time.localtime(now))}: {said}, of {len(jobs)} jobs{ended}"]
    for state in ("running", "failed", "stopped"):
        lines += [_line(job, now) for job in jobs if job.state == state]
    return lines


def _line(job: Job, now: float) -> str:
    parts = [f"  {job.state}: {job.name} {job.about}"]
    if job.epochs[1] and (job.epochs[0] or job.state == "running"):  # what failed may have lost its history
        parts.append(f"epoch {job.epochs[0]} of {job.epochs[1]}")
    elif job.epochs[0]:
        parts.append(f"epoch {job.epochs[0]}")
    if job.accuracy is not None:
        parts.append(f"validation accuracy {100 * job.accuracy:.2f} %")
    if job.state == "running" and job.end is not None:
        day = "%H:%M:%S" if job.end - now < 12 * 3600 else "%Y-%m-%d %H:%M"
        parts.append(f"ends at about {time.strftime(day, time.localtime(job.end))}")
    if job.state != "running":
        parts.append(job.last or "its log says nothing")
    return ", ".join(parts)
