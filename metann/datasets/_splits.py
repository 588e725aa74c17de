"""Folders of photos -> splits and classes, by the names of the folders alone; no image is opened."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metann.data.raw import folder_of
from metann.datasets._inside import folders_in, holds_pictures, look_alike, mistakable, refuse_splits
from metann.datasets._search import HIDDEN, Found, files_below, find_pictures, is_system, normal, printable, returns, unseen
from metann.datasets._words import loosely, split_of
from metann.errors import MetannError, one_of
from metann.tables.samples import SPLITS

if TYPE_CHECKING:
    from metann.config.data import DataSection


# Line breaks, and what turns the text behind a name round. Other letters that are not seen are parts of words and emoji.
_TURNS = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclass(frozen=True)
class Layout:
    """What the folders say.

    Attributes:
        classes: split -> class name -> folder; only `train` where the user made no split.
        names: of the classes, in label order.
        beside: what lies beside the class folders and is not used.
        hidden: the hidden and system files and folders there.
        assumed: what was taken for granted, in sentences.
    """

    classes: dict[str, dict[str, Path]]
    names: tuple[str, ...]
    beside: Found
    hidden: tuple[Path, ...]
    assumed: tuple[str, ...]


def _folders(parent: Path, beside: Found, hidden: list[Path]) -> dict[str, Path]:
    """Folders in a folder by name in one Unicode form, sorted; what is left out is counted in `beside` or stands in `hidden`.

    Raises:
        MetannError: the folder cannot be read, a link leads nowhere, or two names look the same.
    """
    found: dict[str, Path] = {}
    above = {(status.st_dev, status.st_ino) for status in (parent.stat(), parent.parent.stat())}
    for path in sorted(parent.iterdir()):
        if is_system(path.name):
            hidden.append(path)
            continue
        try:
            status = path.stat()
        except OSError as error:
            raise MetannError(f"{printable(path)} is {unseen(path, error)}; mend or remove it") from None
        if not path.is_dir():
            beside.skip("files beside the class folders", path)
        elif returns(path, above, status):
            beside.skip("links back to a folder above them", path)
        else:
            name = _text(path)
            if name in found:
                raise MetannError(f"{parent} holds two folders {name!r}, one spelled in another Unicode form; put their files into one")
            found[name] = path
    return dict(sorted(found.items()))


def _text(path: Path) -> str:
    name = normal(path.name)
    if any(unicodedata.category(letter) in ("Cc", "Cs") or letter in _TURNS for letter in name):
        raise MetannError(f"folder {printable(path)} has a name that is no printable text in UTF-8; rename it: it names a class")
    return name


def _splits(root: Path, top: dict[str, Path], wanted: tuple[str, ...]) -> dict[str, Path] | None:
    """Split -> folder, where the folders are splits; None where they are classes.

    Raises:
        MetannError: splits without training images, twice, with other folders beside them, or below the classes.
    """
    meant = {name: split for name in top if (split := split_of(name))}
    exact = set(top) & set(SPLITS)
    if wanted and set(wanted) == set(top):
        refuse_splits(root, top)
        return None  # the user says that these are classes
    wider = loosely(top)
    if set(wider) == set(top) and "train" in wider.values() and len(set(wider.values())) == len(top) > 1:
        meant = wider
    # `Testing` alone, beside departments of a firm, may be a class; beside `Training` it is none.
    unclear = "train" not in meant.values() or (len(meant) < 2 and len(top) > 1)
    if not meant or (not exact and unclear and set(meant) != set(top) and not _same_inside(top, meant)):
        refuse_splits(root, top)
        return None
    strange = [name for name in top if name not in meant]
    if strange or "train" not in meant.values():
        what = f"{strange[0]!r} stands beside" if strange else "'train' is missing beside"
        raise MetannError(
            f"{root}: {what} {one_of(meant)}; split folders are train, val and test (if these are classes, name them all in data.classes)"
        )
    twice = next((split for split in SPLITS if list(meant.values()).count(split) > 1), None)
    if twice:
        raise MetannError(f"{root}: {one_of(name for name, split in meant.items() if split == twice)} all mean {twice}; keep one of them")
    return {split: top[name] for name, split in meant.items()}


def _same_inside(top: dict[str, Path], meant: dict[str, str]) -> bool:
    """Whether a folder that may be a split holds the same two folders or more as another one: `Train` beside `Holdout`, not buses."""
    inside = {name: folders_in(path) for name, path in top.items()}
    return any(len(inside[name] & inside[other]) > 1 for name in meant for other in top if other != name)


def read_layout(settings: "DataSection") -> Layout:
    """Which folder is which split and class.

    Raises:
        MetannError: no folder, no class folders, or folders that would be left out unnoticed.
    """
    root, beside, assumed = folder_of(settings), Found(), []
    hidden: list[Path] = []
    try:
        top = _folders(root, beside, hidden)
        given = _splits(root, top, settings.classes)
        splits = {"train": top} if given is None else {split: _folders(path, beside, hidden) for split, path in given.items()}
    except OSError as error:
        at = Path(error.filename or root)
        cure = "set data.root to a folder of class folders" if at == root else "give permission, or remove it"
        raise MetannError(f"cannot read image folder {printable(at)}: {error.strerror}; {cure}") from None
    if given:
        assumed += [f"folder {path.name!r} is the split {split}" for split, path in given.items() if path.name != split]
    elif not settings.classes:
        assumed += mistakable(top)
    known = splits["train"]
    if len(known) < 2:
        where, cure = root, _deeper(known)
        if given:
            where = given["train"]
            cure = "; if the folders above are classes and no splits, name them all in data.classes"
        raise MetannError(f"{where} holds {len(known)} class folders ({one_of(known) or 'none'}) to train on; two or more are needed{cure}")
    for split, classes in splits.items():
        strange = [name for name in classes if name not in known]
        if strange:
            alike = next((name for name in known if name.casefold() == strange[0].casefold()), None)
            hint = f"; rename it to {alike!r}" if alike else ""
            raise MetannError(f"{root / split}: class {strange[0]!r} is not in train; known: {one_of(known)}{hint}")
    names = tuple(settings.classes or known)
    if sorted(names) != sorted(known):
        raise MetannError(f"data.classes names {_difference(names, known)}; known class folders: {one_of(known)}")
    if not settings.classes and all(name.isdecimal() for name in names) and sorted(names, key=int) != list(names):
        assumed.append(f"classes are sorted as text ({', '.join(names[:4])}, ...), not as numbers; data.classes gives another order")
    if not settings.classes:
        assumed += look_alike(names)
    return Layout(splits, names, beside, tuple(hidden), tuple(assumed))


def _deeper(known: dict[str, Path]) -> str:
    """A cure where the folders lie one further down."""
    for path in known.values():
        inside = folders_in(path)
        if len(inside) > 1:
            return f"; if these are {one_of(inside)}, set data.root to {path}"
    return ""


def _difference(names: tuple[str, ...], known: dict[str, Path]) -> str:
    if strange := [name for name in names if name not in known]:
        return f"{strange[0]!r}, which has no folder"
    if missing := [name for name in known if name not in names]:
        return f"no {missing[0]!r}, which has a folder"
    return f"{next(name for name in names if names.count(name) > 1)!r} twice"


def pictures_of(layout: Layout) -> tuple[dict[tuple[str, str], list[Path]], Found]:
    """(split, class) -> its picture files, and everything that was found on the way.

    Raises:
        MetannError: dangling links, folders without permission, a class without training images, or one that loses most of its files.
    """
    files, everything = {}, Found()
    everything.add(layout.beside)
    for path in layout.hidden:
        everything.skip(HIDDEN, path, files_below(path))
    for split, classes in layout.classes.items():
        for name, folder in classes.items():
            found = find_pictures(folder)
            if found.unread > len(found.pictures):
                n = found.unread + len(found.pictures)
                raise MetannError(f"{folder}: of {n} pictures only {len(found.pictures)} can be read; left out: {found.skipped_text()}")
            if split == "train" and not found.pictures and not found.problems:
                left = f"left out: {found.skipped_text()}" if found.skipped else "it is empty"
                raise MetannError(f"{folder} holds no images; put some there or remove it ({left})")
            files[split, name] = found.pictures
            everything.add(found)
    if everything.problems:
        path, problem = next(iter(everything.problems.items()))
        raise MetannError(f"{printable(path)} is {problem} ({len(everything.problems)} such); mend or remove it")
    return files, everything


def told(layout: Layout, files: Mapping[tuple[str, str], list[Path]]) -> tuple[str, ...]:
    """What the layout takes for granted, and sentences on splits without a picture and hidden folders with some."""
    full = {split for (split, _), paths in files.items() if paths}
    return (
        *layout.assumed,
        *(
            f"folder of split {split} has no picture in a class folder; a share of train (data.{split}_fraction) takes its place"
            for split in layout.classes
            if split not in full
        ),
        *(
            f"folder {printable(path.name)!r} holds pictures and is hidden, so it is no class; rename it to make it one"
            for path in layout.hidden
            if path.name.startswith(".") and holds_pictures(path)
        ),
    )
