"""metann: networks that decide, image by image, how much of themselves to run."""

from metann.registry import lazy_names

__version__ = "0.1.0"

__getattr__ = lazy_names(
    __name__,
    {
        "Cascade": "metann.cascade.model",
        "MetaNeuralNetwork": "metann.mnn.model",
        "draw": "metann.report.redraw",
        "load": "metann.model",
    },
)
