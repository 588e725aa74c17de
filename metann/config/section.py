"""Sections of a configuration in general: reading with one-line errors, and writing as command-line flags."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from metann.errors import MetannError, meant, one_of

MOST = 2**63 - 1
"""The largest whole number that a table can hold."""
Positive = Annotated[int, Field(ge=1, le=MOST)]
NonNegative = Annotated[int, Field(ge=0, le=MOST)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


def at_home(path: Path) -> Path:
    """`~` in a path is a home, as a shell would have it."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise MetannError(f"{path}: there is no such home; write the path in full") from None


AnyPath = Annotated[Path, AfterValidator(at_home)]


def _types(annotation: Any) -> set[Any]:
    """The plain types that values of an annotation have, those in lists and mappings too."""
    inner = () if get_origin(annotation) is Literal else get_args(annotation)
    return set().union(*map(_types, inner)) if inner else {annotation}


def _truths(value: Any) -> bool:
    """Whether a value is true or false, or holds one."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return any(map(_truths, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values never change after reading, and a yes is no number."""

    # The text below a field is its help on the command line.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        given = [] if given == [[]] else given  # what cyclopts makes of the flag of an empty list
        types = _types(cls.model_fields[info.field_name].annotation)
        if types & {int, float} and not types & {bool, Any} and _truths(given):
            raise MetannError(f"{given!r} is or holds true or false, which is how YAML reads yes, no, on and off; write a number")
        return given


def first_problem(error: ValidationError, prefix: str = "") -> str:
    """The first problem of a pydantic error as one line: key, what was given, what is wrong."""
    problem = error.errors(include_url=False)[0]
    location = [part for part in (*prefix.split("."), *map(str, problem["loc"])) if part]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, MetannError):
        return f"{key}: {cause}" if key else str(cause)
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key} = {problem['input']!r}: {message[0].lower()}{message[1:]}"


def _known_keys(section: Any, location: tuple[Any, ...]) -> list[str]:
    """Keys of the (nested) section in which an unknown key was found, also of one that may be null, or one of several."""

    def inner(kind: Any) -> Any:
        """Of `A | None`, `dict[str, A]` or `tuple[A, ...]`, the section A."""
        return next((found for found in reversed(get_args(kind)) if hasattr(found, "model_fields")), kind)

    for part in location[:-1]:
        if hasattr(section, "model_fields"):
            section = section.model_fields[part].annotation
            section = inner(section) if type(None) in get_args(section) else section
        else:  # the part is a key of a dict or a place in a tuple
            section = inner(section)
    return sorted(getattr(section, "model_fields", {}))


Model = TypeVar("Model", bound=BaseModel)


def read_section(section: type[Model], values: Any, prefix: str = "") -> Model:
    """Check `values` against a section.

    Raises:
        MetannError: the first problem, as one line.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        text = first_problem(error, prefix)
        problem = error.errors(include_url=False)[0]
        if problem["type"] == "extra_forbidden":
            known = _known_keys(section, problem["loc"])
            text += f"{meant(str(problem['loc'][-1]), known)}; known: {one_of(known)}"
        raise MetannError(text) from None


def flags(prefix: str, section: BaseModel, part: type[BaseModel] | None = None, leave_out: Collection[str] = ()) -> list[str]:
    """A section as the CLI flags that give it back: `--training.epochs=20 --training.flip ...`.

    Every value is spelled out, also where it equals the default, so that a command in a log stays true when a default
    changes; the order of keys in a file does not matter. Nothing is quoted here; the rules quote each word (`:q`).

    Args:
        prefix: name of the section on the command line; empty: its keys stand there alone.
        section: the values.
        part: a base class of the section, the options of one stage; None: all of it.
        leave_out: keys that are none of the stage's.
    """
    words: list[str] = []
    keys = set((part or type(section)).model_fields) - set(leave_out)
    for key, value in section.model_dump(mode="json", include=keys).items():
        name = key.replace("_", "-")
        flag = f"--{prefix}.{name}" if prefix else f"--{name}"
        if isinstance(value, bool):
            words.append(flag if value else f"--{prefix}.no-{name}" if prefix else f"--no-{name}")
        elif isinstance(value, dict):
            words += [f"{flag}.{inner}={item}" for inner, item in sorted(value.items())]
        elif isinstance(value, list):
            words += [f"{flag}={json.dumps(item, sort_keys=True) if isinstance(item, dict) else item}" for item in value]
            # Without a word a list that has a default would be that.
            words += [] if value or not type(section).model_fields[key].default else [f"{flag}=[]"]
        elif value is not None:
            words.append(f"{flag}={value}")
    return words
