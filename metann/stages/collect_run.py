"""Stage collect_run: the table in which the families of a run meet, and the page over them."""

from pathlib import Path

from metann.config.statistics import StatisticsSection


def collect_run(
    *,
    run: Path,
    families: list[str] | None = None,
    networks: list[Path] | None = None,
    statistics: StatisticsSection = StatisticsSection(),
) -> None:
    """Write results.parquet, tables/run_frontier.parquet and summary.md: all settings of all families and the plain networks, side by side.

    Parameters
    ----------
    run
        Folder of the run, with tables/{family}_settings.parquet and {family}.md of each family.
    families
        Which ones.
    networks
        Probabilities of the plain networks, of every seed.
    statistics
        Confidence of the intervals.
    """
    from metann import layout
    from metann.data.prepared import INFO, read_info
    from metann.errors import MetannError
    from metann.files.text import read_text, write_text
    from metann.report.frontier import frontiers
    from metann.report.notices import chance_notices, image_notices, network_notices
    from metann.report.overview import meet, network_rows, summarise
    from metann.tables.frames import read_frame, write_frame
    from metann.tables.notices import say
    from metann.tables.probabilities import read_probabilities
    from metann.workflow.provenance import stage_code

    names = families or []
    if not names and not networks:
        raise MetannError("nothing to collect; give --families, --networks or both")
    settings = [read_frame(layout.place(run, layout.TABLE, table=f"{family}_settings"), f"{family}_settings") for family in names]
    tables = [read_probabilities(path) for path in networks or []]
    plain = [row for table in tables for row in network_rows(table.network, table, statistics.confidence)]
    facts = [frame.attrs for frame in settings] + [table.metadata for table in tables]
    results = meet(settings, plain)
    fronts = frontiers(results, statistics.confidence)
    pages = {family: read_text(layout.place(run, layout.PAGE, family=family)) for family in names}
    name, notices = run.resolve().name, []
    if (run / layout.DATA / INFO).is_file():  # not of imported tables
        info = read_info(run / layout.DATA)
        notices += image_notices(info.skipped, (*info.assumed, *info.notices))
    classes = {
        family: len(frame.attrs["class_names"]) for family, frame in zip(names, settings, strict=True) if frame.attrs.get("class_names")
    }
    notices += [*network_notices(tables), *chance_notices(results, classes)]
    metadata = {
        "run": name,
        "confidence": statistics.confidence,
        "dataset": next((fact["dataset"] for fact in facts if fact.get("dataset")), None),
    }
    compared = {family: frame.attrs.get("compared") or [] for family, frame in zip(names, settings, strict=True)}
    metadata |= {"notices": notices, "compared": compared, "code": stage_code("collect_run")}
    write_frame(run / layout.RESULTS, results, "results", metadata)
    write_frame(layout.place(run, layout.TABLE, table=layout.RUN_FRONTIER), fronts, layout.RUN_FRONTIER, metadata)
    write_text(run / layout.SUMMARY, summarise(name, results, fronts, pages, statistics.confidence, notices, compared))
    say(notices)
    print(f"read {run / layout.SUMMARY}, look at {run / 'figures'}")
