# Helpers for the rules; no rules here.
import os
import re
import sys
import sysconfig
from pathlib import Path

from metann import registry
from metann.config import Config as RunConfig
from metann.config import SwitchFunction
from metann.data.classes import class_count
from metann.errors import MetannError
from metann.provenance import code_digest
from metann.sections import flags, read_section
from metann.thresholds import format_threshold

# The rules call `metann` by name: the one of the Python that runs Snakemake, whether its environment is active or not.
os.environ["PATH"] = os.pathsep.join(
    [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
)

try:
    run = read_section(RunConfig, dict(config))
    n_classes = class_count(run.data)
except MetannError as error:
    # A SystemExit, because Snakemake adds a place in this file to every other kind; the place is in the configuration.
    sys.exit(f"metann: error: config: {error}")

RESULTS = f"results/{run.run}"
DATA = f"{RESULTS}/data"
NETWORK = f"{RESULTS}/networks/{{network}}/seed_{{seed}}"
SWITCH = f"{RESULTS}/networks/{run.mnn.switch}/seed_{{seed}}"
EXPERTS = f"{RESULTS}/experts/seed_{{seed}}/dataset_threshold_{{dataset_threshold}}"
EVALUATION = (
    f"{RESULTS}/evaluation/seed_{{seed}}/dataset_threshold_{{dataset_threshold}}"
)

dataset_thresholds = [format_threshold(t) for t in run.mnn.dataset_thresholds]
switch_functions = [SwitchFunction.parse(text) for text in run.mnn.switch_functions]
thresholds = [
    SwitchFunction(name="threshold", parameters=(t,)) for t in run.mnn.test_thresholds
]
imported = [name for name, network in run.networks.items() if network.imported]
trained = [name for name in run.networks if name not in imported]
class_groups = [
    range(first, min(first + run.expert.classes_per_job, n_classes))
    for first in range(0, n_classes, run.expert.classes_per_job)
]


def one_of(names):
    """A wildcard constraint: exactly these names, or nothing at all."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


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


def gpus(training):
    """GPUs that a training job asks for: one where CUDA is asked for, or there to be used."""
    wanted = training.device == "cuda" or (
        training.device == "auto" and Path("/dev/nvidia0").exists()
    )
    return int(wanted)


wildcard_constraints:
    network=one_of(run.networks),
    seed=one_of(run.seeds),
    dataset_threshold=one_of(dataset_thresholds),
    figure=one_of(run.figures),
    fold=r"\d+",
