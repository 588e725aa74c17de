"""Joules of a stretch of work, from whatever counter the machine has: one meter, several sources.

NVML's total energy of the GPU in use (millijoules since the driver was loaded; older GPUs: sampled power), RAPL's CPU
packages and memory (microjoules, wraps around), and the INA3221 power monitor of Jetson boards (sampled power). What is
measured is the whole device, idle draw and other programs included: the baseline that was measured before the work is
kept beside the joules. Without a counter joules are None with the reason, never 0.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metann.cost import sensors
from metann.cost.sensors import Source

_SAMPLED_S, _COUNTED_S = 0.05, 20.0  # between two readings; a RAPL counter wraps after some minutes at the earliest


@dataclass
class Energy:
    """What a measured stretch of work took.

    Attributes:
        seconds: its duration.
        joules: of all sources together, idle draw included; None without a source.
        source: names of the sources; None without.
        reason: why joules are None.
        idle_watts: draw before the work, as measured by `Meter.measure_idle`; None where it was not.
        by_source: joules of each source.
    """

    seconds: float = 0.0
    joules: float | None = None
    source: str | None = None
    reason: str | None = None
    idle_watts: float | None = None
    by_source: dict[str, float] = field(default_factory=dict)

    @property
    def joules_above_idle(self) -> float | None:
        """Joules less what the idle machine would have taken; None where either is unknown."""
        return None if self.joules is None or self.idle_watts is None else self.joules - self.idle_watts * self.seconds


class Meter:
    """Measures stretches of work with the sources given.

    Args:
        sources: sensors whose joules add up; no two of them may hold the same energy.
        reason: why there is none.
        clock: seconds, for tests.
    """

    def __init__(self, sources: list[Source], reason: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.sources = sources
        self.reason = reason if not sources else None
        self.idle_watts: float | None = None
        self._clock = clock

    def measure_idle(self, seconds: float = 1.0) -> float | None:
        """Watts while this program sleeps; kept as the baseline of the following measurements."""
        if self.sources and seconds > 0:
            with self.measure() as energy:
                time.sleep(seconds)
            self.idle_watts = None if energy.joules is None else energy.joules / energy.seconds
        return self.idle_watts

    @contextlib.contextmanager
    def measure(self) -> Iterator[Energy]:
        """Measure the block; what is yielded is filled in when the block ends."""
        energy = Energy(idle_watts=self.idle_watts, reason=self.reason)
        tally, ended = _Tally(self.sources, self._clock), threading.Event()
        period = _SAMPLED_S if any(source.kind == "power" for source in self.sources) else _COUNTED_S

        def watch() -> None:
            while not ended.wait(period):
                tally.update()

        watcher = threading.Thread(target=watch, name="energy meter", daemon=True)
        tally.update()
        if self.sources:
            watcher.start()
        try:
            yield energy
        finally:
            ended.set()
            if self.sources:
                watcher.join()
            tally.update()
            tally.fill(energy)


class _Tally:
    """Joules so far of every source. Updated by one thread at a time."""

    def __init__(self, sources: list[Source], clock: Callable[[], float]) -> None:
        self.sources, self.clock = sources, clock
        self.joules = [0.0] * len(sources)
        self.last: list[tuple[float, float]] = []  # time and value
        self.started = clock()
        self.error: str | None = None

    def update(self) -> None:
        if self.error is not None:
            return
        try:
            now = [(self.clock(), source.read()) for source in self.sources]
        except Exception as error:  # a sensor that goes away must not end the work; NVML's errors have no common base
            self.error = f"a sensor could not be read during the work: {error}"
            return
        for index, (source, before, after) in enumerate(zip(self.sources, self.last, now, strict=False)):
            if source.kind == "power":
                self.joules[index] += (before[1] + after[1]) / 2 * (after[0] - before[0])
            elif after[1] >= before[1]:
                self.joules[index] += after[1] - before[1]
            else:
                self.joules[index] += after[1] - before[1] + (source.range_joules or 0.0)
                if source.range_joules is None:
                    self.error = f"the counter {source.name} went back"
        if now and not self.last:
            self.started = now[0][0]
        self.last = now

    def fill(self, energy: Energy) -> None:
        # joules and seconds of the same stretch, from the first to the last reading, so that their quotient is exact
        energy.seconds = (self.last[0][0] if self.last else self.clock()) - self.started
        if not self.sources:
            return
        energy.reason = self.error
        if self.error is None:
            energy.joules = sum(self.joules)
            energy.source = " + ".join(source.name for source in self.sources)
            energy.by_source = {source.name: joules for source, joules in zip(self.sources, self.joules, strict=True)}


def find_meter(device: str = "cpu", sysfs: Path = Path("/sys"), nvml: Any = None) -> Meter:
    """The meter of this machine: a Jetson's board monitor alone, else RAPL, and the GPU where `device` is one.

    Args:
        device: `cpu`, or `cuda` to add the GPU that this process sees first.
        sysfs: where the kernel shows its sensors.
        nvml: the module `pynvml` or a stand-in for tests; imported when None.
    """
    board, no_board = sensors.jetson(sysfs)
    if board:
        return Meter(board)
    sources, no_rapl = sensors.rapl(sysfs)
    reasons = [reason for reason in (no_rapl, no_board) if reason]
    if device.startswith("cuda"):
        gpu, no_gpu = sensors.nvidia(nvml)
        if not gpu:  # the CPU's joules alone would pass for the whole
            return Meter([], no_gpu)
        sources = gpu + sources
    return Meter(sources, "; ".join(reasons))
