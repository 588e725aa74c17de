"""What one change does: settings that differ in one group of options and in nothing else.

The published ranking compared settings that also differed in weight decay and in a second softmax. Here the options of every setting
are compared key by key, so that a difference is only ever credited to the one group that makes it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

_LONGEST = 60  # characters of a value in a table
_NAMES = ("name", "preset", "compute", "match")  # how a setting is called and computed, not what it is
_CONFOUNDS = ("weight_decay", "final_softmax")


@dataclass(frozen=True)
class Contrast:
    """Two settings that differ in one group of options.

    Attributes:
        first, second: names; the one named earlier in the table comes first.
        group: the group that differs, such as 'gate' or 'regularisers'.
        before, after: what stands there, as text.
    """

    first: str
    second: str
    group: str
    before: str
    after: str


def contrasts(options: Mapping[str, Mapping[str, Any]]) -> list[Contrast]:
    """All pairs that differ in exactly one top-level group.

    Args:
        options: setting -> its options as the configuration has them; a missing group equals null.
    """
    found = []
    for first, second in combinations(options, 2):
        a, b = options[first], options[second]
        changed = [key for key in dict.fromkeys([*a, *b]) if key not in _NAMES and a.get(key) != b.get(key)]
        if len(changed) == 1:
            key = changed[0]
            found.append(Contrast(first, second, key, *_differing(a.get(key), b.get(key))))
    return found


def _differing(a: Any, b: Any) -> tuple[str, str]:
    """What differs, without what is equal; texts for a table."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
        return tuple(", ".join(f"{key} {_text(side.get(key))}" for key in keys) for side in (a, b))
    return _text(a), _text(b)


def _text(value: Any) -> str:
    if value in (None, [], {}, ""):
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True).replace('"', "")
    if len(text) <= _LONGEST:
        return text
    return f"{len(value)} {'entry' if len(value) == 1 else 'entries'}" if isinstance(value, list) else f"{text[: _LONGEST - 1]}…"


def values_of(options: Any, name: str) -> list[Any]:
    """Every value of a key, wherever it stands in nested options, in order."""
    if isinstance(options, Mapping):
        here = [options[name]] if name in options else []
        return here + [value for key, inner in options.items() if key != name for value in values_of(inner, name)]
    if isinstance(options, list | tuple):
        return [value for inner in options for value in values_of(inner, name)]
    return []


def confounds(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """What the published ranking was confounded by: key -> value as text -> the settings that have it; keys that nobody states are left
    out."""
    found: dict[str, dict[str, list[str]]] = {}
    for key in _CONFOUNDS:
        for setting, mine in options.items():
            for value in dict.fromkeys(_text(value) for value in values_of(mine, key)):
                found.setdefault(key, {}).setdefault(value, []).append(setting)
    return found
