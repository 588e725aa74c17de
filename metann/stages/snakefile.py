"""Stage snakefile: where the workflow lies."""


def snakefile() -> None:
    """Print the path of the workflow's Snakefile, for `snakemake --snakefile $(metann snakefile)` in any folder."""
    from metann.workflow.project import project_folder

    print(project_folder() / "Snakefile")
