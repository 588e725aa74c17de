"""What the workflow asks about a configured dataset before anything of it is read: are its files there, how many classes.

The workflow needs one expert for each class, and a missing folder is better said before the first job than by it.
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metann.data.raw import folder_of
from metann.errors import MetannError
from metann.files.digests import FileDigests
from metann.files.text import read_json
from metann.registry import dataset_classes, files_with

if TYPE_CHECKING:
    from metann.config.data import DataSection


def recorded(folder: Path) -> dict[str, Any]:
    """What dataset.json of a prepared folder says of its files and class names; {} where there is none, or none of ours."""
    try:
        found = read_json(folder / "dataset.json")
    except MetannError:
        return {}
    ours = isinstance(found, dict) and isinstance(found.get("files", ""), str) and isinstance(found.get("class_names"), list)
    return found if ours else {}


def class_count(settings: "DataSection", known_names: Sequence[str] | None = None) -> int:
    """K: the dataset file's literal `CLASSES`, or what its `class_names(settings)` finds in the folder.

    Args:
        settings: which data set.
        known_names: of the prepared data; they count where the files are archived since.

    Raises:
        MetannError: the folder is missing or holds no classes.
    """
    known = dataset_classes(settings.name)
    if known is None and known_names and not folder_of(settings).exists():
        return len(known_names)
    return known if known is not None else len(importlib.import_module(f"metann.datasets.{settings.name}").class_names(settings))


def counting(settings: "DataSection") -> dict[str, Any]:
    """The settings that change what is prepared: not where the files lie, nor whether they may be fetched."""
    return settings.model_dump(mode="json", exclude={"root", "download"})


def check_duplicates(settings: "DataSection", recorded: Mapping[str, Any], files: str) -> None:
    """Refuse equal images that an earlier preparation of the same files found: the job that would find them again removes its results.

    Args:
        settings: which data set.
        recorded: of `recorded`.
        files: the fingerprint of the raw files as they are.

    Raises:
        MetannError: `duplicates: refuse`, and there are some.
    """
    found, before = recorded.get("equal_images"), recorded.get("settings")
    if settings.duplicates != "refuse" or not isinstance(found, list) or not found or not isinstance(before, dict):
        return
    if before | {"duplicates": "refuse"} == counting(settings) and recorded.get("files", "") == files:
        raise refused([str(sentence) for sentence in found])


def refused(found: Sequence[str]) -> MetannError:
    """Why equal images end a run.

    Args:
        found: sentences of `duplicates.find_duplicates`.
    """
    return MetannError(f"{'; '.join(found)}; remove them, or set data.duplicates to drop or keep")


def fingerprint(settings: "DataSection", digests: FileDigests) -> str:
    """What the raw files hold, for the rule that reads them; '' where they are not there, and for data sets that are known by their name.

    Args:
        settings: which data set.
        digests: of single files.

    Raises:
        MetannError: files that cannot be read.
    """
    if settings.name not in files_with("datasets", "fingerprint"):
        return ""
    found = str(importlib.import_module(f"metann.datasets.{settings.name}").fingerprint(settings, digests))
    digests.keep()
    return found


def check_files(settings: "DataSection") -> None:
    """Call `check(settings)` of the dataset's file, where it has one; embedded datasets have none and are not imported.

    Raises:
        MetannError: the files are missing and may not be downloaded.
    """
    if settings.name in files_with("datasets", "check"):
        importlib.import_module(f"metann.datasets.{settings.name}").check(settings)
