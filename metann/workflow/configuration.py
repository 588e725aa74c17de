"""What is asked of configuration files before Snakemake's reading of them is believed: YAML forgets the first of two equal keys."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from metann.errors import MetannError


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
    flags = [word for word in arguments if word.split("=")[0] in ("--configfile", "--configfiles")]
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
        documents = list(yaml.compose_all(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    for path, first, second in _twice(documents):
        raise MetannError(
            f"{file.name}: key {path!r} stands twice, in lines {first} and {second}; the first would not count: put them together"
        )


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
