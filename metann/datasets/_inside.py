"""Folders inside the folders of classes: splits that stand where classes are looked for, or below them."""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path

from metann.datasets._search import COPIES, SUFFIXES, is_system, normal
from metann.datasets._words import split_of
from metann.errors import MetannError, one_of


def folders_in(folder: Path, beside_pictures: bool = True) -> set[str]:
    """Names of the folders in a folder; none of one that cannot be read, which the search for pictures names.

    Args:
        beside_pictures: also of a folder with pictures of its own; False stops at the first of them.
    """
    names = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_system(entry.name):
                    continue
                if entry.is_dir():
                    names.add(normal(entry.name))
                elif not beside_pictures and os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 - of a million names
                    return set()
    except OSError:
        return set()
    return names


def holds_pictures(folder: Path) -> bool:
    """Whether a file in a folder or below it is called like a picture; links and copies of whole drives are not looked into."""
    return folder.name.lower() not in COPIES and any(
        Path(name).suffix.lower() in SUFFIXES for _, _, files in os.walk(folder) for name in files
    )


def refuse_splits(root: Path, top: Mapping[str, Path]) -> None:
    """Refuse splits below the classes, which would mix test and training images.

    Args:
        top: the folders that are taken for classes.

    Raises:
        MetannError: every folder holds splits.
    """
    inside = _inside_of_all(top)
    splits = [{split for name in names if (split := split_of(name))} for names in inside]
    if splits and all("train" in some for some in splits) and len(set[str]().union(*splits)) > 1:
        raise MetannError(
            f"{root}: splits ({one_of(set[str]().union(*splits))}) stand inside {one_of(top)}; if these are classes, put them into the"
            f" splits (train/{min(top)}, ...), otherwise set data.root to one of them"
        )


def _inside_of_all(top: Mapping[str, Path]) -> list[set[str]]:
    """The folders in each of several folders that hold nothing but folders; [] where one holds pictures or nothing."""
    inside = list(takewhile(bool, (folders_in(path, beside_pictures=False) for path in top.values())))
    return inside if len(inside) == len(top) > 1 else []


def mistakable(top: Mapping[str, Path]) -> list[str]:
    """Sentences on classes that are called like splits, or hold folders that are, or the same folders as all others."""
    said = [f"folder {name!r} is a class, not the split {split}" for name in top if (split := split_of(name))]
    for name, path in top.items():
        splits = sorted(inside for inside in folders_in(path, beside_pictures=False) if split_of(inside))
        if len(splits) > 1:
            said.append(f"folders {one_of(splits)} inside {name!r} are parts of this class, not splits")
    inside = _inside_of_all(top)
    if inside and len(shared := set.intersection(*inside)) > 1:
        said.append(
            f"{one_of(top)} are classes, each with the folders {one_of(shared)}; if they are splits, name them train, val and test, "
            "and if they are classes, list them in data.classes"
        )
    return said


def look_alike(names: Iterable[str]) -> list[str]:
    """Sentences on classes that a reader takes for one: `Cat` and `cat`, `cat` and `cat ` with a blank behind it."""
    groups: dict[str, list[str]] = {}
    for name in names:
        seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
        groups.setdefault("".join(seen.casefold().split()), []).append(name)
    return [f"{' and '.join(map(repr, group))} are {len(group)} classes, not one" for group in groups.values() if len(group) > 1]
