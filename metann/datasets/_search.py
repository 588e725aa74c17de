"""Which files of a folder are pictures: one search for every stage, that counts what it leaves out and says why.

A file is taken for a picture by its suffix, and where that says nothing by its first bytes: a `.heic` or a file without a suffix that
holds a JPEG is read. What file managers, archivers, notebooks and network drives leave behind is passed over at every depth. Links
are followed, but not in circles.
"""

import errno
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .jif .pjpeg .png .apng .bmp .dib .gif .pbm .pgm .ppm .pnm .tif .tiff .webp .avif".split()  # noqa: SIM905
)
HIDDEN = "hidden or system files"
_SYSTEM = frozenset(
    {"@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin", "recycler", "lost+found"}
    | {"recycled", "~snapshot", "@__thumb", "__macosx", "__pycache__"}
    | {"system volume information", "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "desktop.ini", "icon\r"}
)
COPIES = frozenset({".snapshot", ".snapshots", ".zfs", "~snapshot", "#snapshot", "@recently-snapshot"})  # of whole drives: not to be walked
_BACKUPS = frozenset({".bak", ".backup", ".orig", ".old", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".swp"})
_RAW = frozenset(".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .kdc .mef .mrw .nef .nrw .orf .pef .raf .raw .rw2 .srw .x3f".split())  # noqa: SIM905
_UNREAD = {
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".hif": "HEIC",
    ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000",
    ".j2k": "JPEG 2000",
    ".jpx": "JPEG 2000",
}
_UNREAD |= {".psd": "Photoshop", ".svg": "SVG", ".eps": "EPS", ".tga": "TGA", ".exr": "EXR", ".hdr": "HDR", ".ico": "ICO", ".dcm": "DICOM"}
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II[*+]\x00|MM\x00[*+]"  # + in place of *: BigTIFF
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3}"  # BMP, with the length of its second head: two letters begin many a text
    rb"|P[1-6]\s(\s*#[^\n]*\n)*\s*\d+\s+\d+\s",
    re.DOTALL,
)
_BRANDS = {b"avif": "", b"avis": "", b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC"}


@dataclass
class Found:
    """What a search came to.

    Attributes:
        pictures: files to be read, sorted by their path.
        skipped: reason -> how many files were left out for it.
        examples: reason -> the first such file.
        unread: how many of the skipped are pictures of a kind that is not read here.
        problems: path -> why it cannot be looked at: dangling links, folders without permission.
    """

    pictures: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Path] = field(default_factory=dict)
    unread: int = 0
    problems: dict[Path, str] = field(default_factory=dict)

    def skip(self, reason: str, path: Path, number: int = 1) -> None:
        """Count `number` files that are left out at `path`."""
        if number:
            self.skipped[reason] += number
            self.examples.setdefault(reason, path)

    def add(self, other: "Found") -> None:
        """Count what another search found too."""
        self.pictures += other.pictures
        self.skipped += other.skipped
        self.examples = other.examples | self.examples
        self.unread += other.unread
        self.problems |= other.problems

    def skipped_text(self) -> str:
        """'3 hidden or system files (such as a/.x.png), 1 file with suffix .txt ...'; '' where nothing was left out."""
        return ", ".join(f"{number} {reason} (such as {printable(self.examples[reason])})" for reason, number in self.skipped.most_common())


