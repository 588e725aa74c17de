"""What the workflow asks about a configured dataset before anything of it is read: are its files there, how many classes.

The workflow needs one expert for each class, and a missing folder is better said before the first job than by it.
"""

import importlib
from typing import TYPE_CHECKING

from metann.registry import dataset_classes, files_with

if TYPE_CHECKING:
    from metann.config.data import DataSection


def class_count(settings: "DataSection") -> int:
    """K: the dataset file's literal `CLASSES`, or what its `class_names(settings)` finds in the folder.

    Raises:
        MetannError: the folder is missing or holds no classes.
    """
    known = dataset_classes(settings.name)
    return known if known is not None else len(importlib.import_module(f"metann.datasets.{settings.name}").class_names(settings))


def check_files(settings: "DataSection") -> None:
    """Call `check(settings)` of the dataset's file, where it has one; embedded datasets have none and are not imported.

    Raises:
        MetannError: the files are missing and may not be downloaded.
    """
    if settings.name in files_with("datasets", "check"):
        importlib.import_module(f"metann.datasets.{settings.name}").check(settings)
