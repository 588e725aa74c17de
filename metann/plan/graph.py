"""The dependency graph of a configured run, as the rules make it, with a time for every job."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from metann.config.run import Config
from metann.plan.scheduling import Job
from metann.thresholds import format_threshold


@dataclass(frozen=True)
class Times:
    """Seconds of one job, undisturbed.

    Attributes:
        network: network -> training it.
        export: network -> its probabilities.
        expert_start: of an expert job, however many classes it trains.
        expert: of each class on top of that, on average.
        expert_of: (dataset threshold as in paths, class) -> seconds, where they are known.
        prepare, evaluate, collect, draw: of the small jobs.
    """

    network: Mapping[str, float]
    export: Mapping[str, float] = field(default_factory=dict)
    expert_start: float = 0.0
    expert: float = 0.0
    expert_of: Mapping[tuple[str, int], float] = field(default_factory=dict)
    prepare: float = 0.0
    evaluate: float = 0.0
    collect: float = 0.0
    draw: float = 0.0


def run_jobs(run: Config, classes: int, times: Times, devices_per_job: int = 1) -> list[Job]:
    """All jobs of a run: networks, experts, evaluation and figures, for every seed and dataset threshold.

    Jobs that train or export hold devices; the small ones run beside them.

    Args:
        run: the configuration; cascades are not planned.
        classes: K.
        times: every network of the run must be in `times.network`, unless its table is imported.
        devices_per_job: devices that one training holds; the given times are for that many.
    """
    jobs: list[Job] = []

    def add(name: str, seconds: float, *parents: int, devices: int = devices_per_job) -> int:
        jobs.append(Job(name, seconds, devices, parents))
        return len(jobs) - 1

    data = add("prepare_data", times.prepare, devices=0)
    prefixes, controls = [], []
    for _ in run.seeds:
        tables: dict[str, int] = {}
        for network, section in run.networks.items():
            if section.imported:
                tables[network] = add("import_probabilities", 0.0, devices=0)
                continue
            weights = add("train_network", times.network[network], data)
            tables[network] = add("export_probabilities", times.export.get(network, 0.0), weights)
        if run.mnn is None:
            continue
        switch = run.mnn.switch
        chosen_by = [tables[switch]]
        if run.mnn.probabilities == "out_of_fold":
            folds = run.mnn.folds
            seconds = times.network[switch] * (folds - 1) / folds
            parts = [add("train_fold", seconds, data) for _ in range(folds)]
            chosen_by.append(add("export_out_of_fold", times.export.get(switch, 0.0), *parts))
        for threshold in map(format_threshold, run.mnn.dataset_thresholds):
            experts = []
            for first in range(0, classes, run.mnn.classes_per_job):
                group = range(first, min(first + run.mnn.classes_per_job, classes))
                seconds = times.expert_start + sum(times.expert_of.get((threshold, c), times.expert) for c in group)
                experts.append(add("train_expert", seconds, *chosen_by))
            prefixes.append(add("evaluate_mnn", times.evaluate, tables[switch], *experts, devices=0))
        controls += [tables[network] for network in run.mnn.controls]
    if run.mnn is not None:
        results = add("collect_mnn", times.collect, *prefixes, *controls, devices=0)
        for _ in run.all_figures:
            add("draw_figure", times.draw, results, devices=0)
    return jobs
