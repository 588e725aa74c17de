"""Mixtures of experts: a gate and its experts, trained together. Public names are imported when they are asked for."""

import importlib
from typing import Any

_HOMES = {"Specialisation": "metrics", "specialisation": "metrics"}
__all__ = ["Specialisation", "specialisation"]


def __getattr__(name: str) -> Any:
    """`metann.mixture.specialisation`, from the module that holds it."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"metann.mixture.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'metann.mixture' has no attribute {name!r}; known: {', '.join(__all__)}")
