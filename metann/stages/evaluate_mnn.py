"""Stage evaluate_mnn: what one switch and its experts get right, for every number of active classes and so for every switch function.

No network runs here. Shapes: N images, K classes, J = K + 1 prefixes.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from metann.config.mnn import MnnEvaluation


def evaluate_mnn(
    *,
    switch: Path,
    experts: list[Path],
    dataset_threshold: float,
    output: Path,
    options: Annotated[MnnEvaluation, Parameter(name="*")] = MnnEvaluation(),
    index: Path | None = None,
) -> None:
    """Evaluate a switch with its experts at every test threshold and switch function, on validation and test images.

    Writes prefix.parquet (for every image: right or wrong with its 0 .. K most probable classes active),
    self_check.parquet (each expert on its own question) and cells/{switch function}.parquet, one row per split.
    A file that would not change is left alone.

    Parameters
    ----------
    switch
        Probabilities of the switch.
    experts
        Expert tables, one for each class, in any order; each says itself which class it is for.
    dataset_threshold
        The one that the experts were trained with.
    output
        Folder to write to.
    options
        Which experts are asked, and how their answers become one. Each test threshold and switch function is a cell.
    index
        A JSON file for the names of the cells; the workflow asks for one that is named after them.
    """
    import numpy as np

    from metann.errors import MetannError
    from metann.files.text import write_json
    from metann.mnn.calibration import calibrated
    from metann.mnn.inputs import evaluated, evaluation_metadata, read_experts
    from metann.mnn.prefix import Prefix, cells
    from metann.mnn.prefix_table import prefix_correct
    from metann.mnn.self_check import self_check
    from metann.mnn.setting import functions_in
    from metann.mnn.vectors import vector_predictions
    from metann.tables.frames import write_frame
    from metann.tables.probabilities import read_probabilities
    from metann.thresholds import parse_threshold
    from metann.workflow.provenance import stage_code

    dataset_threshold = parse_threshold(dataset_threshold)
    combine, temperature = options.combine, options.temperature
    functions = functions_in(options.test_thresholds, options.switch_functions)
    table = evaluated(read_probabilities(switch))
    if not len(table):
        raise MetannError(f"{switch} has no validation or test images; those are what is evaluated")
    experts_N, experts_metadata = read_experts(experts, dataset_threshold, table)
    if not len(table.rows("val")) and (combine == "product_calibrated" or temperature == "validation"):
        raise MetannError(f"{switch} has no validation images; 'product_calibrated' and temperature 'validation' are fitted on them")
    fitted = calibrated(table, experts_N, dataset_threshold, combine, temperature)
    if fitted.experts.ndim == 3:
        predicted = vector_predictions(fitted.switch_NK, fitted.experts, rule=combine, weights=fitted.weights)
        correct_NJ = predicted == table.label[:, None]
    else:
        how = {"rule": combine, "prior_K": fitted.prior_K, "weights": fitted.weights}
        correct_NJ = prefix_correct(fitted.switch_NK, fitted.experts, table.label, **how)

    metadata = evaluation_metadata(table, experts_metadata) | {
        "dataset_threshold": dataset_threshold,
        "combine": combine,
        "temperature": temperature,
        "temperatures": fitted.temperatures,
        "prior": None if fitted.prior_K is None else fitted.prior_K.tolist(),
        "weights": list(fitted.weights),
        "for_all_classes": fitted.experts.ndim == 3,
        "code": stage_code("evaluate_mnn"),
    }
    prefix = Prefix(table.sample_id, table.split, table.label, fitted.switch_NK, correct_NJ, metadata)
    own_NK = fitted.experts if fitted.experts.ndim == 2 else np.einsum("nkk->nk", fitted.experts)
    described = {"seed": metadata["seed"], "dataset_threshold": dataset_threshold}
    checked = self_check(fitted.switch_NK, own_NK, table.label, table.split, metadata["class_names"], dataset_threshold)
    columns = {key: [row[key] for row in checked] for key in checked[0]}
    rows = {key: [value] * len(checked) for key, value in described.items()}
    write_frame(output / "self_check.parquet", rows | columns, "self_check", metadata)
    for function, found in cells(prefix, functions):
        write_frame(output / "cells" / f"{function.slug}.parquet", found, "cell", metadata)
    # Last, because it says which cells there are.
    write_frame(output / "prefix.parquet", prefix.columns(), "prefix", metadata | {"switch_functions": [str(f) for f in functions]})
    if index is not None:
        write_json(index, [function.slug for function in functions])
    for split in prefix.splits:
        correct = prefix.select(split).correct_NJ
        print(f"{split}: {len(correct)} images, switch alone {correct[:, 0].mean():.4f}, every expert {correct[:, -1].mean():.4f}")
