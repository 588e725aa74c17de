"""Results that Snakemake does not know how they were made, as in a copied folder: their headers are compared with the configuration."""

import json
import struct
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metann import layout
from metann.config.cascade import CascadeSearch
from metann.config.hypernetwork import CONTROLS
from metann.config.run import Config
from metann.config.section import Section
from metann.errors import MetannError
from metann.tables.sealed import read_description

_SHOWN = 4
_WHERE = ("device", "threads", "compile")  # where a training ran, which changes no result
Wanted = Iterator[tuple[Path, dict[str, Any]]]


class _Whole(dict):
    """A mapping in which a key too many is a difference too."""


def check_records(run: Config, results: Path, snakemake: Path, photos: str = "", outside: Mapping[str, str] | None = None) -> None:
    """Refuse results of another configuration where Snakemake has no record of how they were made.

    What fits is taken as it is, and what a file does not say of itself is not compared.

    Args:
        run: the configuration.
        results: folder of its results.
        snakemake: the folder of Snakemake's records, `.snakemake`.
        photos, outside: fingerprints of the data's raw files, and of the files of each network; '' where nothing is known.

    Raises:
        MetannError: naming the files, the first difference and the cure.
    """
    strange = [
        (path, difference)
        for path, wanted in _wanted(run, results, photos, outside or {})
        if path.is_file() and not _is_known(path, snakemake) and (difference := _difference(_header(path), wanted))
    ]
    if strange:
        path, difference = strange[0]
        raise MetannError(
            f"{path} was made with {difference}, and Snakemake has no record of it (copied results?); to make it anew delete "
            f"{_named([path for path, _ in strange], results)}, to keep it give the configuration that it was made with"
        )


def _named(paths: list[Path], results: Path) -> str:
    """Files in few words: each, or how many lie in which folder of the run."""
    if len(paths) <= _SHOWN:
        return " ".join(map(str, paths))
    counts = Counter(results / path.relative_to(results).parts[0] for path in paths)
    return f"{' '.join(map(str, counts))} ({', '.join(f'{count} of {folder.name}' for folder, count in counts.items())})"


def _wanted(run: Config, results: Path, photos: str, outside: Mapping[str, str]) -> Wanted:
    """Files whose headers say how they were made, and what they have to say."""
    if any(not network.imported for network in run.networks.values()) or run.mixture or run.hypernetwork:
        data = {"settings": _plain(run.data, "root", "download")}
        yield layout.place(results, f"{layout.DATA}/dataset.json"), data | ({"files": photos} if photos else {})
    for seed in run.seeds:
        yield from _networks(run, results, seed, outside)
        if run.mnn:
            yield from _mnn(run, results, seed)
        if run.cascade:
            yield from _cascade(run, results, seed)
        if run.mixture:
            yield from _mixture(run, results, seed)
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
        wanted: dict[str, Any] = {"network": name, "architecture": network.architecture, "settings": _Whole(network.settings), "seed": seed}
        if network.weights is None:
            wanted["training"] = _plain(run.training_of(name), *_WHERE)
        yield layout.place(results, f"{layout.NETWORK}/weights.safetensors", network=name, seed=seed), wanted | files
        if run.mnn and run.mnn.probabilities == "out_of_fold":
            folds = layout.found(results, f"{layout.FOLD}/weights.safetensors", network=name, seed=seed)
            yield from ((path, wanted | {"folds": run.mnn.folds}) for path, _ in folds)


def _mnn(run: Config, results: Path, seed: int) -> Wanted:
    for threshold in run.mnn.dataset_thresholds:
        made = {"seed": seed, "dataset_threshold": threshold}
        expert = made | {"training": _plain(run.mnn.expert, *_WHERE)}
        here = {"seed": seed, "dataset_threshold": threshold}
        for path, _ in layout.found(results, f"{layout.EXPERT}/weights.safetensors", **here):
            yield path, expert
        ways = made | {"combine": run.mnn.combine, "temperature": run.mnn.temperature, "network": run.mnn.switch}
        yield layout.place(results, f"{layout.EVALUATION}/prefix.parquet", **here), ways
        for path, _ in layout.found(results, f"{layout.EVALUATION}/cells/{{cell}}.parquet", **here):
            yield path, ways


