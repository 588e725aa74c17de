"""Whole files or none: write beside the target, then rename."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from metann.errors import MetannError

_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_DEAD_S = 24 * 3600  # what another machine has left for so long is left for good

_listed: dict[str, tuple[float, list[str]]] = {}  # folder -> when to look again, and the temporary files that lay there
_NEW_S = 5  # an empty file may be so new that its writer has not locked it yet


@contextlib.contextmanager
def _reserved(*paths: Path) -> Iterator[list[Path]]:
    """Yield a new temporary file beside each path; what of them is left when the block ends is removed.

    Their names are random and they are made exclusively, so two writers never share one, on whatever machines they are, and nobody can
    plant a link under them. A lock on each says that its writer lives. They keep the suffix, because numpy and matplotlib choose a
    format by it. What killed writers of the same files have left is removed.
    """
    temporaries: list[Path] = []
    handles: list[int] = []
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path)
            temporary = path.with_name(f".{path.stem}.{_HOST}.{secrets.token_hex(8)}.tmp{path.suffix}")
            try:
                handles.append(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
            temporaries.append(temporary)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handles[-1], fcntl.LOCK_EX)  # waits for nobody but a glance of `remove_leftovers`
            os.utime(handles[-1], ns=(0, 0))  # until somebody writes
        yield temporaries
    finally:
        for handle in handles:
            os.close(handle)
        for temporary in temporaries:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _check_written(temporary: Path) -> None:
    if temporary.stat().st_mtime_ns == 0:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(temporary))


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it takes `path`'s name when the block ends without an error.

    The last of several writers wins whole.

    Raises:
        MetannError: the folder cannot be written, or the disk is full. An error of another file that the block reads is the block's
            own and comes out as it is.
    """
    temporary = path
    try:
        with _reserved(path) as (temporary,):
            yield temporary
            _check_written(temporary)
            os.replace(temporary, path)
    except OSError as error:
        if _is_of_another(error, temporary):
            raise
        reason = error.strerror or str(error)
        raise MetannError(f"cannot write {path}: {reason}; free space or permission is needed in {path.parent}") from error


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` whose writers are dead: of this machine by their locks, of others by their age."""
    ending = f".tmp{path.suffix}"
    for name in _temporaries(str(path.parent)):
        if not (name.startswith(f".{path.stem}.") and name.endswith(ending)):
            continue
        middle = name[len(path.stem) + 2 : -len(ending)].split(".")
        if len(middle) != 2 or len(middle[1]) != 16:
            continue
        left = path.with_name(name)
        with contextlib.suppress(OSError):
            if left.is_symlink() or middle[0] != _HOST:
                if time.time() - left.lstat().st_ctime > _DEAD_S:
                    left.unlink()
                continue
            handle = os.open(left, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where the writer lives
                status = os.fstat(handle)
                if status.st_size or time.time() - status.st_ctime > _NEW_S:
                    left.unlink()
            finally:
                os.close(handle)


def _temporaries(folder: str) -> list[str]:
    """Hidden temporary files of a folder. Listing takes at most a fiftieth of the time: 20,000 files are written into one folder."""
    start = time.monotonic()
    again, names = _listed.get(folder, (start, []))
    if start >= again:
        names = [name for name in os.listdir(folder) if name.startswith(".") and ".tmp" in name]  # noqa: PTH208 - a glob would take brackets
        end = time.monotonic()
        _listed[folder] = (end + 50 * (end - start), names)
    return names


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Have signals that ask this process to end wait until the block has ended.

    By handlers, not by a mask: a mask is one thread's, and the kernel gives the signal to another one, of torch or of a meter.
    """
    if threading.current_thread() is not threading.main_thread():  # elsewhere Python runs no handlers
        yield
        return
    came: list[int] = []
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not None]
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


@contextlib.contextmanager
def together(*paths: Path) -> Iterator[list[Path]]:
    """Yield a temporary path for each; all take their names when the block ends without an error, or none does.

    Old files go before the first new one comes, and signals that ask this process to end wait until the last has: whoever finds all
    of them finds those of one run.

    Raises:
        MetannError: a folder cannot be written, or the disk is full.
    """
    temporaries: list[Path] = []
    try:
        with _reserved(*paths) as temporaries:
            yield temporaries
            for temporary in temporaries:
                _check_written(temporary)
            with _undisturbed():
                try:
                    for path in paths:
                        path.unlink(missing_ok=True)
                    for temporary, path in zip(temporaries, paths, strict=True):
                        os.replace(temporary, path)
                except OSError:
                    for path in paths:
                        with contextlib.suppress(OSError):
                            path.unlink(missing_ok=True)
                    raise
    except OSError as error:
        if all(_is_of_another(error, path) for path in (*temporaries, *paths)):
            raise
        names, reason = ", ".join(map(str, paths)), error.strerror or str(error)
        raise MetannError(f"cannot write {names}: {reason}; free space or permission is needed in {paths[0].parent}") from error


def _is_of_another(error: OSError, temporary: Path) -> bool:
    """Whether an error is not about writing `temporary`: it names another file, or names none and says that something is missing."""
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
    if named:
        return not any(name == temporary or name in temporary.parents for name in named)
    return isinstance(error, FileNotFoundError)
