"""How long a graph of jobs takes on how many devices: list scheduling.

J jobs, D devices. Times are seconds.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metann.errors import MetannError


@dataclass(frozen=True)
class Job:
    """One job of the graph.

    Attributes:
        name: of its rule.
        seconds: on `devices` devices, undisturbed.
        devices: how many it holds at once; 0 for a job that runs beside them, on a processor.
        parents: positions of the jobs it waits for, all smaller than its own.
    """

    name: str
    seconds: float
    devices: int = 1
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """What a simulation gives.

    Attributes:
        start_J, end_J: seconds after the beginning.
        makespan: the end of the last job.
        device_seconds: seconds times devices held, summed over jobs.
        peak: most devices held at once; a job of no length holds its own for that moment.
    """

    start_J: np.ndarray
    end_J: np.ndarray
    makespan: float
    device_seconds: float
    peak: int


def on_fewer(jobs: Sequence[Job], devices: int) -> list[Job]:
    """The same jobs where there are fewer devices than one of them holds: it takes all, and longer in proportion.

    That leaves out what communication costs, which is in the measured seconds of the wide job and falls on fewer devices.
    """
    return [job if job.devices <= devices else Job(job.name, job.seconds * job.devices / devices, devices, job.parents) for job in jobs]


def tails(jobs: Sequence[Job], seconds_J: np.ndarray) -> np.ndarray:
    """(J,) the longest way from the start of each job to the end of the run; the largest is the critical path."""
    tail_J = np.array(seconds_J, float)
    longest_after_J = np.zeros(len(jobs))
    for index in range(len(jobs) - 1, -1, -1):
        tail_J[index] += longest_after_J[index]
        for parent in jobs[index].parents:
            longest_after_J[parent] = max(longest_after_J[parent], tail_J[index])
    return tail_J


def schedule(jobs: Sequence[Job], devices: int, seconds_J: np.ndarray | None = None) -> Schedule:
    """List scheduling (Graham 1969): whenever devices are free, the ready job with the longest way to the end starts.

    A job too wide for the free devices lets narrower ones pass. The makespan of jobs of one device each is at most
    work / D + (1 - 1 / D) x critical path.

    Args:
        jobs: in an order in which parents come first.
        devices: D, at least one.
        seconds_J: other durations than the jobs' own, such as with interruptions.

    Raises:
        MetannError: no device, or a job that waits for itself or for a later one.
    """
    if devices < 1:
        raise MetannError(f"{devices} devices cannot run anything; give 1 or more")
    for index, job in enumerate(jobs):
        if any(not 0 <= parent < index for parent in job.parents):
            raise MetannError(f"job {index} ({job.name}) waits for {job.parents}; parents come before their children")
    jobs = on_fewer(jobs, devices)
    if seconds_J is None:
        seconds_J = np.array([job.seconds for job in jobs], float)
    tail_J = tails(jobs, seconds_J)
    children: list[list[int]] = [[] for _ in jobs]
    waiting = [len(set(job.parents)) for job in jobs]
    for index, job in enumerate(jobs):
        for parent in set(job.parents):
            children[parent].append(index)

    # One queue for each width, because a job that does not fit must not block narrower ones.
    ready: dict[int, list[tuple[float, int]]] = {job.devices: [] for job in jobs}
    running: list[tuple[float, int]] = []
    start_J, end_J = np.zeros(len(jobs)), np.zeros(len(jobs))
    free, now, peak = devices, 0.0, 0

    def add(index: int) -> None:
        heapq.heappush(ready[jobs[index].devices], (-tail_J[index], index))

    for index, count in enumerate(waiting):
        if not count:
            add(index)
    while True:
        while candidates := [(queue[0], width) for width, queue in ready.items() if queue and width <= free]:
            (_, index), width = min(candidates)
            heapq.heappop(ready[width])
            start_J[index], end_J[index] = now, now + seconds_J[index]
            free -= width
            heapq.heappush(running, (end_J[index], index))
        peak = max(peak, devices - free)
        if not running:
            break
        now = running[0][0]
        while running and running[0][0] == now:
            _, done = heapq.heappop(running)
            free += jobs[done].devices
            for child in children[done]:
                waiting[child] -= 1
                if not waiting[child]:
                    add(child)
    widths_J = np.array([job.devices for job in jobs], float)
    return Schedule(start_J, end_J, float(end_J.max(initial=0)), float(widths_J @ (end_J - start_J)), peak)


def useful_devices(jobs: Sequence[Job]) -> int:
    """More devices than this change nothing: those held when every job starts as soon as its parents have ended."""
    return max(schedule(jobs, max(sum(job.devices for job in jobs), 1)).peak, 1)
