"""Whole files or none: write beside the target, then rename."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metann.errors import MetannError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it takes `path`'s name when the block ends without an error.

    The temporary name carries the process id, so two writers of one file never share it and the last one wins whole.
    It keeps the suffix, because numpy and matplotlib choose a format by it.

    Raises:
        MetannError: the folder cannot be written, or the disk is full. An error of another file that the block reads is the block's
            own and comes out as it is.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if _is_of_another(error, temporary):
            raise
        reason = error.strerror or str(error)
        raise MetannError(f"cannot write {path}: {reason}; free space or permission is needed in {path.parent}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_of_another(error: OSError, temporary: Path) -> bool:
    """Whether an error is not about writing `temporary`: it names another file, or names none and says that something is missing."""
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
    if named:
        return not any(name == temporary or name in temporary.parents for name in named)
    return isinstance(error, FileNotFoundError)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path) -> str:
    """Read UTF-8 text.

    Raises:
        MetannError: the file is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MetannError(f"no file {path}; run the stage that makes it, or check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MetannError(f"cannot read {path} as text: {error}; delete it and run snakemake again") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, whole or not at all; a number that is not finite is refused (ValueError)."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        MetannError: the file is missing or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise MetannError(f"cannot read {path} as JSON: {error}; delete it and run snakemake again") from None
