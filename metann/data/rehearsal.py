"""What a preparation that is due would refuse, refused while the rules are read: for its job Snakemake removes what the last one made,
and photos that it was made of may be archived."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metann.data.arrangement import arranged, check_classes
from metann.data.classes import check_files, counting
from metann.data.raw import folder_of, load_dataset
from metann.data.split import assign_splits
from metann.errors import MetannError
from metann.files.digests import FileDigests
from metann.registry import dataset_classes, files_with

if TYPE_CHECKING:
    from metann.config.data import DataSection


def rehearse(settings: "DataSection", recorded: Mapping[str, Any], found: str, digests: FileDigests) -> bool:
    """Refuse a preparation that is due and would fail.

    With `duplicates: keep` pictures are looked at only where they are new to `digests`: folders, classes and splits are checked. To find
    equal images all have to be read, as the preparation will.

    Args:
        settings: which data set.
        recorded: of `classes.recorded`; {} where nothing was prepared.
        found: of `classes.fingerprint`, with these digests.
        digests: of single files.

    Returns:
        whether what was prepared fits and its raw files are no longer there, so that nothing may prepare it anew.

    Raises:
        MetannError: as the preparation would; or what is asked needs raw files that are not there.
    """
    if settings.name not in files_with("datasets", "fingerprint"):
        return False
    before, files = recorded.get("settings"), recorded.get("files", "")
    module = importlib.import_module(f"metann.datasets.{settings.name}")
    if found and files and found != files:
        module.verify(settings, digests)
    if not isinstance(before, dict):
        return False
    now = counting(settings)
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    gone = bool(files) and not found
    if gone and not changed:
        return True
    fetched = settings.download and dataset_classes(settings.name) is not None
    if gone and not fetched:
        said = ", ".join(f"data.{key} {now.get(key)!r}, not {before.get(key)!r}" for key in changed)
        raise MetannError(
            f"{said}, needs the images of {folder_of(settings)} anew, which are not there; bring them back, or leave it as it was"
        )
    if gone or (not changed and found == files):
        return False
    check_files(settings)
    if settings.duplicates != "keep":
        arranged(load_dataset(settings), settings)
    elif settings.name in files_with("datasets", "outline"):
        labels_N, official_N, names = module.outline(settings)
        check_classes(assign_splits(official_N, labels_N, settings), labels_N, names, settings)
    return False
