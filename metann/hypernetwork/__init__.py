"""Hypernetworks: a generator writes a classifier from a small task vector. Names are imported when they are asked for."""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "Task": "metann.hypernetwork.tasks",
        "build_generator": "metann.hypernetwork.generators",
        "build_tasks": "metann.hypernetwork.tasks",
        "reliance": "metann.hypernetwork.measures",
    },
)
