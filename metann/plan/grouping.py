"""How many classes one expert job trains where the configuration says `classes_per_job: auto`: by how long an expert takes.

On a cluster a job should last about ten minutes: much less and the queue and the start are what one waits for, much more and a lost node
costs much. On one machine the number is taken at which the experts are done soonest. Times are seconds.
"""

import json
import math
import os
from pathlib import Path
from statistics import median

from metann import layout
from metann.config.run import Config
from metann.errors import MetannError
from metann.plan.estimate import EXPERT_SET
from metann.plan.measured import expert_times
from metann.thresholds import format_threshold
from metann.training.history import read_history

VARIABLE = "METANN_CLASSES_PER_JOB"
"""What the main process has found, for its jobs: what they would find themselves changes while the run goes on."""
PLANNING = "METANN_PLANNING"
"""Set where only a plan is made: for many devices, so the grouping is that of a cluster."""
UNKNOWN = 5  # as the default of the key
CLUSTER_SECONDS = 600.0
START_SECONDS = 5.0  # of a process with torch, and the answers; where nothing was measured


def on_a_cluster(classes: int, expert: float, start: float) -> int:
    """Classes with which a job comes nearest to ten minutes, at most all of them."""
    return min(max(round((CLUSTER_SECONDS - start) / expert), 1), classes) if expert > 0 else classes


def on_one_machine(classes: int, cells: int, expert: float, start: float, places: int) -> int:
    """Classes with which all experts are done soonest; of equal ones the most, for fewer processes.

    Args:
        classes: K.
        cells: seeds times dataset thresholds; each has all K experts.
        expert, start: of an expert, and of a job beside its experts.
        places: jobs that run at once.
    """

    def end(group: int) -> float:
        """Waves of jobs of equal length: the last job of a cell may be shorter, which is left out."""
        return math.ceil(math.ceil(classes / group) * cells / places) * (start + group * expert)

    return min(range(classes, 0, -1), key=end)


def known_times(run: Path, config: Config, classes: int) -> tuple[float, float] | None:
    """Seconds of an expert and of a start: measured in this run, or estimated from its switch; None where neither was trained yet."""
    for seed in config.seeds:
        for threshold in config.mnn.dataset_thresholds:
            try:
                times = expert_times(run, config.mnn.expert.epochs, seed=seed, dataset_threshold=format_threshold(threshold))
            except MetannError:
                continue
            return times["expert"], times["expert_start"]
    for seed in config.seeds:
        path = layout.place(run, f"{layout.NETWORK}/training.csv", network=config.mnn.switch, seed=seed)
        if path.is_file():
            seconds = [float(row["seconds"]) for row in read_history(path) if "seconds" in row]
            if seconds:
                return config.mnn.expert.epochs * median(seconds) * EXPERT_SET / classes, START_SECONDS
    return None


def auto_classes(run: Path, config: Config, classes: int, *, main: bool, local: bool, places: int) -> int:
    """What `auto` means for a run.

    Args:
        run: its folder.
        config: with a meta neural network.
        classes: K.
        main: whether this process is the one that the user started, and no job.
        local: whether jobs are processes of this machine.
        places: jobs that it runs at once.
    """
    found = json.loads(os.environ.get(VARIABLE, "{}"))
    if main or config.run not in found:
        times = known_times(run, config, classes)
        if times is None:
            number = UNKNOWN
        elif local and PLANNING not in os.environ:
            number = on_one_machine(classes, len(config.seeds) * len(config.mnn.dataset_thresholds), *times, max(places, 1))
        else:
            number = on_a_cluster(classes, *times)
        os.environ[VARIABLE] = json.dumps(found | {config.run: number})
        return number
    return int(found[config.run])
