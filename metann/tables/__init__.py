"""The currency between stages: typed Parquet tables with a description and a seal."""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "align": "metann.tables.join",
        "read_probabilities": "metann.tables.probabilities",
        "read_samples": "metann.tables.probabilities",
        "read_together": "metann.tables.together",
    },
)
