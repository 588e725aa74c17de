"""Stage collect_mnn: all evaluations of a run become its tables and its page."""

from pathlib import Path
from typing import Any

from metann.config.statistics import StatisticsSection

TABLES = ("results", "choice", "controls", "curves", "expert_sets", "misclassified", "self_check", "settings")


def collect_mnn(
    *,
    evaluations: list[Path],
    output: Path,
    expert_sets: list[Path] | None = None,
    controls: list[Path] | None = None,
    opinions: list[Path] | None = None,
    longer: str | None = None,
    statistics: StatisticsSection | None = None,
    figures: list[str] | None = None,
) -> None:
    """Collect evaluations into tables/mnn_*.parquet and mnn.md; choose the thresholds on validation, report them on test.

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
    opinions
        Probabilities of networks that are asked when the switch is unsure: another seed of it, the generic expert; of the same seeds.
    longer
        Which of the controls was trained as long as switch and experts together.
    statistics
        Confidence of the intervals, and number of permutations.
    figures
        Names of figures that the summary links to.
    """
    import pandas as pd

    from metann import layout
    from metann.files.text import write_text
    from metann.mnn.choice import choose, settings
    from metann.mnn.controls import at_chosen_cell, curves
    from metann.mnn.inputs import read_cells, read_controls, read_evaluations, read_expert_sets, read_self_checks
    from metann.mnn.mistakes import count_by_threshold, count_mistakes
    from metann.mnn.summary import summarise
    from metann.tables.frames import write_frame
    from metann.workflow.provenance import stage_code

    statistics = statistics or StatisticsSection()
    found = read_evaluations(evaluations)
    first = found[0].metadata
    seeds = {prefix.metadata["seed"] for prefix in found}
    networks = [table.select("test") for table in read_controls(controls or [], seeds)]
    others = read_controls(opinions or [], seeds)
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
            of_seed = [[table for table in tables if table.metadata.get("seed") in (seed, None)] for tables in (networks, others)]
            rows += at_chosen_cell(prefix, chosen, *of_seed, statistics.confidence)

    tables = {
        "results": results,
        "choice": choice,
        "controls": pd.DataFrame(rows),
        "curves": pd.concat(lines, ignore_index=True),
        "expert_sets": read_expert_sets(expert_sets or [], first["class_names"]),
        "misclassified": pd.concat([frame for frame in mistakes if len(frame)], ignore_index=True),
        "self_check": read_self_checks(found),
        "settings": settings(results, choice, statistics.confidence),
    }
    kept = (
        "dataset",
        "digest",
        "class_names",
        "network",
        "architecture",
        "switch_macs",
        "expert_macs",
        "combine",
        "temperature",
        "for_all_classes",
    )
    metadata = {key: first.get(key) for key in kept} | {
        "run": output.resolve().name,
        "seeds": sorted({prefix.metadata["seed"] for prefix in found}),
        "confidence": statistics.confidence,
        "permutations": statistics.permutations,
        "longer": longer,
        "opinions": sorted({table.network for table in others}),
        "compared": sorted({table.network for table in networks}),
        "code": stage_code("collect_mnn", captions=figures or ()),
    }
    for name in TABLES:
        write_frame(layout.place(output, layout.TABLE, table=f"mnn_{name}"), tables[name], f"mnn_{name}", metadata)
    text = summarise(tables, metadata, figures or [])
    write_text(layout.place(output, layout.PAGE, family="mnn"), text)
    print(next(line for line in text.splitlines() if line.startswith("**")))
