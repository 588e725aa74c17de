"""Results that did not come from Snakemake: copied ones, of which it has no record, and files that were replaced since it made them.

Their headers are compared with the configuration while the rules are read: the job that would find out has its outputs removed first.
"""

import json
import struct
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metann.config.run import Config
from metann.errors import MetannError
from metann.tables.sealed import read_description
from metann.workflow.expected import Whole, expected

_SHOWN = 4
_IDENTITY = ("network", "seed", "dataset_threshold", "setting", "experiment", "generator")


def check_records(run: Config, results: Path, snakemake: Path, photos: str = "", outside: Mapping[str, str] | None = None) -> None:
    """Refuse results of another configuration where Snakemake has no record of how they were made, and what took another file's place.

    What fits is taken as it is, and what a file does not say of itself is not compared. Files that are newer than Snakemake's record of
    them have to be whole, and of the network, seed, threshold, setting ... that their place says.

    Args:
        run: the configuration.
        results: folder of its results.
        snakemake: the folder of Snakemake's records, `.snakemake`.
        photos, outside: fingerprints of the data's raw files, and of the files of each network; '' where nothing is known.

    Raises:
        MetannError: naming the files, the first difference and the cure.
    """
    strange, others = [], []
    for path, wanted in expected(run, results, photos, outside or {}):
        if not path.is_file():
            continue
        record = record_of(path, snakemake)
        if record is None:
            strange += [(path, difference)] if (difference := _difference(_header(path), wanted)) else []
        elif _newer(path, record):
            # Other settings are Snakemake's affair; whose file it is does not change.
            identity = {key: value for key, value in wanted.items() if key in _IDENTITY}
            broken = "no whole file of a run" if not (header := _header(path)) else _difference(header, identity)
            others += [(path, broken)] if broken else []
    if others:
        path, difference = others[0]
        raise MetannError(
            f"{path} was replaced after it was made ({difference}); bring back the one that was there, or delete "
            f"{_named([path for path, _ in others], results)} to have it made anew"
        )
    if strange:
        path, difference = strange[0]
        raise MetannError(
            f"{path} was made with {difference}, and Snakemake has no record of it (copied results?); to make it anew delete "
            f"{_named([path for path, _ in strange], results)}, to keep it give the configuration that it was made with"
        )


def replaced(path: Path, snakemake: Path) -> bool:
    """Whether a file was written after Snakemake has written down how it was made."""
    record = record_of(path, snakemake)
    return record is not None and path.is_file() and _newer(path, record)


def _newer(path: Path, record: Path) -> bool:
    return path.stat().st_mtime_ns > record.stat().st_mtime_ns


def _named(paths: list[Path], results: Path) -> str:
    """Files in few words: each, or how many lie in which folder of the run."""
    if len(paths) <= _SHOWN:
        return " ".join(map(str, paths))
    counts = Counter(results / path.relative_to(results).parts[0] for path in paths)
    return f"{' '.join(map(str, counts))} ({', '.join(f'{count} of {folder.name}' for folder, count in counts.items())})"


def _header(path: Path) -> dict[str, Any]:
    """What a file says of itself; {} where it says nothing, or is cut off."""
    try:
        if path.suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".parquet":
            found = read_description(path)
        else:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, 100_000_000)))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            whole = path.stat().st_size == 8 + length + max(ends, default=0)
            found = json.loads(header.get("__metadata__", {}).get("metann", "{}")) if whole else {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError, struct.error, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> str | None:
    """'training.epochs 8, not 9': the first of the wanted values that a header says otherwise; what it does not say is not compared."""
    for key, value in wanted.items():
        if key not in found:
            continue
        if isinstance(value, Mapping) and isinstance(found[key], Mapping):
            extra = sorted(set(found[key]) - set(value)) if isinstance(value, Whole) else []
            missing = sorted(set(value) - set(found[key])) if isinstance(value, Whole) else []
            if extra or missing:
                name, absent = (extra or missing)[0], "the default"
                said, asked = found[key].get(name, absent), value.get(name, absent)
                return f"{prefix}{key}.{name} {said!r}, not {asked!r}"
            if inner := _difference(found[key], value, f"{prefix}{key}."):
                return inner
        elif found[key] != (list(value) if isinstance(value, tuple) else value):
            return f"{prefix}{key} {found[key]!r}, not {value!r}"
    return None


def record_of(path: Path, snakemake: Path) -> Path | None:
    """Where Snakemake has written down how a file was made, which names records by the file's path; None where it has not."""
    name = urlsafe_b64encode(str(path).encode()).decode()
    folder = snakemake / "metadata"
    return next((record for record in (folder / name, *(_split(name, length, folder) for length in (255, 143))) if record.exists()), None)


def _split(name: str, length: int, folder: Path) -> Path:
    parts = [name[start : start + length - 1] for start in range(0, len(name), length - 1)]
    return folder.joinpath(*[f"@{part}" for part in parts[:-1]], parts[-1])
