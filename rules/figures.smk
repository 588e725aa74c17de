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
        results=f"{RESULTS}/{layout.RESULTS}",
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
