"""Digests of files from outside, remembered by size, times and place, so that a file is read again only when it may have changed.

The time of the last change of a file's record (ctime) is among them: nobody sets it back, so an older file copied over counts too.
"""

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from metann.errors import MetannError
from metann.files.atomic import atomic
from metann.registry import own_network


def combined(parts: Iterable[str]) -> str:
    """16 hex digits over texts in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def code_without_words(text: str) -> ast.Module:
    """The syntax tree of a module without its docstrings; a tree has no comments and no layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return tree


def source_digest(path: Path) -> str:
    """16 hex digits over the code of a Python file and of the files of its folder that it imports, and so on.

    Raises:
        MetannError: one of them cannot be read, or is no Python.
    """
    todo, parts = [path], {}
    while todo:
        file = todo.pop()
        if file.name in parts:
            continue
        try:
            tree = code_without_words(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError) as error:
            raise MetannError(f"cannot read {file} as Python: {str(error).lower()}; check the path, or mend the file") from None
        parts[file.name] = ast.dump(tree)
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        todo += [beside for name in sorted(names) if (beside := file.with_name(f"{name.split('.')[0]}.py")).is_file()]
    return combined(part for name in sorted(parts) for part in (name, parts[name]))


def own_sources(architectures: Iterable[str]) -> dict[str, dict[str, str]]:
    """{"sources": {architecture: digest of its code}} of a user's own networks, for headers; {} where there are none."""
    own = {name: source_digest(found[0]) for name in sorted(set(architectures)) if (found := own_network(name))}
    return {"sources": own} if own else {}


class FileDigests:
    """Digests by path.

    Attributes:
        memory: where to keep them between two starts; None keeps nothing.
        anew: files that had to be read.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory, self.anew = memory, list[Path]()
        self._known: dict[str, list[object]] = {}
        self._new: dict[str, list[object]] = {}
        self._kept = 0
        if memory is not None:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                found = json.loads(memory.read_text(encoding="utf-8"))
                self._known = {key: value for key, value in found.items() if isinstance(value, list)} if isinstance(found, dict) else {}

    def of(self, path: Path) -> str:
        """16 hex digits over the content of a file.

        Raises:
            MetannError: it cannot be read.
        """
        try:
            status = path.stat()
            key = os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
            state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            known = self._known.get(key)
            if known is not None and known[:-1] == state:
                self._new[key] = known
                return str(known[-1])
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
        except OSError as error:
            raise MetannError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; check the path") from None
        self.anew.append(path)
        self._new[key] = [*state, digest]
        return digest

    def keep(self) -> None:
        """Write down what was asked for; a folder that cannot be written costs time alone."""
        if self.memory is None or len(self.anew) == self._kept:
            return
        with contextlib.suppress(OSError, MetannError):
            with atomic(self.memory) as temporary:
                temporary.write_text(json.dumps(self._known | self._new), encoding="utf-8")
            self._kept = len(self.anew)
