"""Stage write_page: one HTML file that shows a run, and needs nothing else."""

from pathlib import Path


def write_page(
    *,
    run: Path,
    families: list[str] | None = None,
    figures: list[str] | None = None,
    latency: bool = False,
    configuration: str = "{}",
    command: str = "",
) -> None:
    """Write index.html of a collected run: verdicts, figures, tables, what was skipped or assumed, how it was made.

    Parameters
    ----------
    run
        Folder of the run, with results.parquet, tables/run_frontier.parquet, the families' pages and figures/*.svg.
    families
        Which ones.
    figures
        Names of the figures to show, in their order.
    latency
        Show what measure-latency measured.
    configuration
        Of the whole run, as JSON.
    command
        That made the run.
    """
    import csv
    import json

    import yaml

    from metann import layout
    from metann.errors import MetannError
    from metann.figures._captions import caption
    from metann.files.text import read_text, write_text
    from metann.registry import family_of
    from metann.report.frontier import sentences
    from metann.report.latency import sentences as latency_sentences
    from metann.report.markdown import inline_html
    from metann.report.overview import intervals_text
    from metann.report.page import Facts, Family, Latency, Picture, render
    from metann.report.page_tables import MOST, budget_table, chosen_table, latency_table, made_table, settings_table, times_table
    from metann.report.text import count
    from metann.tables.frames import read_frame
    from metann.workflow.provenance import machine, versions

    results = read_frame(run / layout.RESULTS, "results")
    fronts = read_frame(layout.place(run, layout.TABLE, table=layout.RUN_FRONTIER), layout.RUN_FRONTIER)
    confidence, name = results.attrs["confidence"], results.attrs["run"]
    pictures: dict[str | None, list[Picture]] = {}
    for figure in figures or []:
        picture = Picture.of(figure, read_text(layout.place(run, f"{layout.FIGURE}.svg", figure=figure)), caption(figure))
        pictures.setdefault(family_of(figure), []).append(picture)
    shown, compared = [], results.attrs.get("compared") or {}
    for family in families or []:
        page = read_text(layout.place(run, layout.PAGE, family=family))
        said = sentences(results, fronts, family, confidence, compared.get(family, ()))
        shown.append(Family.of(family, page, said, pictures.get(family, []), families or []))

    notices = list(results.attrs.get("notices", ()))
    if (results["macs"].isna()).any():
        unknown = results.loc[results["macs"].isna(), ["family", "setting"]].drop_duplicates()
        notices.append(f"{count(len(unknown), 'setting')} of unknown multiply-accumulates stand on no picture of accuracy against cost")
    jobs = []
    for path, rule in layout.benchmarks(run):
        for row in csv.DictReader(read_text(path).splitlines(), delimiter="\t"):
            try:
                seconds = float(row["s"])
            except (KeyError, TypeError, ValueError):
                raise MetannError(f"{path} is no benchmark of Snakemake's; delete it, or run its rule again") from None
            memory = row.get("max_rss") or ""
            jobs.append((rule, seconds, float(memory) if memory.replace(".", "").isdigit() else float("nan")))
    seeds = sorted({int(seed) for seed in results["seed"] if seed >= 0})
    test = results[results["split"] == "test"]
    about = f"{results.attrs.get('dataset') or 'unknown images'}, {int(test['n'].max()):,} test images, {count(len(seeds) or 1, 'seed')}"
    measured, milliseconds = None, None
    if latency:
        timed = read_frame(layout.place(run, layout.TABLE, table=layout.RUN_LATENCY), layout.RUN_LATENCY)
        measured = Latency([inline_html(text) for text in latency_sentences(timed, results)], latency_table(timed, results))
        milliseconds = timed[timed["batch_size"] == timed["batch_size"].min()][["family", "setting", "ms"]]
        notices += timed.attrs.get("skipped", [])
    table, settings = settings_table(results, milliseconds)
    made: dict[str, object] = {"images": results.attrs.get("dataset"), "seeds": ", ".join(map(str, seeds)) or "none", "machine": machine()}
    made |= {f"version of {library}": number for library, number in versions().items()} | {"code of this page": results.attrs.get("code")}
    made |= {"command": command} if command else {}
    facts = Facts(
        run=name,
        about=about,
        families=shown,
        figures=pictures.get(None, []),
        side_by_side=chosen_table(results, confidence),
        intervals=intervals_text(confidence),
        budgets=budget_table(fronts),
        pack=f"metann choose {run} --macs 3e6",
        all_settings=table,
        settings=settings,
        all_note=f"Means over seeds{', the most accurate on validation' if settings > MOST else ''}. All, seed by seed: {layout.RESULTS}.",
        notices=notices,
        made=made_table(made),
        configuration=yaml.safe_dump(json.loads(configuration), sort_keys=False, allow_unicode=True),
        times=times_table(jobs),
        times_note=f"{sum(job[1] for job in jobs):,.0f} seconds in all; jobs may have run side by side, and short ones are not timed.",
        latency=measured,
    )
    text = render(facts)
    write_text(run / layout.INDEX, text)
    print(f"look at {run / layout.INDEX} ({len(text.encode()) / 1e6:.1f} MB)")
