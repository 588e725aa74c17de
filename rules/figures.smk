from metann.figures._captions import caption as figure_caption, tables_of


rule draw_figure:
    input:
        lambda wildcards: [table(name) for name in tables_of(wildcards.figure)],
    output:
        png=report(
            f"{RESULTS}/{layout.FIGURE}.png",
            caption="caption.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        svg=f"{RESULTS}/{layout.FIGURE}.svg",
    log:
        f"{RESULTS}/{layout.FIGURE}.log",
    localrule: True
    resources:
        mem_mb=grows(1500),
        runtime=grows(10),
    params:
        run=lambda wildcards, output: folder(output.png, up=2),
        caption=lambda wildcards: figure_caption(wildcards.figure),
        code=lambda wildcards: stage_code("draw_figure", figures=[wildcards.figure]),
    message:
        "Draw {wildcards.figure}"
    shell:
        "metann draw-figure {wildcards.figure} --run={params.run:q} --png={output.png:q} --svg={output.svg:q} > {log:q} 2>&1"


rule collect_run:
    input:
        settings=[table(f"{family}_settings") for family in run.families],
        pages=[
            f"{RESULTS}/{layout.PAGE}".format(family=family) for family in run.families
        ],
        networks=expand(
            f"{NETWORK}/probabilities.parquet", network=run.networks, seed=run.seeds
        ),
    output:
        results=table("results"),
        frontier=table(layout.RUN_FRONTIER),
        summary=report(
            f"{RESULTS}/{layout.SUMMARY}",
            category="Results",
            labels={"what": "summary"},
        ),
    log:
        f"{RESULTS}/collect_run.log",
    localrule: True
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        run=lambda wildcards, output: folder(output.summary),
        families=[f"--families={family}" for family in run.families],
        statistics=flags("statistics", run.statistics),
        code=stage_code("collect_run"),
    message:
        f"Put the families of {RESULTS} side by side"
    shell:
        "metann collect-run --run={params.run:q} {params.families} --networks {input.networks:q} {params.statistics:q} > {log:q} 2>&1"


if run.latency:

    # On all cores, though it uses one: what runs beside it would be measured too.
    rule measure_latency:
        input:
            **rules.prepare_data.output,
            results=table("results"),
        output:
            latency=table(layout.RUN_LATENCY),
        log:
            f"{RESULTS}/measure_latency.log",
        benchmark:
            f"{RESULTS}/measure_latency.tsv"
        localrule: True
        threads: workflow.resource_settings.cores or 1
        resources:
            mem_mb=grows(3000),
            runtime=grows(60),
        params:
            run=lambda wildcards, input: folder(input.results),
            latency=flags("latency", run.latency),
            code=stage_code("measure_latency", models=run.families),
        message:
            "Measure milliseconds of the settings of {RESULTS}"
        shell:
            "metann measure-latency --run={params.run:q} {params.latency:q} --output={output.latency:q} > {log:q} 2>&1"


rule write_page:
    input:
        **rules.collect_run.output,
        pages=rules.collect_run.input.pages,
        latency=table(layout.RUN_LATENCY) if run.latency else [],
        figures=[
            f"{RESULTS}/{layout.FIGURE}.svg".format(figure=name)
            for name in run.all_figures
        ],
    output:
        report(
            f"{RESULTS}/{layout.INDEX}",
            category="All on one page",
            labels={"what": "verdicts, figures and tables"},
        ),
    log:
        f"{RESULTS}/write_page.log",
    localrule: True
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        run=lambda wildcards, output: folder(output[0]),
        families=[f"--families={family}" for family in run.families],
        figures=[f"--figures={figure}" for figure in run.all_figures],
        latency="--latency" if run.latency else "",
        # Derived from output, which is not compared: what changes no table writes no page.
        made=lambda wildcards, output: [
            f"--configuration={run.model_dump_json(exclude_none=True)}",
            f"--command={COMMAND}",
        ],
        code=stage_code("write_page", captions=run.all_figures),
    message:
        "Write the page {RESULTS}/index.html"
    shell:
        "metann write-page --run={params.run:q} {params.families} {params.figures:q} {params.latency} {params.made:q} > {log:q} 2>&1"
