"""Cascades: a cheap network, and another one when the first is unsure. Names are imported when they are asked for."""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "Decisions": "metann.cascade.rule",
        "FoundThreshold": "metann.cascade.search",
        "Sweep": "metann.cascade.search",
        "UnreachableError": "metann.cascade.search",
        "balanced_one_right": "metann.cascade.complementarity",
        "choose": "metann.cascade.search",
        "decide": "metann.cascade.rule",
        "exactly_one_right": "metann.cascade.complementarity",
        "search_threshold": "metann.cascade.search",
        "sweep_thresholds": "metann.cascade.search",
    },
)
