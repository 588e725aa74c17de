"""Mixtures of experts: a gate and its experts, trained together. Names are imported when they are asked for; these need no torch."""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {"Specialisation": "metann.mixture.metrics", "specialisation": "metann.mixture.metrics"},
)
