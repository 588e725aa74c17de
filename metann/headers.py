"""What files say of themselves: JSON from outside, read so that no content of it is more than one line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from metann.errors import MetannError


def parse_header(raw: bytes | str, path: Path | str) -> dict[str, Any]:
    """A description in JSON as a dictionary; {} where it is none.

    Raises:
        MetannError: nested so deep that no program of ours wrote it.
    """
    try:
        found = json.loads(raw)
    except RecursionError:
        raise MetannError(f"the header of {path} is nested too deep to be ours; make the file again") from None
    except ValueError:  # no JSON, no UTF-8
        return {}
    return found if isinstance(found, dict) else {}


def check_types(header: type[BaseModel], found: Mapping[str, Any], path: Path | str, cure: str) -> None:
    """Refuse a description whose values are of other types than ours.

    Raises:
        MetannError: naming the first key, what it holds and what is needed.
    """
    try:
        header.model_validate(dict(found))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        given = repr(problem["input"])[:60]
        message = problem["msg"].removeprefix("Value error, ")
        says = f"says {key} = {given}" if key else "does not fit itself"
        raise MetannError(f"the header of {path} {says}: {message[0].lower()}{message[1:]}; {cure}") from None
