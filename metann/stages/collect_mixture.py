"""Stage collect_mixture: the tables and the page of a run's mixtures, over all settings and seeds."""

from pathlib import Path

from metann.config.statistics import StatisticsSection

TABLES = ("experts", "confusion", "history", "pictures")
"""Read from every evaluation and put together; the others are made here."""


def collect_mixture(
    *,
    evaluations: list[Path],
    run: Path,
    output: Path,
    controls: list[Path] | None = None,
    roles: list[str] | None = None,
    figures: list[str] | None = None,
    statistics: StatisticsSection = StatisticsSection(),
) -> None:
    """Write tables/mixture_{name}.parquet and the page: which method has the lowest error, which the cleanest decomposition, what
    they are worth against the controls, and which runs collapsed.

    Parameters
    ----------
    evaluations
        Folders made by evaluate-mixture: every setting with every seed.
    run
        Folder of the run, for its tables.
    output
        The Markdown file to write.
    controls
        probabilities.parquet of more dense networks, each with every seed; settings of one expert are controls already.
    roles
        What each of these networks is, NETWORK:ROLE; roles are one_expert, gate_alone, same_parameters and same_active_macs.
    figures
        Names of figures that the page links to.
    statistics
        Confidence of the intervals.
    """
    import pandas as pd

    from metann.errors import MetannError
    from metann.files.text import write_text
    from metann.mixture.choice import settings
    from metann.mixture.comparisons import choice_frame, comparisons_frame, methods_frame, seeds_of
    from metann.mixture.controls import check_all, control_rows, controls_frame, parse_roles
    from metann.mixture.evaluation import alarm
    from metann.mixture.inputs import read_answers, read_control
    from metann.mixture.summary import summarise
    from metann.tables.frames import read_frame, write_frame
    from metann.tables.join import align
    from metann.workflow.provenance import stage_code

    if not evaluations:
        raise MetannError("no evaluation given; give the folders that evaluate-mixture wrote")
    confidence = statistics.confidence
    parts = [read_frame(folder / "run.parquet", "mixture_run") for folder in evaluations]
    facts = {part.attrs["setting"]: part.attrs for part in parts}
    runs = pd.concat(parts, ignore_index=True)
    reference, _ = read_answers(evaluations[0] / "answers.parquet")
    right = {}
    for folder, part in zip(evaluations, parts, strict=True):
        images, right_N = read_answers(folder / "answers.parquet")
        right_N = right_N[align(reference, images)]
        for split in ("val", "test"):
            right[part.attrs["setting"], part.attrs["seed"], split] = right_N[reference.split == split]
    named, rows = parse_roles(roles or []), []
    for path in controls or []:
        answers = read_control(path, reference)
        if answers.name not in named:
            raise MetannError(f"{path}: network {answers.name!r} has no role; give one, such as --roles={answers.name}:same_parameters")
        rows += control_rows(answers, named[answers.name], confidence)
        for split in ("val", "test"):
            right[answers.name, answers.seed, split] = answers.right[reference.split == split]
    beside = controls_frame(rows)
    check_all(runs, beside)

    options = {name: attrs.get("options") or {} for name, attrs in facts.items()}
    chosen = choice_frame(runs, right, confidence)
    tables = {"runs": runs, "controls": beside, "choice": chosen, "methods": methods_frame(runs, beside, confidence)}
    tables["settings"] = settings(runs, beside, chosen)
    tables["comparisons"] = comparisons_frame(runs, beside, right, options, chosen, confidence)
    for name in TABLES:
        frames = [read_frame(folder / f"{name}.parquet", f"mixture_{name}") for folder in evaluations]
        filled = [frame for frame in frames if len(frame)]
        tables[name] = pd.concat(filled, ignore_index=True) if filled else frames[0]
    first = parts[0].attrs
    kept = {key: first.get(key) for key in ("dataset", "digest", "class_names")} | {"run": run.resolve().name, "seeds": seeds_of(runs)}
    kept |= {"confidence": confidence, "options": options, "class_sets": {name: attrs.get("class_sets") for name, attrs in facts.items()}}
    kept |= {
        "architectures": {name: attrs.get("architecture") for name, attrs in facts.items()},
        "code": stage_code("collect_mixture", figures=figures or ()),
    }
    for name, frame in tables.items():
        write_frame(run / "tables" / f"mixture_{name}.parquet", frame, f"mixture_{name}", kept)
    text = summarise(tables, kept, figures or [])
    write_text(output, text)
    print(next(line for line in text.splitlines() if line.startswith("**")))
    for row in runs[runs["split"] == "test"].to_dict("records"):
        if line := alarm(row):
            print(line)
