"""The one exception that a user sees: a single line that says what was given, what is known and how to mend it."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches


class MetannError(ValueError):
    """Bad input. The CLI prints its text as one line and exits with 2; there is never a traceback.

    A ValueError, so that a pydantic validator that raises it reports the key it happened at.
    """


def one_of(names: Iterable[object]) -> str:
    """Known names for an error text: numbers by their size, texts by the alphabet, comma separated, cut after 40."""
    names = list(names)
    numbers = all(isinstance(name, int | float) for name in names)
    known = [str(name) for name in (sorted(names) if numbers else sorted(names, key=str))]
    return ", ".join(known[:40]) + (f", ... ({len(known)} in all)" if len(known) > 40 else "")


def nearest(given: str, known: Iterable[str]) -> str:
    """The three known names that are most like a given one, comma separated; '' where none is like it."""
    return ", ".join(get_close_matches(given, sorted(known), n=3, cutoff=0.5))


def meant(given: str, known: Iterable[str]) -> str:
    """` (did you mean 'epochs'?)`, to stand behind a key that is not known; '' where no known one is like it."""
    found = get_close_matches(given.lower(), sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else ""


def unknown(kind: str, given: object, known: Iterable[object], where: str = "") -> MetannError:
    """`unknown score function 'margn'; known: entropy, margin; add one in metann/...`."""
    cure = f"; add one in {where}" if where else ""
    return MetannError(f"unknown {kind} {str(given)!r}; known: {one_of(known)}{cure}")


LACKS = (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
# What a machine lacks for the moment, or a user may not do: no file is at fault, and deleting one would only lose it.
_SYSTEM = {
    errno.ENOMEM: "memory is used up; free some, or ask for more (mem_mb)",
    errno.EAGAIN: "the system gives no more threads or memory; end other processes, or raise `ulimit -u`",
    errno.EMFILE: "too many files are open; raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine; end other processes",
    errno.EACCES: "it may not be read; give permission",
    errno.EPERM: "it may not be read; give permission",
    errno.EIO: "the disk fails; look at it before anything else",
    errno.ESTALE: "the network drive has lost the file; try again",
    errno.ETIMEDOUT: "the network drive does not answer; try again",
    errno.EISDIR: "it is a folder; give a file",
    errno.ENOTDIR: "a part of its path is a file; check the path",
    errno.ENAMETOOLONG: "its name is too long; check the path",
    errno.ELOOP: "its links lead in a circle; check the path",
}


def exhausted(error: BaseException) -> str | None:
    """What the machine lacks, where an error says so in whatever words; None for any other error."""
    text = str(error).lower()
    if (
        isinstance(error, MemoryError)
        or "cannot allocate memory" in text
        or any(
            words in text for words in ("can't allocate memory", "malloc of size", "not enough memory", "out of memory", "std::bad_alloc")
        )
    ):
        return _SYSTEM[errno.ENOMEM]
    if "start new thread" in text or "resource temporarily unavailable" in text or "thread creation failed" in text:
        return _SYSTEM[errno.EAGAIN]
    return _SYSTEM.get(error.errno) if isinstance(error, OSError) and error.errno is not None else None


def failed_system(path: object, error: BaseException) -> MetannError:
    """`cannot read x: too many files are open; raise ...`; never advises to delete what may be whole."""
    reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return MetannError(f"cannot read {path}: {exhausted(error) or f'{reason}; try again, or look at the disk'}")
