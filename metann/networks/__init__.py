"""Architectures: one file for each family, with the literal `NAMES` and `build`; what begins with an underscore is none."""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "build": "metann.networks._build",
    },
)
