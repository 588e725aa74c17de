from metann.figures._captions import caption as figure_caption


rule draw_figure:
    input:
        results=rules.collect_results.output.results,
        tables=rules.collect_results.output.tables,
    output:
        png=report(
            f"{RESULTS}/figures/{{figure}}.png",
            caption="caption.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        svg=f"{RESULTS}/figures/{{figure}}.svg",
    log:
        f"{RESULTS}/figures/{{figure}}.log",
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        run=lambda wildcards, input: folder(input.results),
        caption=lambda wildcards: figure_caption(wildcards.figure),
        code=lambda wildcards: code("draw_figure", f"metann.figures.{wildcards.figure}"),
    message:
        "Draw {wildcards.figure}"
    shell:
        "metann draw-figure {wildcards.figure} --run={params.run:q} --png={output.png:q} --svg={output.svg:q} > {log:q} 2>&1"
