"""Stage evaluate_mnn: what one switch and its experts get right, for every number of active classes and so for every switch function.

No network runs here. Shapes: N images, K classes, J = K + 1 prefixes.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from metann.mnn.calibration import calibrated
from metann.mnn.inputs import evaluated, evaluation_metadata, read_experts

if TYPE_CHECKING:
    from metann.function_call import SwitchFunction

TEMPERATURES = ("none", "validation")


def evaluate_mnn(
    *,
    switch: Path,
    experts: list[Path],
    dataset_threshold: float,
    test_thresholds: list[float],
    output: Path,
    switch_functions: list[str] | None = None,
    combine: str = "product",
    temperature: str = "none",
    index: Path | None = None,
    code: str = "",
) -> None:
    """Evaluate a switch with its experts at every test threshold and switch function, on validation and test images.

    Writes prefix.parquet (for every image: right or wrong with its 0 .. K most probable classes active), curve.parquet (the exact
    accuracy at 1,000 thresholds) and cells/{switch function}.parquet, one row per split. A file that would not change is left alone.

    Parameters
    ----------
    switch
        Probabilities of the switch.
    experts
        Expert tables, one for each class, in any order; each says itself which class it is for.
    dataset_threshold
        The one that the experts were trained with.
    test_thresholds
        Each becomes a cell: classes with at least this probability are active.
    output
        Folder to write to.
    switch_functions
        More cells, such as "top_k(2)" or "top_p(0.9)".
    combine
        How the answers become one prediction: product (as published), product_calibrated or replace.
    temperature
        none, or validation: scale the logits of the switch and of each expert by one number fitted on validation.
    index
        A JSON file for the names of the cells; the workflow asks for one that is named after them.
    code
        Digest of the code, for the metadata (the workflow gives it).
    """
    from metann.errors import MetannError, unknown
    from metann.files import write_json
    from metann.mnn.combination import RULES, prefix_correct
    from metann.mnn.prefix import Prefix, cell, curve
    from metann.tables.frames import write_frame
    from metann.tables.probabilities import read_probabilities
    from metann.thresholds import parse_threshold

    dataset_threshold = parse_threshold(dataset_threshold)
    functions = _functions(test_thresholds, switch_functions or [])
    if combine not in RULES:
        raise unknown("combine", combine, RULES, "metann/mnn/combination.py")
    if temperature not in TEMPERATURES:
        raise unknown("temperature", temperature, TEMPERATURES)

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
        "code": code,
    }
    prefix = Prefix(table.sample_id, table.split, table.label, switch_NK, correct_NJ, metadata)
    for function in functions:
        write_frame(output / "cells" / f"{function.slug}.parquet", cell(prefix, function), "cell", metadata)
    write_frame(output / "curve.parquet", curve(prefix), "curve", metadata)
    # Last, because it says which cells there are.
    write_frame(output / "prefix.parquet", prefix.columns(), "prefix", metadata | {"switch_functions": [str(f) for f in functions]})
    if index is not None:
        write_json(index, [function.slug for function in functions])
    for split in prefix.splits:
        correct = prefix.select(split).correct_NJ
        print(f"{split}: {len(correct)} images, switch alone {correct[:, 0].mean():.4f}, every expert {correct[:, -1].mean():.4f}")


def _functions(test_thresholds: list[float], switch_functions: list[str]) -> "list[SwitchFunction]":
    """The cells, each once, thresholds first."""
    from metann.function_call import SwitchFunction
    from metann.thresholds import parse_threshold

    found = [SwitchFunction(name="threshold", parameters=(parse_threshold(t),)) for t in test_thresholds]
    found += [SwitchFunction.parse(text) for text in switch_functions]
    return list({function.slug: function for function in found}.values())
