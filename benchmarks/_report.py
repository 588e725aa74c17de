"""What the benchmarks share: sides measured in turn, medians, and a Markdown table under a line about the machine.

The sides of a comparison run one after the other within each repeat, so that what else the machine does meets all of them.
"""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path

REPEATS = 5


def machine(*packages: str) -> str:
    """One line: processor, cores, load, Python and versions of packages."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} of others before" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return f"{date.today()}; {model}, {cores} cores{load}; Python {platform.python_version()}{', ' if versions else ''}{versions}"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(sides: Mapping[str, Callable[[], object]], repeats: int = REPEATS, warm_up: bool = True) -> dict[str, list[float]]:
    """Seconds of every side, `repeats` times, the sides in turn; before that each once without being counted."""
    if warm_up:
        for work in sides.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats):
        for name, work in sides.items():
            times[name].append(seconds(work))
        progress(f"repeat {repeat + 1} of {repeats}")
    return times


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over the repeats of the ratio within a repeat: what slows one repeat down slows both of its sides."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def progress(text: str) -> None:
    """A line on standard error, so that standard output is the table alone."""
    print(text, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    right = [all(row[i][:1].isdigit() or row[i][:1] in "-+." for row in cells) for i in range(len(head))]
    lines = [head, ["---:" if flag else "---" for flag in right], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def at_least(number: str) -> int:
    """For argparse: repeats, of which a median needs REPEATS."""
    if int(number) < REPEATS:
        raise ValueError(number)
    return int(number)
