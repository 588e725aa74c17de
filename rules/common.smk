# What the rules share; no rules here.
import sys
from functools import partial
from pathlib import Path

from metann import layout
from metann.config.run import Config as RunConfig
from metann.config.section import flags, read_section
from metann.data.classes import (
    check_duplicates,
    check_files,
    class_count,
    fingerprint,
    recorded,
)
from metann.data.raw import folder_of
from metann.data.rehearsal import rehearse
from metann.files.digests import FileDigests
from metann.errors import MetannError, failed_system
from metann.plan.jobs import write_jobs
from metann.workflow.configuration import check_configuration
from metann.workflow.outside import as_prepared, files_of, outside_of, told
from metann.workflow.provenance import stage_code
from metann.workflow.rules import (
    at_the_end,
    check_folder,
    folder,
    given_flags,
    gpus,
    gpus_are_there,
    grows,
    named_flags,
    one_of,
    places,
    planned_classes,
    short_digest,
    use_this_environment,
    weights_by_name,
)


def refuse(check, *given):
    """Call a check, and end with its one line where it fails.

    A SystemExit, because Snakemake adds a place in its files to every other kind; the place is in the configuration.
    """
    try:
        return check(*given)
    except MetannError as error:
        sys.exit(f"metann: error: {error}")


use_this_environment()
gpus = partial(gpus, there=gpus_are_there(workflow.resource_settings))

try:
    check_configuration(
        workflow.configfiles, workflow.overwrite_configfiles, sys.argv, config
    )
    run = read_section(RunConfig, dict(config))
    imported = [name for name, network in run.networks.items() if network.imported]
    trained = [name for name in run.networks if name not in imported]
    RESULTS = f"results/{run.run}"
    DATA = f"{RESULTS}/{layout.DATA}"
    # Prepared data need their raw files no more; a run of imported tables never does.
    prepared = recorded(Path(DATA))
    planned = planned_classes()
    reads_images = trained or run.mixture or run.hypernetwork
    if reads_images and planned is None and not prepared:
        check_files(run.data)
    n_classes = (
        (planned or class_count(run.data, prepared.get("class_names")))
        if run.mnn or run.mixture or run.hypernetwork
        else 0
    )
    if run.mixture:
        run.mixture.check(n_classes, trained)
    if run.hypernetwork:
        from metann.hypernetwork.checks import check_experiments  # numpy: 0.2 s

        check_experiments(run.hypernetwork, n_classes)
    # What comes from outside, by content; in a job nobody compares it.
    digests = FileDigests(Path(".snakemake", f"metann_{run.run}.json"))
    photos, outside, archived = "", {}, False
    told_data = flags("data", run.data)
    told_code = stage_code("prepare_data", dataset=run.data.name)
    if workflow.is_main_process and planned is None:
        if reads_images:
            found = fingerprint(run.data, digests)
            photos = found or prepared.get("files", "")
            check_duplicates(run.data, prepared, photos)
            if archived := rehearse(run.data, prepared, found, digests):
                print(
                    f"metann: {folder_of(run.data)} is not there; what was prepared of it is used",
                    file=sys.stderr,
                )
        outside = outside_of(run, digests)
        # Here, for it takes 0.1 s (pyarrow) that no job has to pay.
        from metann.data.prepared import read_prepared
        from metann.workflow.records import check_records, record_of, replaced

        check_records(run, Path(RESULTS), Path(".snakemake"), photos, outside)
        if replaced(Path(DATA, "images.npy"), Path(".snakemake")):
            read_prepared(Path(DATA))
        record = record_of(Path(DATA, "dataset.json"), Path(".snakemake"))
        photos = told(photos, prepared.get("files", ""), record)
        if archived:
            told_data, told_code = as_prepared(told_data, told_code, photos, record)
except MetannError as error:
    # A SystemExit, because Snakemake adds a place in this file to every other kind; the place is in the configuration.
    sys.exit(f"metann: error: config: {error}")
except (
    OSError
) as error:  # of a folder that may not be looked at, a network drive that is gone
    sys.exit(f"metann: error: config: {failed_system(error.filename, error)}")

# As the page shows it.
COMMAND = " ".join(
    [
        "snakemake --cores all",
        *(f"--configfile {file}" for file in workflow.overwrite_configfiles),
    ]
)
NETWORK = f"{RESULTS}/{layout.NETWORK}"


def table(name):
    """A table of the run."""
    return f"{RESULTS}/{layout.table_of(name)}"


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
