"""Stage collect_results: all evaluations of a run become its tables and its summary.

The files that it writes below the output folder: results.parquet, summary.md and tables/{name}.parquet for each of `TABLES`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metann.config.statistics import StatisticsSection
from metann.mnn.inputs import read_cells, read_controls, read_evaluations, read_expert_sets

if TYPE_CHECKING:
    pass

TABLES = ("choice", "controls", "curves", "expert_sets", "misclassified")


def collect_results(
    *,
    evaluations: list[Path],
    output: Path,
    expert_sets: list[Path] | None = None,
    controls: list[Path] | None = None,
    statistics: StatisticsSection | None = None,
    figures: list[str] | None = None,
    code: str = "",
) -> None:
    """Collect evaluations into results.parquet, tables/ and summary.md; choose the thresholds on validation, report them on test.

    Parameters
    ----------
    evaluations
        Folders made by evaluate-mnn, one for each seed and dataset threshold.
    output
        Folder of the run; its name stands in the summary.
    expert_sets
        expert_set.json files, or folders that hold some at any depth.
    controls
        Probabilities of plain networks to compare with, of the same seeds.
    statistics
        Confidence of the intervals, and number of permutations.
    figures
        Names of figures that the summary links to.
    code
        Digest of the code, for the metadata (the workflow gives it).
    """
    import pandas as pd

    from metann.files import write_text
    from metann.mnn.choice import choose
    from metann.mnn.controls import at_chosen_cell, curves
    from metann.mnn.mistakes import count_by_threshold, count_mistakes
    from metann.mnn.summary import summarise
    from metann.tables.frames import write_frame

    statistics = statistics or StatisticsSection()
    found = read_evaluations(evaluations)
    first = found[0].metadata
    networks = read_controls(controls or [], {prefix.metadata["seed"] for prefix in found})
    results = read_cells(found)
    choice = choose(results, found, statistics)

    rows: list[dict[str, Any]] = []
    mistakes, lines = [], []
    for prefix in found:
        test, seed = prefix.select("test"), prefix.metadata["seed"]
        chosen = choice[(choice["scope"] == "chosen") & (choice["seed"] == seed)].iloc[0]
        lines += curves(test, statistics.confidence)
        mistakes.append(count_by_threshold(test))
        if chosen["dataset_threshold"] == prefix.metadata["dataset_threshold"]:
            mistakes.append(count_mistakes(test, chosen))
            of_seed = [network for network in networks if network.metadata.get("seed") in (seed, None)]
            rows += at_chosen_cell(test, chosen, of_seed, statistics.confidence)

    tables = {
        "choice": choice,
        "controls": pd.DataFrame(rows),
        "curves": pd.concat(lines, ignore_index=True),
        "expert_sets": read_expert_sets(expert_sets or [], first["class_names"]),
        "misclassified": pd.concat([frame for frame in mistakes if len(frame)], ignore_index=True),
    }
    kept = ("dataset", "digest", "class_names", "network", "architecture", "switch_macs", "expert_macs", "combine", "temperature")
    metadata = {key: first.get(key) for key in kept} | {
        "run": output.resolve().name,
        "seeds": sorted({prefix.metadata["seed"] for prefix in found}),
        "confidence": statistics.confidence,
        "permutations": statistics.permutations,
        "code": code,
    }
    for name, frame in tables.items():
        write_frame(output / "tables" / f"{name}.parquet", frame, name, metadata)
    write_frame(output / "results.parquet", results, "results", metadata)
    text = summarise(tables | {"results": results}, metadata, figures or [])
    write_text(output / "summary.md", text)
    print(next(line for line in text.splitlines() if line.startswith("**")))