def normal(name: str) -> str:
    """A name in one Unicode form: Macs write `é` as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def printable(path: object) -> str:
    """A path that any terminal and file can take: bytes that are no UTF-8 as `\\xff`, line breaks and the like as `\\n`."""
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def is_system(name: str) -> bool:
    """Whether a file or folder belongs to an operating system, an archiver, a notebook or a network drive."""
    return name.startswith(".") or name.lower() in _SYSTEM


def link_problem(path: Path, error: OSError | ValueError) -> str:
    """Why a path cannot be looked at, in words."""
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
        return f"a link to {printable(path.readlink())}, " + ("which is not there" if error.errno == errno.ENOENT else "in a circle")
    return (error.strerror or str(error)).lower()


def unseen(path: Path, error: OSError) -> str:
    """What a path is of which not even the kind can be found out, in words."""
    problem = link_problem(path, error)
    return problem if os.path.islink(path) else f"a file or folder that cannot be read: {problem}"  # noqa: PTH114 - never raises


def returns(path: Path, above: Iterable[tuple[int, int]], status: os.stat_result) -> bool:
    """Whether a folder is one of those above it, or holds them: a link that leads back."""
    if (status.st_dev, status.st_ino) in set(above):
        return True
    if not path.is_symlink():
        return False
    target, here = os.path.realpath(path), os.path.realpath(path.parent)
    return here == target or here.startswith(target.rstrip(os.sep) + os.sep)


def find_pictures(folder: Path) -> Found:
    """All pictures below a folder; a folder to which many links lead is searched once."""
    found = Found()
    stack: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, _identity(folder))]
    reached = set(stack[0][1])
    while stack:
        here, above = stack.pop()
        try:
            names = sorted(os.listdir(here))  # noqa: PTH208 - names alone, of which a folder may hold a million
        except OSError as error:
            found.problems[here] = f"a folder that cannot be read: {link_problem(here, error)}"
            continue
        for name in names:
            path = here / name
            if is_system(name):
                found.skip(HIDDEN, path, files_below(path))
                continue
            try:
                status = path.stat()
            except OSError as error:
                _dangling(found, path, unseen(path, error))
                continue
            if stat.S_ISDIR(status.st_mode):
                if returns(path, above, status):
                    found.skip("links back to a folder above them", path)
                elif (status.st_dev, status.st_ino) in reached:
                    found.skip("folders reached twice", path)
                else:
                    reached.add((status.st_dev, status.st_ino))
                    stack.append((path, above | {(status.st_dev, status.st_ino)}))
            elif stat.S_ISREG(status.st_mode):
                sort_in(found, path)
            else:
                found.skip("pipes, sockets or devices", path)
    found.pictures.sort()
    return found


def _identity(folder: Path) -> frozenset[tuple[int, int]]:
    try:
        status = folder.stat()
    except OSError:
        return frozenset()  # listing it says why
    return frozenset({(status.st_dev, status.st_ino)})


def _dangling(found: Found, path: Path, problem: str) -> None:
    if path.suffix.lower() in SUFFIXES or not path.suffix:  # a picture, or a folder of them
        found.problems[path] = problem
    else:
        found.skip("links that lead nowhere" if os.path.islink(path) else "files that cannot be read", path)  # noqa: PTH114 - never raises


def files_below(path: Path) -> int:
    """How many files a hidden file or folder stands for; links inside are not followed."""
    if path.name.lower() in COPIES or path.is_symlink() or not path.is_dir():
        return 1
    return sum(len(files) for _, _, files in os.walk(path))


def sort_in(found: Found, path: Path) -> None:
    """Put a regular file among the pictures or the skipped."""
    suffix = path.suffix.lower()
    if path.name.endswith("~") or suffix in _BACKUPS:
        found.skip("backups or unfinished downloads", path)
    elif suffix in SUFFIXES:
        found.pictures.append(path)
    elif suffix in _RAW:  # most are TIFF inside, and what would be read is a thumbnail
        found.unread += 1
        found.skip("camera raw pictures, which are not read; save them as JPEG or PNG", path)
    else:
        _by_content(found, path, suffix)


def _by_content(found: Found, path: Path, suffix: str) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        found.problems[path] = f"a file that cannot be read: {link_problem(path, error)}"
        return
    brand = _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None
    if _MAGIC.match(head) or brand == "" or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        found.pictures.append(path)
    elif kind := brand or _UNREAD.get(suffix):
        found.unread += 1
        found.skip(f"{kind} pictures, which are not read; save them as JPEG or PNG", path)
    else:
        found.skip(f"files with suffix {printable(suffix)}" if suffix else "files without a suffix that are no pictures", path)
