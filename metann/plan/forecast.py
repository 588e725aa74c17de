"""What a number of devices gives: makespan, device hours and use, also where devices are taken away in between. Times are seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metann.errors import MetannError
from metann.plan.scheduling import Job, on_fewer, schedule


@dataclass(frozen=True)
class Interruptions:
    """Devices that are taken away, as spot instances are.

    Attributes:
        per_hour: probability that one device is taken within an hour; one is enough to stop its whole job.
        checkpoint_seconds: a job starts again from its last checkpoint; they lie so far apart.
        restart_seconds: until a stopped job runs again.
    """

    per_hour: float
    checkpoint_seconds: float = 60.0
    restart_seconds: float = 60.0

    def rate(self, devices: int) -> float:
        """Interruptions per second of a job on so many devices (Poisson)."""
        return -math.log1p(-self.per_hour) / 3600 * devices


def disturbed_seconds(job: Job, interruptions: Interruptions, rng: np.random.Generator) -> float:
    """One random duration of a job that repeats what was done since its last checkpoint after every interruption.

    Each of the pieces between checkpoints has to pass undisturbed: the number of failures is negative binomial, and each
    failure costs the restart and a time drawn from the exponential distribution cut at the length of the piece. The mean of
    a piece of s seconds at rate r is (1 / r + restart) (exp(r s) - 1) (Duda 1983).

    Raises:
        MetannError: a piece is so long that it would practically never pass.
    """
    rate = interruptions.rate(job.devices)
    if rate == 0 or job.seconds == 0:
        return job.seconds
    whole, rest = divmod(job.seconds, interruptions.checkpoint_seconds)
    total = job.seconds
    for pieces, length in ((int(whole), interruptions.checkpoint_seconds), (1, rest)):
        if not pieces or not length:
            continue
        if rate * length > 12:
            raise MetannError(
                f"{job.name} on {job.devices} devices would be interrupted {rate * length:.0f} times between two checkpoints; "
                "checkpoint more often, or expect fewer interruptions"
            )
        failures = int(rng.negative_binomial(pieces, math.exp(-rate * length)))
        lost = -np.log1p(-rng.random(failures) * -math.expm1(-rate * length)) / rate
        total += failures * interruptions.restart_seconds + float(lost.sum())
    return total


@dataclass(frozen=True)
class Forecast:
    """What a number of devices gives, mean over simulations.

    Attributes:
        devices: D.
        makespan: seconds; `makespan_high` is the 95th percentile over simulations.
        device_hours: held by jobs.
        utilisation: share of D x makespan that jobs held.
    """

    devices: int
    makespan: float
    makespan_high: float
    device_hours: float
    utilisation: float


def forecast(jobs: Sequence[Job], devices: int, interruptions: Interruptions | None = None, repeats: int = 20, seed: int = 0) -> Forecast:
    """Schedule the jobs on D devices; with interruptions `repeats` times, each with other random ones."""
    fitted = on_fewer(jobs, max(devices, 1))
    if interruptions is None or interruptions.per_hour == 0:
        runs = [schedule(fitted, devices)]
    else:
        rng = np.random.default_rng(seed)
        runs = [schedule(fitted, devices, np.array([disturbed_seconds(job, interruptions, rng) for job in fitted])) for _ in range(repeats)]
    makespans = np.array([run.makespan for run in runs])
    busy = float(np.mean([run.device_seconds for run in runs]))
    used = busy / (devices * makespans.mean()) if makespans.mean() else 0.0
    return Forecast(devices, float(makespans.mean()), float(np.quantile(makespans, 0.95)), busy / 3600, float(used))
