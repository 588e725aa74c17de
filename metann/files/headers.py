"""What files say of themselves: JSON from outside, read so that no content of it is more than one line; sealed by its digest."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from metann.errors import MetannError
from metann.files.text import read_json, write_json

_CURE = "delete it and run snakemake again"


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


def _digest(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True, allow_nan=False).encode(), digest_size=8).hexdigest()


def write_sealed_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with a digest of its content as `content`."""
    plain = json.loads(json.dumps(dict(content), allow_nan=False))  # tuples are lists when they are read
    write_json(path, plain | {"content": _digest(plain)})


def read_sealed_json(path: Path, header: type[BaseModel] | None = None, cure: str = _CURE) -> Description:
    """An object of `write_sealed_json`, without its digest.

    Args:
        header: the types of its values.
        cure: what to do about a file that is not as it should be.

    Raises:
        MetannError: as `read_json`, no object, changed since it was written, or values of other types.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise MetannError(f"{path} holds a {type(found).__name__} and no JSON object; {cure}")
    sealed = found.pop("content", None)
    try:
        same = sealed is None or sealed == _digest(found)  # files from before there was one have none
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise MetannError(f"{path} was changed after metann wrote it; {cure}")
    if header is not None:
        check_types(header, found, path, cure)
    return Description.of(found, path, cure)
