"""What is asked of configuration files before Snakemake's reading of them is believed: YAML forgets the first of two equal keys."""

import codecs
import contextlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from metann.errors import MetannError

_FLAGS = tuple("--configfiles"[:length] for length in range(len("--configf"), len("--configfiles") + 1))  # argparse takes beginnings
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def refuse_unreadable(files: Iterable[str | Path]) -> None:
    """End with one line where a file is no text that Snakemake can read; for profiles/default/config.yaml and the Snakefile.

    Snakemake reads the files of `--configfile` before any rule, and answers bytes that it does not know with a traceback; its profile
    is read before that. A SystemExit, because Snakemake takes every other kind for a fault of the profile.
    """
    try:
        for file in files:
            check_text(Path(file))
    except MetannError as error:
        sys.exit(f"metann: error: config: {error}")


def chosen_files(arguments: Sequence[str]) -> list[str]:
    """The files behind `--configfile` on Snakemake's command line."""
    found, takes = [], False
    for word in arguments:
        flag, equals, value = word.partition("=")
        if flag in _FLAGS:
            takes = not equals
            found += [value] if equals else []
        elif word.startswith("-"):
            takes = False
        elif takes:
            found.append(word)
    return found


def check_text(file: Path) -> None:
    """Refuse a configuration that is not there, or no YAML in UTF-8.

    Raises:
        MetannError: another encoding, no file, no YAML, or no keys; naming the line where there is one.
    """
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise MetannError(f"no file {file}; check the path behind --configfile") from None
    except OSError as error:
        raise MetannError(f"cannot read {file.name}: {(error.strerror or str(error)).lower()}; give a file of text") from None
    mark = next((name for bytes_, name in _MARKS.items() if raw.startswith(bytes_)), None)
    if mark or b"\0" in raw:
        kind = mark or ("UTF-16" if raw.count(b"\0") * 3 > len(raw) else "no text")
        raise MetannError(f"{file.name} is {kind}, and UTF-8 is needed; save it as UTF-8 (in an editor: 'Save as', encoding UTF-8)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise MetannError(
            f"{file.name}, line {line}: byte {raw[error.start]:#04x} is no UTF-8 (Latin-1?); save the file as UTF-8"
        ) from None
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(json.loads(text), dict):  # with tabs, which YAML forbids
            return
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        if len(nodes) == 1:
            yaml.safe_load(text)  # a tag that nobody knows, a key that is a list
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
        line = "" if where is None else f", line {where.line + 1}"
        raise MetannError(f"{file.name}{line} is no YAML: {reason}; indent with spaces, and close what is open") from None
    except RecursionError:
        raise MetannError(f"{file.name} is nested too deep to be a configuration; see config.yaml for one") from None
    except (ValueError, TypeError) as error:  # a date that no calendar has
        raise MetannError(f"{file.name} holds a value that YAML cannot read ({error}); put it in quotes") from None
    if line := next((found for node in nodes if node is not None and (found := _contains_itself(node))), 0):
        raise MetannError(f"{file.name}, line {line}: the value there contains itself (an alias * within its anchor &); write it out")
    if len(nodes) != 1 or not isinstance(nodes[0], yaml.MappingNode):
        found = "is empty" if not nodes else "holds several documents (---)" if len(nodes) > 1 else "has no keys at its top"
        raise MetannError(f"{file.name} {found}; a configuration is one list of 'key: value', see config.yaml")


def _contains_itself(node: yaml.Node) -> int:
    """The line of a node that is a part of itself; 0 where there is none."""
    above, done = set[int](), set[int]()
    stack = [(node, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            above.discard(id(node))
            done.add(id(node))
        elif id(node) in above:
            return node.start_mark.line + 1
        elif id(node) not in done and isinstance(node, yaml.CollectionNode):
            above.add(id(node))
            parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            stack += [(node, True), *((part, False) for part in parts)]
    return 0


def check_configuration(
    files: Sequence[Path | str], chosen: Sequence[Path | str], arguments: Sequence[str], config: Mapping[str, Any]
) -> None:
    """Refuse what would silently not count.

    Args:
        files: all configuration files that Snakemake has read.
        chosen: those of the command line; none where config.yaml counts.
        arguments: of Snakemake's command line.
        config: what Snakemake made of the files.

    Raises:
        MetannError: a key that stands twice, a second `--configfile`, or a file that names no run.
    """
    flags = [word for word in arguments if word.split("=")[0] in _FLAGS]
    if len(flags) > 1:
        raise MetannError(
            "--configfile is given twice and Snakemake takes the last alone; give the files behind one, the later over the earlier: "
            "--configfile a.yaml b.yaml"
        )
    for file in files:
        check_keys(Path(file))
    if chosen and "run" not in config:
        names = ", ".join(Path(file).name for file in chosen)
        raise MetannError(f"{names} has no key 'run'; a file of --configfile is a whole run, not a change to config.yaml: give it a name")


def check_keys(file: Path) -> None:
    """Refuse a key that stands twice in one mapping; a file that is not there, or no YAML, is Snakemake's to name.

    Raises:
        MetannError: naming the key and both lines.
    """
    try:
        text = file.read_text(encoding="utf-8")
        _json_twice(text, file)
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    for path, first, second in _twice(documents):
        raise MetannError(
            f"{file.name}: key {path!r} stands twice, in lines {first} and {second}; the first would not count: put them together"
        )


def _json_twice(text: str, file: Path) -> None:
    """The same of JSON, which may have tabs, so that YAML does not read it; its keys have no lines.

    Raises:
        MetannError: naming the key.
    """

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise MetannError(f"{file.name}: key {twice!r} stands twice in one mapping; the first would not count: put them together")
        return dict(found)

    if "\t" in text:
        with contextlib.suppress(json.JSONDecodeError, RecursionError):
            json.loads(text, object_pairs_hook=pairs)


def _twice(documents: Iterable[yaml.Node | None]) -> Iterable[tuple[str, int, int]]:
    """(key, line, line) of every repetition; nodes are walked and not built, so that merged keys are no repetitions."""
    stack = [(node, "") for node in documents if node is not None]
    seen: set[int] = set()
    while stack:
        node, path = stack.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            stack += [(item, path) for item in node.value]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name = f"{path}.{key.value}" if path else str(key.value)
            stack.append((value, name))
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                line = key.start_mark.line + 1
                if (key.tag, key.value) in lines:
                    yield name, lines[key.tag, key.value], line
                lines.setdefault((key.tag, key.value), line)
