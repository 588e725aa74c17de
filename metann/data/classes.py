"""How many classes a configured dataset has, before anything of it is read: the workflow needs one expert for each."""

import importlib
from typing import TYPE_CHECKING

from metann.registry import dataset_classes

if TYPE_CHECKING:
    from metann.config import DataSection


def class_count(settings: "DataSection") -> int:
    """K: the dataset file's literal `CLASSES`, or what its `class_names(settings)` finds in the folder.

    Raises:
        MetannError: the folder is missing or holds no classes.
    """
    known = dataset_classes(settings.name)
    return known if known is not None else len(importlib.import_module(f"metann.data.{settings.name}").class_names(settings))
