"""Cascades: a cheap network, and another one when the first is unsure. Pure functions on tables; no files, no torch."""

from metann.cascade.complementarity import balanced_one_right, exactly_one_right
from metann.cascade.rule import Decisions, decide
from metann.cascade.search import FoundThreshold, Sweep, UnreachableError, choose, search_threshold, sweep_thresholds

__all__ = [
    "Decisions",
    "FoundThreshold",
    "Sweep",
    "UnreachableError",
    "balanced_one_right",
    "choose",
    "decide",
    "exactly_one_right",
    "search_threshold",
    "sweep_thresholds",
]
