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


def refuse_splits(root: Path, top: Mapping[str, Path], named: bool) -> None:
    """Refuse splits in words that are not known, and splits below the classes: both would mix test and training images.

    Args:
        top: the folders that are taken for classes.
        named: whether `data.classes` says that they are.

    Raises:
        MetannError: every folder holds splits, or the same two folders or more as the others.
    """
    inside = list(takewhile(bool, (folders_in(path, beside_pictures=False) for path in top.values())))
    if len(inside) < 2 or len(inside) < len(top):
        return
    splits = [{split for name in names if (split := split_of(name))} for names in inside]
    if all("train" in some for some in splits) and len(set[str]().union(*splits)) > 1:
        raise MetannError(
            f"{root}: splits ({one_of(set[str]().union(*splits))}) stand inside {one_of(top)}; if these are classes, put them into the"
            f" splits (train/{min(top)}, ...), otherwise set data.root to one of them"
        )
    shared = set.intersection(*inside)
    if len(shared) > 1 and not named:
        raise MetannError(
            f"{root}: each of {one_of(top)} holds the folders {one_of(shared)}; if these are the classes, name the folders above them"
            " train, val and test, otherwise list those in data.classes"
        )


def mistakable(top: Mapping[str, Path]) -> list[str]:
    """Sentences on classes that are called like splits, or hold folders that are."""
    said = [f"folder {name!r} is a class, not the split {split}" for name in top if (split := split_of(name))]
    for name, path in top.items():
        splits = sorted(inside for inside in folders_in(path, beside_pictures=False) if split_of(inside))
        if len(splits) > 1:
            said.append(f"folders {one_of(splits)} inside {name!r} are parts of this class, not splits")
    return said


def look_alike(names: Iterable[str]) -> list[str]:
    """Sentences on classes that a reader takes for one: `Cat` and `cat`, `cat` and `cat ` with a blank behind it."""
    groups: dict[str, list[str]] = {}
    for name in names:
        seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
        groups.setdefault("".join(seen.casefold().split()), []).append(name)
    return [f"{' and '.join(map(repr, group))} are {len(group)} classes, not one" for group in groups.values() if len(group) > 1]
