"""What files say of themselves: JSON from outside, read so that no content of it is more than one line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from metann.errors import MetannError


class Description(dict[str, Any]):
    """What a file says of itself; asked for a key that it lacks, it names the file.

    Attributes:
        path: of the file.
        cure: what to do about a file that is not as it should be.
    """

    path: Path | str = "a file"
    cure: str = "make it again"

    @classmethod
    def of(cls, found: Mapping[str, Any], path: Path | str, cure: str) -> "Description":
        """What `path` says."""
        said = cls(found)
        said.path, said.cure = path, cure
        return said

    def __missing__(self, key: str) -> Any:
        raise MetannError(f"the header of {self.path} lacks {key!r}; {self.cure}")

    def __or__(self, other: Any) -> "Description":
        return self.of({**self, **other}, self.path, self.cure)

    def __ror__(self, other: Any) -> "Description":
        return self.of({**other, **self}, self.path, self.cure)


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
    """Refuse a description whose values are of other types than ours, or that lacks one.

    Raises:
        MetannError: naming the first key, what it holds and what is needed.
    """
    try:
        header.model_validate(dict(found))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "missing":
            raise MetannError(f"the header of {path} lacks {key!r}; {cure}") from None
        given = repr(problem["input"])[:60]
        message = problem["msg"].removeprefix("Value error, ")
        says = f"says {key} = {given}" if key else "does not fit itself"
        raise MetannError(f"the header of {path} {says}: {message[0].lower()}{message[1:]}; {cure}") from None
    except RecursionError:
        raise MetannError(f"the header of {path} is nested too deep to be ours; {cure}") from None
