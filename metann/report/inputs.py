"""What is read of a run to choose a model of it."""

from pathlib import Path

import pandas as pd

from metann import layout
from metann.errors import MetannError, unknown
from metann.report.budget import candidates
from metann.tables.frames import read_frame


def read_candidates(run: Path, batch_size: int = 1) -> tuple[pd.DataFrame, float]:
    """The models of a run, see `metann.report.budget.candidates`, and the confidence of its intervals.

    Args:
        run: its folder.
        batch_size: of the milliseconds, where they were measured.

    Raises:
        MetannError: no finished run, or another batch size than those that were measured.
    """
    if not (run / layout.RESULTS).is_file():
        raise MetannError(f"{run} is not the folder of a finished run (no {layout.RESULTS}); give one, such as results/demo")
    results = read_frame(run / layout.RESULTS, "results")
    path, milliseconds = layout.place(run, layout.TABLE, table=layout.RUN_LATENCY), None
    if path.is_file():
        latency = read_frame(path, layout.RUN_LATENCY)
        milliseconds = latency[latency["batch_size"] == batch_size]
        if milliseconds.empty:
            raise unknown(
                "batch size", batch_size, sorted(set(latency["batch_size"])), f"`latency.batch_sizes` of the configuration of {run}"
            )
    return candidates(results, milliseconds), float(results.attrs["confidence"])
