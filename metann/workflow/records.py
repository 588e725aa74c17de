"""Results that Snakemake does not know how they were made, as in a copied folder: their headers are compared with the configuration."""

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
        for path, wanted in expected(run, results, photos, outside or {})
        if path.is_file() and record_of(path, snakemake) is None and (difference := _difference(_header(path), wanted))
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
