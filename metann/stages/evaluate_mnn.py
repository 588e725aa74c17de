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

    Writes prefix.parquet (for every image: right or wrong with its 0 .. K most probable classes active) and
    cells/{switch function}.parquet, one row per split. A file that would not change is left alone.

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
    from metann.errors import MetannError
    from metann.files import write_json
    from metann.mnn.calibration import calibrated
    from metann.mnn.combination import prefix_correct
    from metann.mnn.inputs import evaluated, evaluation_metadata, read_experts
    from metann.mnn.prefix import Prefix, cells
    from metann.mnn.setting import functions_in
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
    expert_NK, experts_metadata = read_experts(experts, dataset_threshold, table)
    if not len(table.rows("val")) and (combine == "product_calibrated" or temperature == "validation"):
        raise MetannError(f"{switch} has no validation images; 'product_calibrated' and temperature 'validation' are fitted on them")
    switch_NK, expert_NK, prior_K, fitted = calibrated(table, expert_NK, dataset_threshold, combine, temperature)
    correct_NJ = prefix_correct(switch_NK, expert_NK, table.label, rule=combine, prior_K=prior_K)

    metadata = evaluation_metadata(table, experts_metadata) | {
        "dataset_threshold": dataset_threshold,
        "combine": combine,
        "temperature": temperature,
        "temperatures": fitted,
        "prior": None if prior_K is None else prior_K.tolist(),
        "code": stage_code("evaluate_mnn"),
    }
    prefix = Prefix(table.sample_id, table.split, table.label, switch_NK, correct_NJ, metadata)
    for function, found in cells(prefix, functions):
        write_frame(output / "cells" / f"{function.slug}.parquet", found, "cell", metadata)
    # Last, because it says which cells there are.
    write_frame(output / "prefix.parquet", prefix.columns(), "prefix", metadata | {"switch_functions": [str(f) for f in functions]})
    if index is not None:
        write_json(index, [function.slug for function in functions])
    for split in prefix.splits:
        correct = prefix.select(split).correct_NJ
        print(f"{split}: {len(correct)} images, switch alone {correct[:, 0].mean():.4f}, every expert {correct[:, -1].mean():.4f}")
