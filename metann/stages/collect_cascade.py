"""Stage collect_cascade: the summary of a run's cascades."""

from pathlib import Path

TABLES = ("results", "networks", "complementarity", "in_sample", "chains", "frontier", "pairs", "choice")


def collect_cascade(
    *, run: Path, memory: list[Path], output: Path, reports: list[Path] | None = None, figures: list[str] | None = None
) -> None:
    """Write tables/cascade_memory.parquet and the summary: which pair at which threshold, what it gains, and what it costs.

    Parameters
    ----------
    run
        Folder of the run, with the tables of choose-cascade.
    memory
        memory.parquet of replay-memory, of every seed.
    output
        The Markdown file to write.
    reports
        report.json of run-cascade, of every seed; none for imported tables.
    figures
        Names of figures that the summary links to.
    """
    import pandas as pd

    from metann.cascade.inputs import read_report
    from metann.cascade.summary import summarise
    from metann.files.text import write_text
    from metann.tables.frames import read_frame, write_frame
    from metann.workflow.provenance import stage_code

    tables = {name: read_frame(run / "tables" / f"cascade_{name}.parquet", f"cascade_{name}") for name in TABLES}
    parts = [read_frame(path, "cascade_memory") for path in memory]
    tables["memory"] = pd.concat(parts, ignore_index=True)
    metadata = tables["choice"].attrs
    kept = {key: metadata[key] for key in ("run", "dataset", "digest", "seeds")} | {
        "capacity": parts[0].attrs["capacity"],
        "code": stage_code("collect_cascade", captions=figures or ()),
    }
    write_frame(run / "tables" / "cascade_memory.parquet", tables["memory"], "cascade_memory", kept)
    text = summarise(tables, metadata, [read_report(path) for path in reports or []], figures or [])
    write_text(output, text)
    print(next(line for line in text.splitlines() if line.startswith("**")))
