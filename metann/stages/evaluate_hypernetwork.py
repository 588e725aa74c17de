"""Stage evaluate_hypernetwork: what one generator's arms, codes and generated networks are worth, from their tables."""

from pathlib import Path

TABLES = ("results", "curves", "reliance", "codes", "interpolation", "layers", "tasks", "multiclass")


def evaluate_hypernetwork(
    *, generator: Path, adapted: list[Path], output: Path, multiclass: Path | None = None, confidence: float = 0.95
) -> None:
    """Judge one trained generator on tables alone; no network runs.

    Writes results.parquet (every arm, number of shots and held-out task), curves.parquet (over steps), reliance.parquet (every
    trained task with every z), codes.parquet (z in two dimensions), interpolation.parquet, layers.parquet, tasks.parquet and
    multiclass.parquet (the classifier for all classes).

    Parameters
    ----------
    generator
        Folder of one experiment, generator and seed.
    adapted
        Tables of adapt-tasks that count, one for each arm and number of shots.
    output
        Folder to write into.
    multiclass
        Probabilities of the classifier for all classes, where there is one.
    confidence
        Of every interval.
    """
    from metann.hypernetwork import evaluation
    from metann.hypernetwork.inputs import read_generated
    from metann.tables.frames import write_frame
    from metann.tables.probabilities import read_probabilities
    from metann.workflow.provenance import stage_code

    given = read_generated(generator, adapted)
    table = None if multiclass is None else read_probabilities(multiclass)
    tables = {
        "results": evaluation.arm_rows(given.adapt, given.tasks),
        "curves": evaluation.curve_rows(given.curves),
        "reliance": evaluation.reliance_rows(given.reliance),
        "codes": evaluation.code_rows(given.codes, given.tasks),
        "interpolation": evaluation.interpolation_rows(given.interpolation),
        "layers": given.layers,
        "tasks": evaluation.with_units(given.tasks),
        "multiclass": evaluation.multiclass_rows(table, confidence),
    }
    metadata = given.metadata | {"confidence": confidence, "code": stage_code("evaluate_hypernetwork")}
    for name in TABLES:
        write_frame(output / f"{name}.parquet", tables[name], f"hypernetwork_{name}", metadata)
    results = tables["results"]
    print(
        f"{results['arm'].nunique()} arms on {results['task'].nunique()} held-out tasks; z_adapt"
        f" {results.loc[results['arm'] == 'z_adapt', 'accuracy'].mean():.4f}"
    )
