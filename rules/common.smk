# Helpers for the rules; no rules here.
import hashlib
import re
import sys
from functools import partial
from pathlib import Path

from metann import registry
from metann.config.run import Config as RunConfig
from metann.data.classes import check_files, class_count
from metann.errors import MetannError
from metann.workflow.provenance import code_digest
from metann.config.section import flags, read_section
from metann.workflow.rules import gpus, gpus_are_there, use_this_environment

use_this_environment()
gpus = partial(gpus, there=gpus_are_there(workflow.resource_settings))

try:
    run = read_section(RunConfig, dict(config))
    imported = [name for name, network in run.networks.items() if network.imported]
    trained = [name for name in run.networks if name not in imported]
    RESULTS = f"results/{run.run}"
    DATA = f"{RESULTS}/data"
    # Prepared data need their raw files no more; a run of imported tables never does.
    if (trained or run.mixture) and not Path(DATA, "dataset.json").exists():
        check_files(run.data)
    n_classes = class_count(run.data) if run.mnn or run.mixture else 0
    if run.mixture:
        run.mixture.check(n_classes, trained)
except MetannError as error:
    # A SystemExit, because Snakemake adds a place in this file to every other kind; the place is in the configuration.
    sys.exit(f"metann: error: config: {error}")

NETWORK = f"{RESULTS}/networks/{{network}}/seed_{{seed}}"


def one_of(names):
    """A wildcard constraint: exactly these names, or nothing at all."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def short_digest(texts):
    """8 hex digits that name a set of texts in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def folder(path, up=1):
    """The folder of a file, or one further up; for params, which the linter wants derived from files."""
    return str(Path(str(path)).parents[up - 1])


def code(stage, *named):
    """Digest of a stage's code and of the modules that it imports by name only."""
    return code_digest(f"metann.stages.{stage}", *named)


def family(network):
    """The module that builds a configured network."""
    architecture = run.networks[network].architecture
    return f"metann.networks.{registry.architectures()[architecture]}"


def network_flags(network):
    """A configured network as flags; its own training keys are part of the training flags already."""
    return flags("network", run.networks[network], leave_out=["training"])


wildcard_constraints:
    network=one_of(run.networks),
    seed=one_of(run.seeds),
    figure=one_of(run.figures),
    fold=r"\d+",
