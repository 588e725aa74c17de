"""metann: networks that decide, image by image, how much of themselves to run."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["MetaNeuralNetwork"]


def __getattr__(name: str) -> Any:
    """`metann.MetaNeuralNetwork`, imported when it is asked for: it needs torch."""
    if name in __all__:
        # By name and not by an import statement, which would count inference into the code digest of every training stage.
        import importlib

        return getattr(importlib.import_module("metann.inference"), name)
    raise AttributeError(f"module 'metann' has no attribute {name!r}; known: {', '.join(__all__)}")
