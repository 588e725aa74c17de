"""Stage evaluate_mnn: what one switch and its experts get right, for every number of active classes and so for every switch function.

No network runs here. Shapes: N images, K classes, J = K + 1 prefixes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from metann.config.run import SwitchFunction
    from metann.tables.probabilities import Probabilities, Samples

SPLITS = ("val", "test")
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

    table = _evaluated(read_probabilities(switch))
    if not len(table):
        raise MetannError(f"{switch} has no validation or test images; those are what is evaluated")
    expert_NK, experts_metadata = _read_experts(experts, dataset_threshold, table, switch)
    if not len(table.rows("val")) and (combine == "product_calibrated" or temperature == "validation"):
        raise MetannError(f"{switch} has no validation images; 'product_calibrated' and temperature 'validation' are fitted on them")
    switch_NK, expert_NK, prior_K, fitted = _calibrated(table, expert_NK, dataset_threshold, combine, temperature)
    correct_NJ = prefix_correct(switch_NK, expert_NK, table.label, rule=combine, prior_K=prior_K)

    metadata = _metadata(table, experts_metadata) | {
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
    from metann.config.run import SwitchFunction
    from metann.thresholds import parse_threshold

    found = [SwitchFunction(name="threshold", parameters=(parse_threshold(t),)) for t in test_thresholds]
    found += [SwitchFunction.parse(text) for text in switch_functions]
    return list({function.slug: function for function in found}.values())


def _evaluated(table: "Samples") -> Any:
    """The validation and test images of a table: experts know no others."""
    from dataclasses import replace

    import numpy as np

    rows = np.flatnonzero(np.isin(table.split, SPLITS))
    return replace(table, **{name: value[rows] for name, value in vars(table).items() if isinstance(value, np.ndarray)})


def _read_experts(
    paths: list[Path], dataset_threshold: float, switch: "Probabilities", switch_path: Path
) -> "tuple[np.ndarray, list[dict]]":
    """Expert probabilities in the order of the switch's rows and classes, and what each expert's table says of itself.

    Returns:
        (N, K) float32, K dictionaries.
    """
    import numpy as np

    from metann.errors import MetannError
    from metann.tables.probabilities import align, read_expert_probabilities

    classes = switch.p_NK.shape[1]
    found: dict[int, tuple[Path, np.ndarray, dict[str, Any]]] = {}
    for path in paths:
        expert = _evaluated(read_expert_probabilities(path))
        c, trained_at, seed = (expert.metadata.get(key) for key in ("class", "dataset_threshold", "seed"))
        if not isinstance(c, int) or not 0 <= c < classes:
            raise MetannError(f"{path} is for class {c!r}; the switch knows 0 .. {classes - 1}")
        if c in found:
            raise MetannError(f"class {c} is given twice: {found[c][0]} and {path}; give one expert table for each class")
        if trained_at is not None and abs(trained_at - dataset_threshold) > 1e-9:
            raise MetannError(
                f"{path} was trained at dataset threshold {trained_at}, not {dataset_threshold}; give the tables of one threshold"
            )
        if (other := switch.metadata.get("seed")) is not None and seed is not None and seed != other:
            raise MetannError(f"{path} is of seed {seed}, {switch_path} of seed {other}; give tables of one seed")
        found[c] = path, expert.expert_probability[align(switch, expert, switch_path, path)], expert.metadata
    if missing := [c for c in range(classes) if c not in found]:
        raise MetannError(f"no expert table for class {missing[0]} ({len(missing)} of {classes} missing); give one for each class")
    return np.stack([found[c][1] for c in range(classes)], axis=1), [found[c][2] for c in range(classes)]


def _calibrated(
    table: "Probabilities", expert_NK: "np.ndarray", dataset_threshold: float, combine: str, temperature: str
) -> "tuple[np.ndarray, np.ndarray, np.ndarray | None, dict[str, Any]]":
    """Switch and experts after calibration on validation images, base rates where the rule needs them, and the temperatures.

    An expert is fitted on the validation images that would have been in its training set: where the switch as trained gives its
    class the dataset threshold.
    """
    import numpy as np

    from metann.mnn.calibration import apply_expert_temperature, apply_temperature, base_rates, fit_expert_temperature, fit_temperature

    val = table.rows("val")
    val_NK, labels_N = table.p_NK[val].astype(np.float64), table.label[val].astype(np.int64)
    prior_K = base_rates(val_NK, labels_N, dataset_threshold) if combine == "product_calibrated" else None
    if temperature == "none":
        return table.p_NK, expert_NK, prior_K, {}
    switch_temperature = fit_temperature(val_NK, labels_N)
    # float32, as it is stored: what is evaluated and what later stages read are the same numbers.
    switch_NK = apply_temperature(table.p_NK, switch_temperature).astype(np.float32)
    fitted, columns = [], []
    for c in range(expert_NK.shape[1]):
        asked = val_NK[:, c] >= dataset_threshold
        fitted.append(fit_expert_temperature(expert_NK[val, c][asked], labels_N[asked] == c))
        columns.append(apply_expert_temperature(expert_NK[:, c], fitted[-1]))
    return switch_NK, np.stack(columns, axis=1), prior_K, {"switch": switch_temperature, "experts": fitted}


def _metadata(table: "Probabilities", experts: list[dict]) -> dict[str, Any]:
    given = table.metadata
    names = given.get("class_names") or [str(k) for k in range(table.p_NK.shape[1])]
    seeds = {expert["seed"] for expert in experts if expert.get("seed") is not None} | ({given.get("seed")} - {None})
    macs = [expert.get("macs") for expert in experts]
    return {
        "dataset": given.get("dataset"),
        "digest": given.get("digest"),
        "class_names": names,
        "seed": min(seeds, default=0),
        "network": given.get("network"),
        "architecture": given.get("architecture"),
        "switch_macs": given.get("macs"),
        "expert_macs": None if None in macs else sum(macs) / len(macs),
        "states": [expert.get("state") for expert in experts],
    }
