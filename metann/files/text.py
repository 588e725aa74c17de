"""Texts and JSON in files: read with one line for what is wrong, written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from metann.errors import MetannError, failed_system
from metann.files.atomic import atomic


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
    except OSError as error:
        raise failed_system(path, error) from None
    except UnicodeDecodeError as error:
        raise MetannError(f"cannot read {path} as text: {error}; delete it and run snakemake again") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, whole or not at all; a number that is not finite is refused (ValueError)."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        MetannError: the file is missing or not JSON, or the system cannot read it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MetannError(f"no file {path}; run the stage that makes it, or check the path") from None
    except OSError as error:
        raise failed_system(path, error) from None
    except RecursionError:
        raise MetannError(f"cannot read {path} as JSON: it is nested too deep to be ours; delete it and run snakemake again") from None
    except (UnicodeDecodeError, json.JSONDecodeError, ValueError) as error:
        raise MetannError(f"cannot read {path} as JSON: {error}; delete it and run snakemake again") from None
