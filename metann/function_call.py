"""A function with numbers, as a configuration writes it: `top_k(2)`."""

import math
import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from metann import registry
from metann.errors import MetannError, unknown
from metann.thresholds import DECIMALS, format_threshold, rounds_away

_MOST = 1_000_000  # classes


class SwitchFunction(BaseModel):
    """A switch function with its parameters, as written in the configuration: `top_p(0.9)`."""

    model_config = ConfigDict(frozen=True)
    name: str
    parameters: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "SwitchFunction":
        """Read `name(number, ...)`; thresholds and shares stay in [0, 1], counts are whole.

        Raises:
            MetannError: unknown function, wrong number of parameters, or a parameter out of range.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", str(text))
        known = registry.switch_functions()
        if match is None or match[1] not in known:
            raise unknown("switch function", text, (f"{n}({', '.join(p)})" for n, p in known.items()), "metann/mnn/switch_functions.py")
        names, given = known[match[1]], [part.strip() for part in (match[2] or "").split(",") if part.strip()]
        try:
            numbers = tuple(float(part) for part in given)
        except ValueError:
            numbers = ()
        if len(numbers) != len(names):
            raise MetannError(f"switch function {text!r} takes ({', '.join(names)}), each a number")
        for name, number in zip(names, numbers, strict=True):
            whole = name == "k"
            if (
                not math.isfinite(number)
                or (whole and (not 0 <= number <= _MOST or number != int(number)))
                or (not whole and not 0 <= number <= 1)
            ):
                raise MetannError(
                    f"switch function {text!r}: {name} must be {f'a whole number from 0 to {_MOST}' if whole else 'in [0, 1]'}"
                )
            if not whole and rounds_away(number):
                raise MetannError(
                    f"switch function {text!r}: {name} = {number} would be {round(number, DECIMALS):g}, as names keep 6 decimals"
                )
        numbers = tuple(number if name == "k" else round(number, DECIMALS) for name, number in zip(names, numbers, strict=True))
        return cls(name=match[1], parameters=numbers)

    def _texts(self) -> list[str]:
        names = registry.switch_functions()[self.name]
        return [str(int(v)) if n == "k" else format_threshold(v) for n, v in zip(names, self.parameters, strict=True)]

    @property
    def parameter(self) -> str:
        """The parameters as text, `0.90` or `0.50, 2`; empty where there are none."""
        return ", ".join(self._texts())

    @property
    def slug(self) -> str:
        """A file name: `top_p_0.90`."""
        return "_".join([self.name, *self._texts()])

    def __str__(self) -> str:
        return f"{self.name}({self.parameter})" if self.parameters else self.name


def read_call(text: object, kind: str, known: Mapping[str, tuple[str, ...] | None], where: str = "") -> tuple[str, tuple[float, ...]]:
    """Read `name(number, ...)` as one of the known functions.

    Args:
        text: such as `top_k(2)`, or a bare `soft`.
        kind: what it is, for an error's text.
        known: name -> names of its parameters; None takes one number or more.
        where: the file in which another could be added.

    Returns:
        its name and its numbers; `k` and `epoch` are whole and at least 1, all others finite.

    Raises:
        MetannError: an unknown function, a wrong number of parameters, or one that is no such number.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", str(text))
    if match is None or match[1] not in known:
        forms = [name + ("(...)" if wanted is None else f"({', '.join(wanted)})" if wanted else "") for name, wanted in known.items()]
        raise unknown(kind, text, forms, where)
    wanted, given = known[match[1]], [part.strip() for part in (match[2] or "").split(",") if part.strip()]
    try:
        numbers = tuple(float(part) for part in given)
    except ValueError:
        numbers = (math.nan,)
    names = ("value",) * max(len(numbers), 1) if wanted is None else wanted
    if len(numbers) != len(names) or not all(map(math.isfinite, numbers)):
        raise MetannError(f"{kind} {text!r} takes ({', '.join(names)}), each a number")
    for name, number in zip(names, numbers, strict=True):
        if name in ("k", "epoch") and (number < 1 or number != int(number)):
            raise MetannError(f"{kind} {text!r}: {name} must be a whole number >= 1")
    return match[1], numbers
