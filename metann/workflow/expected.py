"""What each file of a run's results has to say of how it was made, by the run's configuration."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metann import layout
from metann.config.cascade import CascadeSearch
from metann.config.hypernetwork import CONTROLS
from metann.config.run import Config
from metann.config.section import Section

_WHERE = ("device", "threads", "compile")  # where a training ran, which changes no result
Wanted = Iterator[tuple[Path, dict[str, Any]]]


class Whole(dict[str, Any]):
    """A mapping in which a key too many is a difference too."""


def expected(run: Config, results: Path, photos: str, outside: Mapping[str, str]) -> Wanted:
    """Files whose headers say how they were made, and what they have to say."""
    if any(not network.imported for network in run.networks.values()) or run.mixture or run.hypernetwork:
        data = {"settings": _plain(run.data, "root", "download")}
        yield layout.place(results, f"{layout.DATA}/dataset.json"), data | ({"files": photos} if photos else {})
        yield layout.place(results, f"{layout.DATA}/samples.parquet"), {}
    for seed in run.seeds:
        yield from _networks(run, results, seed, outside)
        if run.mnn:
            yield from _mnn(run, results, seed)
        if run.cascade:
            yield from _cascade(run, results, seed)
        if run.mixture:
            yield from _mixture(run, results, seed, outside)
        if run.hypernetwork:
            yield from _hypernetwork(run, results, seed)
    yield from _tables(run, results)


def _networks(run: Config, results: Path, seed: int, outside: Mapping[str, str]) -> Wanted:
    for name, network in run.networks.items():
        files = {"files": outside[name]} if outside.get(name) else {}
        if network.imported:
            asked = _plain(network, "labels", "probabilities")
            path = layout.place(results, f"{layout.NETWORK}/probabilities.parquet", network=name, seed=seed)
            yield path, {"asked": {key: asked[key] for key in ("split", "val_rows", "macs")}} | files
            continue
        wanted: dict[str, Any] = {"network": name, "architecture": network.architecture, "settings": Whole(network.settings), "seed": seed}
        if network.weights is None:
            # What counts for a network that is trained as long as others is what they were.
            counted = ("epochs",) if run.mnn and name == run.mnn.longer else ()
            wanted["training"] = _plain(run.training_of(name), *_WHERE, *counted)
        yield layout.place(results, f"{layout.NETWORK}/weights.safetensors", network=name, seed=seed), wanted | files
        yield layout.place(results, f"{layout.NETWORK}/probabilities.parquet", network=name, seed=seed), {"network": name, "seed": seed}
        if run.mnn and run.mnn.probabilities == "out_of_fold":
            folds = layout.found(results, f"{layout.FOLD}/weights.safetensors", network=name, seed=seed)
            yield from ((path, wanted | {"folds": run.mnn.folds}) for path, _ in folds)


def _mnn(run: Config, results: Path, seed: int) -> Wanted:
    section = run.mnn
    switch = run.networks[section.switch]
    expert: dict[str, Any] = {"seed": seed, "training": _plain(section.expert, *_WHERE), "unsure": section.unsure}
    expert |= {"selection": section.probabilities, "architecture": switch.architecture, "settings": Whole(switch.settings)}
    expert |= {"body": section.second} if section.expert.body == "second" else {}
    for threshold in section.dataset_thresholds:
        here = {"seed": seed, "dataset_threshold": threshold}
        for path, _ in layout.found(results, f"{layout.EXPERT}/weights.safetensors", **here):
            yield path, expert | here | {"network": section.switch}
        ways = here | {"combine": section.combine, "temperature": section.temperature, "network": section.switch}
        yield layout.place(results, f"{layout.EVALUATION}/prefix.parquet", **here), ways
        for path, _ in layout.found(results, f"{layout.EVALUATION}/cells/{{cell}}.parquet", **here):
            yield path, ways
    if section.generic:
        generic = layout.place(results, layout.GENERIC, seed=seed)
        yield generic / "weights.safetensors", expert | {"network": "generic"}
        yield generic / "probabilities.parquet", {"seed": seed, "network": "generic", "selection": section.probabilities}


def _cascade(run: Config, results: Path, seed: int) -> Wanted:
    folder = layout.place(results, layout.CASCADE, seed=seed)
    search = {key: value for key, value in _plain(run.cascade).items() if key in CascadeSearch.model_fields}
    yield folder / "results.parquet", {"seed": seed, "asked": search, "confidence": run.statistics.confidence}
    stream = {"asked": {"memory": _plain(run.cascade.memory), "workload": _plain(run.cascade.workload)}}
    yield folder / "memory.parquet", stream
    yield folder / "run" / "record.parquet", stream | {"batch_size": run.cascade.batch_size}


def _mixture(run: Config, results: Path, seed: int, outside: Mapping[str, str]) -> Wanted:
    for setting in run.mixture.trained():
        options = _plain(setting, "match", "name", "preset")
        options["training"] = {key: value for key, value in options["training"].items() if key not in _WHERE}
        if setting.match is not None:
            del options["experts"]  # its width is found by count
        folder = layout.place(results, layout.MIXTURE, seed=seed, setting=setting.name)
        files = {"files": found} if (found := outside.get(f"mixture:{setting.name}")) else {}
        yield folder / "weights.safetensors", {"seed": seed, "setting": setting.name, "options": options} | files
        yield folder / "evaluation" / "run.parquet", {"seed": seed, "confidence": run.statistics.confidence}


def _hypernetwork(run: Config, results: Path, seed: int) -> Wanted:
    section = run.hypernetwork
    adaptation = _plain(section.adaptation, *_WHERE)
    for experiment, of in section.experiments.items():
        for name, generator in section.trained.items():
            here = {"seed": seed, "experiment": experiment, "generator": name}
            made = here | {"asked": _plain(of), "bound": generator.bound, "z": generator.z}
            made |= {"generator_kind": generator.kind, "generator_settings": Whole(generator.settings)}
            if generator.kind not in CONTROLS.values():
                made["z_size"] = generator.z_size
            made |= {"classifier": section.classifier.name, "settings": Whole(section.classifier.settings)}
            made |= {"pixels": section.classifier.pixels, "training": _plain(section.training, *_WHERE)}
            yield layout.place(results, f"{layout.GENERATOR}/weights.safetensors", **here), made
            yield layout.place(results, f"{layout.GENERATOR}/codes.parquet", **here), {"adaptation": adaptation}
            for path, _ in layout.found(results, f"{layout.ADAPTED}.parquet", **here):
                yield path, {"adaptation": adaptation}
            path = layout.place(results, f"{layout.GENERATOR}/evaluation/results.parquet", **here)
            yield path, {"confidence": run.statistics.confidence}


def _tables(run: Config, results: Path) -> Wanted:
    """What the pages of the families are written from."""
    seeds, confidence = {"seeds": sorted(run.seeds)}, {"confidence": run.statistics.confidence}
    more = {
        "mnn": ("results", seeds | confidence | {"permutations": run.statistics.permutations} | _compared(run)),
        "cascade": ("choice", confidence | ({"search": run.cascade.search, "objective": run.cascade.objective} if run.cascade else {})),
        "mixture": ("runs", seeds | confidence),
        "hypernetwork": ("results", confidence),
    }
    for family in run.families:
        table, wanted = more[family]
        yield layout.place(results, layout.TABLE, table=f"{family}_{table}"), wanted
    yield results / layout.RESULTS, confidence


def _compared(run: Config) -> dict[str, Any]:
    """The networks that meta neural networks are compared with, by what they are there for."""
    if run.mnn is None:
        return {}
    opinions = [*([run.mnn.second] if run.mnn.second else []), *(["generic"] if run.mnn.generic else [])]
    return {"longer": run.mnn.longer, "opinions": sorted(opinions)}


def _plain(section: Section, *left_out: str) -> dict[str, Any]:
    """A section as JSON has it."""
    return section.model_dump(mode="json", exclude=set(left_out))
