"""What Snakemake's own log says of a run: which jobs failed for good, and whether it is over. With `--quiet` it names no failed job."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

_LINES = r"(?:(?!Error in rule ).*\n){0,50}?"  # of one error; a message may have several
_FAILED = re.compile(rf"^Error in rule .+:\n{_LINES}    jobid: (\d+)\n{_LINES}    log: (.+) \(check log", re.MULTILINE)
_AGAIN = re.compile(r"^Trying to restart job (\d+)\.$", re.MULTILINE)
_SHOWN = re.compile(r"^Logfile .+:\n(=+)\n(?:.*\n)*?\1\n", re.MULTILINE)
_OVER = ("\nExiting because", "Complete log(s):", "\nTerminating processes on user request")


def own_words(text: str) -> str:
    """The log without the logs of failed jobs that it shows: on a cluster these are of other Snakemakes, which say the same words."""
    return _SHOWN.sub("", text)


def failures(text: str) -> dict[str, list[str]]:
    """Own log of a job that failed and is not tried again -> other logs of it."""
    again = Counter(_AGAIN.findall(text))
    logs: dict[str, list[str]] = {}
    times: Counter[str] = Counter()
    for number, names in _FAILED.findall(text):
        times[number] += 1
        if times[number] > again[number]:
            own, *others = names.split(", ")
            logs[own] = others
    return logs


def is_over(text: str, found: Mapping[str, Any]) -> bool:
    """Whether Snakemake has ended.

    Args:
        text: of its log.
        found: the `host` and `process` that it was, and whether its jobs are `local`; a cluster's run on without it.
    """
    return any(words in text for words in _OVER) or _is_gone(found)


def _is_gone(found: Mapping[str, Any]) -> bool:
    """Whether Snakemake and its jobs were processes of this machine, and Snakemake is there no more."""
    if not found["local"] or found["host"] != os.uname().nodename:
        return False
    try:
        os.kill(int(found["process"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        return False
    return False
