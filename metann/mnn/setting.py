"""A setting of the meta neural network: which experts are asked, and how their answers become one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metann.function_call import SwitchFunction
from metann.thresholds import parse_threshold

if TYPE_CHECKING:
    import pandas as pd

    from metann.mnn.prefix import Prefix


@dataclass(frozen=True)
class Rule:
    """How switch and experts are put together.

    Attributes:
        switch_function: such as `threshold(0.17)`.
        combine: a rule of metann.mnn.RULES.
        prior_K: base rates, for product_calibrated only.
        switch_temperature: divides the switch's logits.
        expert_temperatures_K: divide the experts' log-odds, or logits; both temperatures or neither.
        weights: of switch and experts, for product_calibrated only.
        for_all_classes: experts answer with probabilities of all classes, and not of their own.
    """

    switch_function: str
    combine: str = "product"
    prior_K: tuple[float, ...] | None = None
    switch_temperature: float | None = None
    expert_temperatures_K: tuple[float, ...] | None = None
    weights: tuple[float, float] = (1.0, 1.0)
    for_all_classes: bool = False


def functions_in(test_thresholds: Iterable[float], switch_functions: Iterable[str]) -> list[SwitchFunction]:
    """The switch functions that are evaluated, each once, thresholds first."""
    found = [SwitchFunction(name="threshold", parameters=(parse_threshold(t),)) for t in test_thresholds]
    found += [SwitchFunction.parse(text) for text in switch_functions]
    return list({function.slug: function for function in found}.values())


def functions_of(prefix: "Prefix") -> list[SwitchFunction]:
    """The switch functions that were evaluated."""
    return [SwitchFunction.parse(text) for text in prefix.metadata["switch_functions"]]


def function_of(row: "pd.Series") -> SwitchFunction:
    """The switch function of a row of results or of the choice."""
    return SwitchFunction.parse(f"{row['switch_function']}({row['parameter']})")
