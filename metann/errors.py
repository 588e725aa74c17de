"""The one exception that a user sees: a single line that says what was given, what is known and how to mend it."""

from collections.abc import Iterable


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


def unknown(kind: str, given: object, known: Iterable[object], where: str = "") -> MetannError:
    """`unknown score function 'margn'; known: entropy, margin; add one in metann/...`."""
    cure = f"; add one in {where}" if where else ""
    return MetannError(f"unknown {kind} {str(given)!r}; known: {one_of(known)}{cure}")
