"""Stage collect_hypernetwork: all generators of a run become its tables and its page."""

from pathlib import Path


def collect_hypernetwork(
    *,
    evaluations: list[Path],
    output: Path,
    networks: list[Path] | None = None,
    figures: list[str] | None = None,
) -> None:
    """Write hypernetwork.md and tables/hypernetwork_*.parquet: what z alone can do, against which arm, with which certainty.

    Parameters
    ----------
    evaluations
        Folders that evaluate-hypernetwork wrote, of every experiment, generator and seed.
    output
        Folder of the run; its name stands on the page.
    networks
        Probabilities of plain networks that the classifier for all classes is compared with.
    figures
        Names of figures that the page links to.
    """
    from metann.files.text import write_text
    from metann.hypernetwork.choice import arm_means, difference_rows, generator_rows, setting_rows
    from metann.hypernetwork.inputs import read_evaluated, read_networks
    from metann.hypernetwork.summary import summarise
    from metann.hypernetwork.verdicts import verdict_rows
    from metann.tables.frames import write_frame
    from metann.workflow.provenance import stage_code

    tables, generators = read_evaluated(evaluations)
    first = next(iter(generators.values()))
    confidence = first["confidence"]
    tables["networks"] = read_networks(networks or [], first, confidence)
    tables["arms"] = arm_means(tables["results"], confidence)
    tables["differences"] = difference_rows(tables["results"], confidence)
    tables["generators"] = generator_rows(tables["reliance"], tables["results"])
    tables["settings"] = setting_rows(tables["multiclass"])
    tables["verdicts"] = verdict_rows(tables, confidence)
    metadata = {key: first.get(key) for key in ("dataset", "digest", "class_names", "confidence")} | {
        "run": output.resolve().name,
        "seeds": sorted(int(seed) for seed in tables["results"]["seed"].unique()),
        "generators": {
            name: {
                key: facts.get(key)
                for key in ("scheme", "held_out", "bound", "z", "z_size", "numbers", "parameters", "macs", "dropped_test_images")
            }
            for name, facts in generators.items()
        },
        "code": stage_code("collect_hypernetwork", figures=figures or ()),
    }
    for name, frame in tables.items():
        write_frame(output / "tables" / f"hypernetwork_{name}.parquet", frame, f"hypernetwork_{name}", metadata)
    text = summarise(tables, metadata, figures or [])
    write_text(output / "hypernetwork.md", text)
    print(next(line for line in text.splitlines() if line.startswith("**")))
