"""Stage evaluate_mixture: what one mixture is worth, and what its experts have become. No network runs here."""

from pathlib import Path

from metann.config.statistics import StatisticsSection


def evaluate_mixture(
    *, gate: Path, output: Path, history: Path | None = None, data: Path | None = None, statistics: StatisticsSection = StatisticsSection()
) -> None:
    """Evaluate one mixture of one seed from its table of answers.

    Writes run.parquet (one row per split: error, information, entropies, usage, cost), experts.parquet (what each expert gets of each
    class), confusion.parquet (mixture and every expert alone), answers.parquet (right or wrong, image by image), history.parquet (usage
    over epochs) and pictures.parquet (some images of every expert). A collapsed gate is an alarm in the log.

    Parameters
    ----------
    gate
        gate.parquet of export-gate.
    output
        Folder to write to.
    history
        training.csv of train-mixture.
    data
        Folder made by prepare-data, for the pictures.
    statistics
        Confidence of the intervals.
    """
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.mixture.evaluation import alarm, as_columns, confusion_rows, expert_rows, run_rows
    from metann.mixture.inputs import HISTORY, answers_columns, read_history
    from metann.mixture.pictures import PICTURE, picture_rows
    from metann.tables.frames import write_frame
    from metann.tables.probabilities import read_gate
    from metann.workflow.provenance import stage_code

    table = read_gate(gate)
    facts = {"setting": table.metadata["setting"], "seed": int(table.metadata["seed"])}
    rows = run_rows(table, statistics.confidence)
    steps = read_history(history, table.experts) if history else {key: [] for key in HISTORY}
    pictures = []
    if data is not None:
        prepared = read_prepared(data)
        if prepared.info.digest != table.metadata.get("digest"):
            raise MetannError(
                f"{data} holds dataset {prepared.info.digest}, {gate} was made of {table.metadata.get('digest')}; run both anew"
            )
        pictures = picture_rows(table, prepared.images_NCHW)
    frames = {
        "run": as_columns(rows, rows[0] if rows else ()),
        "experts": as_columns(expert_rows(table)),
        "confusion": as_columns(confusion_rows(table)),
        "answers": answers_columns(table),
        "history": {name: [value] * len(steps["step"]) for name, value in facts.items()} | steps,
        "pictures": as_columns(pictures, PICTURE),
    }
    keys = ("dataset", "digest", "class_names", "setting", "preset", "seed", "parameters", "architecture", "class_sets")
    metadata = {key: table.metadata.get(key) for key in keys}
    # The options are those of the last phase, and the phases stand beside them.
    metadata["options"] = (table.metadata.get("options") or {}) | {"phases": table.metadata.get("phases")}
    metadata |= {"confidence": statistics.confidence, "code": stage_code("evaluate_mixture")}
    for name, columns in frames.items():
        write_frame(output / f"{name}.parquet", columns, f"mixture_{name}", metadata)
    for row in rows:
        print(
            f"{row['split']}: {row['n']} images, accuracy {row['accuracy']:.4f}, I(E;Y) {row['mutual_information']:.3f}, "
            f"H(E|Y) {row['conditional_entropy']:.3f}, usage entropy {row['usage_entropy']:.3f} bit"
        )
        if row["split"] == "test" and (text := alarm(row)):
            print(text)
