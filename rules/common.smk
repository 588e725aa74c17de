# What the rules share; no rules here.
import sys
from functools import partial
from pathlib import Path

from metann import layout
from metann.config.run import Config as RunConfig
from metann.config.section import flags, read_section
from metann.data.classes import check_files, class_count
from metann.errors import MetannError
from metann.hypernetwork.checks import check_experiments
from metann.workflow.provenance import stage_code
from metann.workflow.rules import (
    folder,
    gpus,
    gpus_are_there,
    grows,
    one_of,
    planned_classes,
    short_digest,
    use_this_environment,
)

use_this_environment()
gpus = partial(gpus, there=gpus_are_there(workflow.resource_settings))

try:
    run = read_section(RunConfig, dict(config))
    imported = [name for name, network in run.networks.items() if network.imported]
    trained = [name for name in run.networks if name not in imported]
    RESULTS = f"results/{run.run}"
    DATA = f"{RESULTS}/{layout.DATA}"
    # Prepared data need their raw files no more; a run of imported tables never does.
    if (
        (trained or run.mixture or run.hypernetwork)
        and planned_classes() is None
        and not Path(DATA, "dataset.json").exists()
    ):
        check_files(run.data)
    classes_count = run.mnn or run.mixture or run.hypernetwork
    n_classes = (planned_classes() or class_count(run.data)) if classes_count else 0
    if run.mixture:
        run.mixture.check(n_classes, trained)
    if run.hypernetwork:
        check_experiments(run.hypernetwork, n_classes)
except MetannError as error:
    # A SystemExit, because Snakemake adds a place in this file to every other kind; the place is in the configuration.
    sys.exit(f"metann: error: config: {error}")

NETWORK = f"{RESULTS}/{layout.NETWORK}"


def table(name):
    """A table of the run."""
    return f"{RESULTS}/{layout.TABLE.format(table=name)}"


def network_code(stage, network):
    """The digest of a stage that builds or reads a configured network."""
    section = run.networks[network]
    return stage_code(
        stage,
        architectures=[section.architecture],
        published=stage == "train_network" and section.weights is not None,
    )


def network_flags(network):
    """A configured network as flags; its own training keys are part of the training flags already."""
    return flags("network", run.networks[network], leave_out=["training"])


def figures(family):
    """The figures of a family."""
    return expand(rules.draw_figure.output, figure=getattr(run, family).figures)


wildcard_constraints:
    network=one_of(run.networks),
    seed=one_of(run.seeds),
    figure=one_of(run.all_figures),
    fold=r"\d+",
