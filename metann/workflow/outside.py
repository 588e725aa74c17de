"""Files that a configuration names and nobody here made, and results that Snakemake does not know how they were made."""

import json
import struct
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metann import layout
from metann.config.network import NetworkSection
from metann.config.run import Config
from metann.digests import FileDigests, combined
from metann.errors import MetannError

_SHOWN = 4


def files_of(network: NetworkSection) -> list[Path]:
    """Files that a network comes from: tables with their labels and rows, or weights; none where it is trained, or downloaded."""
    if network.probabilities is not None:
        named = [network.probabilities, network.labels, network.val_rows if isinstance(network.val_rows, str) else None]
        return [Path(path) for path in named if path is not None and (path is not named[2] or Path(path).is_file())]
    return [Path(network.weights)] if network.weights is not None and Path(network.weights).is_file() else []


def digests_of(network: NetworkSection, digests: FileDigests) -> str:
    """What these files hold; '' without any. A missing one is Snakemake's, or the stage's, to name.

    Raises:
        MetannError: a file that is there and cannot be read.
    """
    found = (
        combined(part for path in files_of(network) if path.is_file() for part in (path.name, digests.of(path)))
        if files_of(network)
        else ""
    )
    digests.keep()
    return found


def check_records(run: Config, results: Path, snakemake: Path) -> None:
    """Refuse results of another configuration where Snakemake has no record of how they were made, as in a copied folder.

    What fits is taken as it is.

    Raises:
        MetannError: naming the files, the first difference and the cure.
    """
    strange = [
        (path, difference)
        for path, wanted in _wanted(run, results)
        if path.is_file() and not _is_known(path, snakemake) and (difference := _difference(_header(path), wanted))
    ]
    if strange:
        path, difference = strange[0]
        names = " ".join(str(path) for path, _ in strange[:_SHOWN]) + (f" ... ({len(strange)} in all)" if len(strange) > _SHOWN else "")
        raise MetannError(
            f"{path} was made with {difference}, and Snakemake has no record of it (copied results?); to make it anew delete {names}, "
            "to keep it give the configuration that it was made with"
        )


def _wanted(run: Config, results: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files whose headers say how they were made, and what they have to say."""
    trained = [name for name, network in run.networks.items() if not network.imported]
    if trained:
        yield (
            layout.place(results, f"{layout.DATA}/dataset.json"),
            {"settings": run.data.model_dump(mode="json", exclude={"root", "download"})},
        )
    for name in trained:
        network = run.networks[name]
        wanted: dict[str, Any] = {"network": name, "architecture": network.architecture, "settings": network.settings}
        if network.weights is None:
            wanted["training"] = _counting(run.training_of(name).model_dump(mode="json"))
        for seed in run.seeds:
            yield layout.place(results, f"{layout.NETWORK}/weights.safetensors", network=name, seed=seed), wanted | {"seed": seed}
    if run.mnn:
        expert = _counting(run.mnn.expert.model_dump(mode="json"))
        for seed in run.seeds:
            for threshold in run.mnn.dataset_thresholds:
                pattern = f"{layout.EXPERTS}/class_0/weights.safetensors"
                path = layout.place(results, pattern, seed=seed, dataset_threshold=threshold)
                yield path, {"seed": seed, "dataset_threshold": threshold, "training": expert}


def _counting(training: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a training that change its result: not where it ran."""
    return {key: value for key, value in training.items() if key not in ("device", "threads", "compile")}


def _header(path: Path) -> dict[str, Any]:
    """What a file says of itself, without the libraries that read the rest; {} where it says nothing."""
    try:
        if path.suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))
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
