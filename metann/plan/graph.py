"""The jobs of a configured run and their order, as Snakemake itself sees them, with a time for every job."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metann.errors import MetannError
from metann.plan.scheduling import Job
from metann.registry import FAMILIES

# Rules whose jobs hold a device while they train or answer; the others run beside them, on a processor.
_ON_DEVICES = ("train_", "export_", "run_", "adapt_")
# Wildcards that a job may have from those it waits for.
_INHERITED = ("network", "seed", "dataset_threshold", "fold")


@dataclass(frozen=True)
class Times:
    """Seconds of one job, undisturbed.

    Attributes:
        network: network -> training it.
        export: network -> its probabilities.
        expert_start: of an expert job, however many classes it trains.
        expert: of each class on top of that, on average.
        expert_of: (dataset threshold as in paths, class) -> seconds, where they are known.
        rules: every other rule -> one of its jobs.
    """

    network: Mapping[str, float] = field(default_factory=dict)
    export: Mapping[str, float] = field(default_factory=dict)
    expert_start: float = 0.0
    expert: float = 0.0
    expert_of: Mapping[tuple[str, int], float] = field(default_factory=dict)
    rules: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedJob:
    """One job of the workflow.

    Attributes:
        rule: its name, without the number of a group of classes.
        fields: wildcards by name; `c` is the first class of a group.
        parents: positions of the jobs whose files it reads.
    """

    rule: str
    fields: Mapping[str, str]
    parents: tuple[int, ...] = ()


def read_dag(text: str) -> list[PlannedJob]:
    """The jobs in what `snakemake --dag dot` prints, but for `all` and the targets of families; each after those that it waits for.

    A node shows the wildcards that those it waits for have not; the others are taken over from them.

    Raises:
        MetannError: not such a graph.
    """
    labels = {int(number): label.split("\\n") for number, label in re.findall(r'^\s*(\d+)\[label = "([^"]*)"', text, re.MULTILINE)}
    if not labels:
        raise MetannError(f"snakemake --dag printed {text[:80]!r}, which is no graph of jobs; its version is another")
    parents: dict[int, list[int]] = {number: [] for number in labels}
    children: dict[int, list[int]] = {number: [] for number in labels}
    for parent, child in re.findall(r"^\s*(\d+) -> (\d+)", text, re.MULTILINE):
        parents[int(child)].append(int(parent))
        children[int(parent)].append(int(child))
    targets = {number for number, (rule, *_) in labels.items() if rule in ("all", *FAMILIES)}
    waiting = {number: len(of) for number, of in parents.items()}
    ready = sorted(number for number, count in waiting.items() if not count)
    place: dict[int, int] = {}
    jobs: list[PlannedJob] = []
    for number in ready:  # grows while it is gone through
        for child in sorted(children[number]):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
        if number in targets:
            continue
        rule, *shown = labels[number]
        before = tuple(sorted(place[parent] for parent in parents[number]))
        fields = {name: value for parent in before for name, value in jobs[parent].fields.items() if name in _INHERITED}
        name, _, first = rule.rpartition("_")
        if first.isdigit():
            rule, fields = name, fields | {"c": first}
        place[number] = len(jobs)
        jobs.append(PlannedJob(rule, fields | dict(line.split(": ", 1) for line in shown), before))
    return jobs


def classes_in_a_job(planned: Sequence[PlannedJob], classes: int) -> int:
    """How many classes an expert job of a graph trains, by the first class of each.

    Args:
        planned: of `read_dag`.
        classes: K.
    """
    firsts = sorted({int(job.fields.get("c", 0)) for job in planned if job.rule == "train_expert"})
    return firsts[1] - firsts[0] if len(firsts) > 1 else max(classes, 1)


def run_jobs(planned: Sequence[PlannedJob], times: Times, group: int = 1, classes: int = 0, devices_per_job: int = 1) -> list[Job]:
    """The jobs for the schedule, in the same order.

    Args:
        planned: of `read_dag`.
        times: of its jobs; a rule that is not in it takes no time.
        group: classes that one expert job trains.
        classes: K; the last group may be smaller.
        devices_per_job: devices that one training holds; the given times are for that many.
    """
    folds = Counter((job.fields["network"], job.fields["seed"]) for job in planned if job.rule == "train_fold")
    jobs = []
    for job in planned:
        network = job.fields.get("network", "")
        if job.rule in ("train_network", "train_longer"):
            seconds = times.network.get(network, 0.0)
        elif job.rule == "train_fold":
            count = folds[network, job.fields["seed"]]
            seconds = times.network.get(network, 0.0) * (count - 1) / count
        elif job.rule in ("export_probabilities", "export_out_of_fold"):
            seconds = times.export.get(network, 0.0)
        elif job.rule == "train_expert":
            first = int(job.fields.get("c", 0))
            mine = range(first, min(first + group, classes))
            seconds = times.expert_start + sum(times.expert_of.get((job.fields["dataset_threshold"], c), times.expert) for c in mine)
        else:
            seconds = times.rules.get(job.rule, 0.0)
        devices = devices_per_job if job.rule.startswith(_ON_DEVICES) else 0
        jobs.append(Job(job.rule, seconds, devices, job.parents))
    return jobs