def _cascade(run: Config, results: Path, seed: int) -> Wanted:
    folder = layout.place(results, layout.CASCADE, seed=seed)
    search = {key: value for key, value in _plain(run.cascade).items() if key in CascadeSearch.model_fields}
    yield folder / "results.parquet", {"seed": seed, "asked": search, "confidence": run.statistics.confidence}
    stream = {"asked": {"memory": _plain(run.cascade.memory), "workload": _plain(run.cascade.workload)}}
    yield folder / "memory.parquet", stream
    yield folder / "run" / "record.parquet", stream | {"batch_size": run.cascade.batch_size}


def _mixture(run: Config, results: Path, seed: int) -> Wanted:
    for setting in run.mixture.trained():
        options = _plain(setting, "match", "name", "preset")
        options["training"] = {key: value for key, value in options["training"].items() if key not in _WHERE}
        if setting.match is not None:
            del options["experts"]  # its width is found by count
        folder = layout.place(results, layout.MIXTURE, seed=seed, setting=setting.name)
        yield folder / "weights.safetensors", {"seed": seed, "setting": setting.name, "options": options}
        yield folder / "evaluation" / "run.parquet", {"seed": seed, "confidence": run.statistics.confidence}


def _hypernetwork(run: Config, results: Path, seed: int) -> Wanted:
    section = run.hypernetwork
    adaptation = _plain(section.adaptation, *_WHERE)
    for experiment, of in section.experiments.items():
        for name, generator in section.trained.items():
            here = {"seed": seed, "experiment": experiment, "generator": name}
            made = here | {"asked": _plain(of), "bound": generator.bound, "z": generator.z}
            made |= {"generator_kind": generator.kind, "generator_settings": _Whole(generator.settings)}
            if generator.kind not in CONTROLS.values():
                made["z_size"] = generator.z_size
            made |= {"classifier": section.classifier.name, "settings": _Whole(section.classifier.settings)}
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
        "mnn": ("results", seeds | confidence | {"permutations": run.statistics.permutations}),
        "cascade": ("choice", confidence | ({"search": run.cascade.search, "objective": run.cascade.objective} if run.cascade else {})),
        "mixture": ("runs", seeds | confidence),
        "hypernetwork": ("results", confidence),
    }
    for family in run.families:
        table, wanted = more[family]
        yield layout.place(results, layout.TABLE, table=f"{family}_{table}"), wanted
    yield results / layout.RESULTS, confidence


def _plain(section: Section, *left_out: str) -> dict[str, Any]:
    """A section as JSON has it."""
    return section.model_dump(mode="json", exclude=set(left_out))


def _header(path: Path) -> dict[str, Any]:
    """What a file says of itself; {} where it says nothing."""
    try:
        if path.suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".parquet":
            found = read_description(path)
        else:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                text = json.loads(file.read(min(length, 100_000_000))).get("__metadata__", {}).get("metann", "{}")
            found = json.loads(text)
    except (OSError, ValueError, RecursionError, struct.error, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> str | None:
    """'training.epochs 8, not 9': the first of the wanted values that a header says otherwise; what it does not say is not compared."""
    for key, value in wanted.items():
        if key not in found:
            continue
        if isinstance(value, Mapping) and isinstance(found[key], Mapping):
            extra = sorted(set(found[key]) - set(value)) if isinstance(value, _Whole) else []
            missing = sorted(set(value) - set(found[key])) if isinstance(value, _Whole) else []
            if extra or missing:
                name, absent = (extra or missing)[0], "the default"
                said, asked = found[key].get(name, absent), value.get(name, absent)
                return f"{prefix}{key}.{name} {said!r}, not {asked!r}"
            if inner := _difference(found[key], value, f"{prefix}{key}."):
                return inner
        elif found[key] != (list(value) if isinstance(value, tuple) else value):
            return f"{prefix}{key} {found[key]!r}, not {value!r}"
    return None


def _is_known(path: Path, snakemake: Path) -> bool:
    """Whether Snakemake has written down how a file was made; it names records by the file's path."""
    name = urlsafe_b64encode(str(path).encode()).decode()
    folder = snakemake / "metadata"
    return (folder / name).exists() or any(_split(name, length, folder).exists() for length in (255, 143))


def _split(name: str, length: int, folder: Path) -> Path:
    parts = [name[start : start + length - 1] for start in range(0, len(name), length - 1)]
    return folder.joinpath(*[f"@{part}" for part in parts[:-1]], parts[-1])
