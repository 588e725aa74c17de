"""The meta neural network that a run chose, found by what the run's tables say of themselves."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from metann import layout
from metann.errors import MetannError, unknown
from metann.mnn.setting import Rule
from metann.networks._split import trunk_of
from metann.tables.frames import read_arrow
from metann.thresholds import format_threshold, parse_threshold
from metann.weights.files import WHOLE, load_weights


class Parts(NamedTuple):
    """The networks of a run.

    Attributes:
        switch: logits over K classes.
        experts: K, None for one that was not trained.
        tail: experts are what stands behind so many blocks; 0: whole networks.
        trunk: what tails stand on, where it is not the switch's.
    """

    switch: nn.Module
    experts: list[nn.Module | None]
    tail: int = 0
    trunk: nn.Module | None = None


def read_run(
    folder: Path, seed: int | None, dataset_threshold: float | None, switch_function: str | None
) -> tuple[Parts, Rule, dict[str, Any]]:
    """Switch and experts, the rule between them, and the header of the switch's weights with the `origin` of all.

    Args:
        folder: of a collected run, with tables/mnn_choice.parquet.
        seed, dataset_threshold, switch_function: instead of the first seed and of what was chosen on validation.

    Returns:
        The networks, the rule between them, and the header.

    Raises:
        MetannError: not a run, an unknown seed or threshold, or files that are missing, broken or do not belong together.
    """
    table = layout.place(folder, layout.TABLE, table="mnn_choice")
    if not table.is_file():
        raise MetannError(f"{folder} is not the folder of a finished run (no {table.name} in tables); give one, or a packed file")
    arrow, described = read_arrow(table, "mnn_choice")
    chosen = {row["seed"]: row for row in arrow.to_pylist() if row["scope"] == "chosen"}
    if seed is None:
        seed = min(chosen)
    if seed not in chosen:
        raise unknown("seed", seed, chosen, f"`seeds` of the configuration of {folder}")
    threshold = chosen[seed]["dataset_threshold"] if dataset_threshold is None else parse_threshold(dataset_threshold)
    prefixes = f"{layout.EVALUATION}/prefix.parquet"
    prefix = layout.place(folder, prefixes, seed=seed, dataset_threshold=threshold)
    if not prefix.is_file():
        known = [fields["dataset_threshold"] for _, fields in layout.found(folder, prefixes, seed=seed)]
        raise unknown("dataset threshold", format_threshold(threshold), known, f"`mnn.dataset_thresholds` of the configuration of {folder}")
    evaluated = read_arrow(prefix, "prefix")[1]
    for key, wanted in (("seed", seed), ("dataset_threshold", threshold)):
        if evaluated[key] != wanted:
            raise MetannError(f"{prefix} is of {key} {evaluated[key]}, its folder of {wanted}; run snakemake again")
    temperatures = evaluated.get("temperatures") or {}
    rule = Rule(
        switch_function=switch_function or "{switch_function}({parameter})".format(**chosen[seed]),
        combine=evaluated["combine"],
        prior_K=tuple(evaluated["prior"]) if evaluated.get("prior") else None,
        switch_temperature=temperatures.get("switch"),
        expert_temperatures_K=tuple(temperatures["experts"]) if temperatures else None,
        weights=tuple(evaluated.get("weights", (1.0, 1.0))),
        for_all_classes=bool(evaluated.get("for_all_classes")),
    )
    same = {"digest": evaluated["digest"], "class_names": evaluated["class_names"], "seed": seed}
    of_switch = same | {"network": evaluated["network"]}
    switch_path = layout.place(folder, f"{layout.NETWORK}/weights.safetensors", network=evaluated["network"], seed=seed)
    switch, header = load_weights(switch_path, of_switch | WHOLE)
    experts: list[nn.Module | None] = []
    tail, body = 0, None
    for c in range(len(evaluated["class_names"])):
        path = layout.place(folder, f"{layout.EXPERT}/weights.safetensors", seed=seed, dataset_threshold=threshold, c=c)
        expert, found = load_weights(path, of_switch | {"class": c, "dataset_threshold": threshold})
        experts.append(expert if found["state"] == "trained" else None)
        tail, body = found.get("tail", 0), found.get("body")
    header["origin"] = {"run": described.get("run", folder.name), "seed": seed, "dataset_threshold": threshold}
    trunk = None
    if tail and body is not None:
        path = layout.place(folder, f"{layout.NETWORK}/weights.safetensors", network=body, seed=seed)
        built_alike = {"architecture": header["architecture"], "settings": header["settings"]}
        whole, _ = load_weights(path, same | {"network": body} | built_alike | WHOLE)
        trunk = trunk_of(whole, header["architecture"], tail)
    return Parts(switch, experts, tail, trunk), rule, header
