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
    """Write results.parquet and summary.md of a run: every setting of every family, and its plain networks, side by side.

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
    from metann.errors import MetannError
    from metann.files import read_text, write_text
    from metann.report.overview import meet, network_rows, summarise
    from metann.tables.frames import read_frame, write_frame
    from metann.tables.probabilities import read_probabilities
    from metann.workflow.provenance import stage_code

    names = families or []
    if not names and not networks:
        raise MetannError("nothing to collect; give --families, --networks or both")
    settings = [read_frame(layout.place(run, layout.TABLE, table=f"{family}_settings"), f"{family}_settings") for family in names]
    plain = []
    for path in networks or []:
        table = read_probabilities(path)
        plain += network_rows(table.network, table, statistics.confidence)
    results = meet(settings, plain)
    pages = {family: read_text(layout.place(run, layout.PAGE, family=family)) for family in names}
    name = run.resolve().name
    write_frame(
        run / layout.RESULTS, results, "results", {"run": name, "confidence": statistics.confidence, "code": stage_code("collect_run")}
    )
    text = summarise(name, results, pages, statistics.confidence)
    write_text(run / layout.SUMMARY, text)
    print(f"read {run / layout.SUMMARY}, look at {run / 'figures'}")
