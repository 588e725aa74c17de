from pathlib import Path

from snakemake.utils import min_version

from metann.workflow.configuration import refuse_unreadable

min_version("9.18")

# A preset is a whole run, not a change to another one: config.yaml counts only when no --configfile is given.
if not workflow.overwrite_configfiles:
    # A workflow that imports this one as a module gives its own, and may have no such file.
    refuse_unreadable(filter(Path.exists, [Path(workflow.basedir, "config.yaml")]))

    configfile: f"{workflow.basedir}/config.yaml"


# Used only with `--sdm apptainer`; built from envs/Dockerfile.
container: "docker://metann:0.1.0"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/networks.smk"
include: "rules/figures.smk"


for family in run.families:

    include: f"rules/{family}.smk"


rule all:
    default_target: True
    input:
        rules.write_page.output,
        [getattr(rules, family).input for family in run.families],
        expand(rules.draw_figure.output, figure=run.figures),


onsuccess:
    # One family as the target has its own page alone.
    pages = [
        *rules.write_page.output,
        *(f"{RESULTS}/{family}.md" for family in run.families),
    ]
    if page := next((page for page in pages if Path(page).exists()), None):
        at_the_end(f"Look at {page}")


onstart:
    refuse(
        write_jobs,
        workflow.persistence.dag,
        Path(RESULTS),
        log,
        workflow.local_exec,
    )
    if not workflow.local_exec:
        refuse(check_folder, Path.cwd())
