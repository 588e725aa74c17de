"""Stage collect_results: all evaluations of a run become its tables and its summary.

The files that it writes below the output folder: results.parquet, summary.md and tables/{name}.parquet for each of `TABLES`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metann.config.run import StatisticsSection

if TYPE_CHECKING:
    import pandas as pd

    from metann.mnn.prefix import Prefix
    from metann.tables.probabilities import Probabilities

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
    found = _read_evaluations(evaluations)
    first = found[0][1].metadata
    networks = _read_controls(controls or [], {prefix.metadata["seed"] for _, prefix in found})
    results = _read_cells(found)
    choice = choose(results, [prefix for _, prefix in found], statistics)

    rows: list[dict[str, Any]] = []
    mistakes, lines = [], []
    for path, prefix in found:
        test, seed = prefix.select("test"), prefix.metadata["seed"]
        chosen = choice[(choice["scope"] == "chosen") & (choice["seed"] == seed)].iloc[0]
        lines += curves(test, statistics.confidence)
        mistakes.append(count_by_threshold(test))
        if chosen["dataset_threshold"] == prefix.metadata["dataset_threshold"]:
            mistakes.append(count_mistakes(test, chosen))
            of_seed = [(file, network) for file, network in networks if network.metadata.get("seed") in (seed, None)]
            rows += at_chosen_cell(test, chosen, of_seed, statistics.confidence, path)

    tables = {
        "choice": choice,
        "controls": pd.DataFrame(rows),
        "curves": pd.concat(lines, ignore_index=True),
        "expert_sets": _read_expert_sets(expert_sets or [], first["class_names"]),
        "misclassified": pd.concat([frame for frame in mistakes if len(frame)], ignore_index=True),
    }
    kept = ("dataset", "digest", "class_names", "network", "architecture", "switch_macs", "expert_macs", "combine", "temperature")
    metadata = {key: first.get(key) for key in kept} | {
        "run": output.resolve().name,
        "seeds": sorted({prefix.metadata["seed"] for _, prefix in found}),
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


def _read_evaluations(folders: Sequence[Path]) -> "list[tuple[Path, Prefix]]":
    """Prefix tables in order of seed and dataset threshold, all of one dataset and one way to evaluate."""
    from metann.errors import MetannError
    from metann.mnn.prefix import Prefix
    from metann.tables.frames import read_arrow

    found = []
    for folder in folders:
        path = folder / "prefix.parquet" if folder.suffix != ".parquet" else folder
        arrow, metadata = read_arrow(path, "prefix")
        columns = {name: arrow.column(name).to_numpy() for name in arrow.column_names}
        found.append((path, Prefix.of(columns, metadata)))
    if not found:
        raise MetannError("no evaluation given; give the folders that evaluate-mnn wrote")
    found.sort(key=lambda pair: (pair[1].metadata["seed"], pair[1].metadata["dataset_threshold"]))
    first_path, first = found[0]
    seen: dict[tuple[int, float], Path] = {}
    for path, prefix in found:
        for key in ("digest", "class_names", "combine", "temperature", "network", "switch_functions"):
            if prefix.metadata.get(key) != first.metadata.get(key):
                raise MetannError(f"{path} has another {key} than {first_path}; evaluate both in one run")
        if prefix.splits != ("val", "test"):
            raise MetannError(
                f"{path} has no {'test' if 'val' in prefix.splits else 'val'} images; both are needed: val chooses, test reports"
            )
        cell = prefix.metadata["seed"], prefix.metadata["dataset_threshold"]
        if cell in seen:
            raise MetannError(f"seed {cell[0]} and dataset threshold {cell[1]} are given twice: {seen[cell]} and {path}")
        seen[cell] = path
    seeds, thresholds = sorted({seed for seed, _ in seen}), sorted({threshold for _, threshold in seen})
    for seed in seeds:
        for threshold in thresholds:
            if (seed, threshold) not in seen:
                raise MetannError(f"seed {seed} has no dataset threshold {threshold}, other seeds have; evaluate it too")
    return found


def _read_cells(found: "Sequence[tuple[Path, Prefix]]") -> "pd.DataFrame":
    """results.parquet: the cells that each prefix table names."""
    import pyarrow as pa

    from metann.mnn.choice import functions_of
    from metann.tables.frames import read_arrow

    parts = [read_arrow(path.parent / "cells" / f"{f.slug}.parquet", "cell")[0] for path, prefix in found for f in functions_of(prefix)]
    return pa.concat_tables(part.replace_schema_metadata(None) for part in parts).to_pandas()


def _read_controls(paths: Sequence[Path], seeds: set[int]) -> "list[tuple[Path, Probabilities]]":
    from metann.errors import MetannError, one_of
    from metann.tables.probabilities import read_probabilities

    found = [(path, read_probabilities(path, "test")) for path in paths]
    for path, table in found:
        if table.metadata.get("seed") not in {*seeds, None}:
            raise MetannError(f"control {path} is of seed {table.metadata['seed']}; the evaluations have {one_of(seeds)}")
    return found


def _read_expert_sets(paths: Sequence[Path], class_names: Sequence[str]) -> "pd.DataFrame":
    """One row per seed, dataset threshold, expert and true class: how many images of the class the expert learned from."""
    import pandas as pd

    from metann.errors import MetannError
    from metann.files import read_json

    files = [file for path in paths for file in (sorted(path.rglob("expert_set.json")) if path.is_dir() else [path])]
    rows: list[dict[str, Any]] = []
    for file in files:
        facts = read_json(file)
        try:
            described = {key: facts[key] for key in ("seed", "dataset_threshold", "class", "state", "size", "val_size")}
            pairs = list(zip(facts["composition"], facts["val_composition"], strict=True))
            described["class_name"] = class_names[facts["class"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise MetannError(f"{file} does not describe an expert set ({error!r}); delete it and run snakemake again") from None
        if len(pairs) != len(class_names):
            raise MetannError(f"{file} counts {len(pairs)} classes, the evaluations have {len(class_names)}; give the sets of this run")
        rows += [
            described | {"true_class": c, "true_name": class_names[c], "images": images, "val_images": val_images}
            for c, (images, val_images) in enumerate(pairs)
        ]
    columns = [
        "seed",
        "dataset_threshold",
        "class",
        "class_name",
        "true_class",
        "true_name",
        "images",
        "val_images",
        "size",
        "val_size",
        "state",
    ]
    return pd.DataFrame(rows, columns=columns).sort_values([*columns[:3], "true_class"], ignore_index=True)
