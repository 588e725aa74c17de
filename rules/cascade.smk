import json

from metann.figures._captions import caption as cascade_caption

CASCADE = f"{RESULTS}/cascade/seed_{{seed}}"
CASCADE_TABLES = (
    "results",
    "networks",
    "complementarity",
    "in_sample",
    "curves",
    "chains",
)
cascade_networks = run.cascade.network_names(list(run.networks))
# Imported tables have no images and no weights: nothing can be run, and only an ideal memory replayed.
cascade_runs = not set(cascade_networks) & set(imported)


wildcard_constraints:
    cascade_figure=one_of(run.cascade.figures),


rule search_cascade:
    input:
        expand(
            f"{NETWORK}/probabilities.parquet",
            network=cascade_networks,
            allow_missing=True,
        ),
    output:
        **{name: f"{CASCADE}/{name}.parquet" for name in CASCADE_TABLES},
    log:
        f"{CASCADE}/search_cascade.log",
    benchmark:
        f"{CASCADE}/search_cascade.tsv"
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        pairs=[
            f"--pairs={first}:{second}"
            for first, second in (
                [] if run.cascade.pairs == "all" else run.cascade.pairs
            )
        ],
        chains=[
            f"--chains={json.dumps(chain.model_dump(mode='json'))}"
            for chain in run.cascade.chains
        ],
        scores=[f"--scores={score}" for score in run.cascade.scores],
        postcheck=run.cascade.postcheck,
        grid=run.cascade.grid,
        wanted=[
            *(
                []
                if run.cascade.target == "best_network"
                else [f"--target={run.cascade.target}"]
            ),
            *([f"--budget={run.cascade.budget}"] if run.cascade.budget else []),
        ],
        confidence=run.statistics.confidence,
        output=lambda wildcards, output: folder(output.results),
        code=code("search_cascade"),
    message:
        "Search the thresholds of all pairs of networks, seed {wildcards.seed}"
    shell:
        "metann search-cascade --probabilities {input:q} {params.pairs:q} {params.chains:q} {params.scores:q}"
        " --postcheck={params.postcheck} --grid={params.grid} {params.wanted} --confidence={params.confidence}"
        " --seed={wildcards.seed} --output={params.output:q} --code={params.code} > {log:q} 2>&1"


rule choose_cascade:
    input:
        expand(rules.search_cascade.output, seed=run.seeds),
    output:
        tables=[
            f"{RESULTS}/tables/cascade_{name}.parquet"
            for name in (*CASCADE_TABLES, "ranking", "pairs", "choice")
        ],
        chosen=expand(f"{CASCADE}/cascade.json", seed=run.seeds),
    log:
        f"{RESULTS}/cascade/choose_cascade.log",
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        searches=lambda wildcards, output: [folder(path) for path in output.chosen],
        search=run.cascade.search,
        objective=run.cascade.objective,
        output=lambda wildcards, output: folder(output.tables[0], up=2),
        code=code("choose_cascade"),
    message:
        "Choose a cascade on validation"
    shell:
        "metann choose-cascade --searches {params.searches:q} --search={params.search} --objective={params.objective}"
        " --output={params.output:q} --code={params.code} > {log:q} 2>&1"


rule replay_memory:
    input:
        **rules.prepare_data.output if cascade_runs else {},
        cascade=f"{CASCADE}/cascade.json",
        probabilities=expand(
            f"{NETWORK}/probabilities.parquet",
            network=cascade_networks,
            allow_missing=True,
        ),
    output:
        f"{CASCADE}/memory.parquet",
    log:
        f"{CASCADE}/replay_memory.log",
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        data=lambda wildcards, input: (
            [f"--data={folder(input.info)}"] if cascade_runs else []
        ),
        memory=flags("memory", run.cascade.memory),
        workload=flags("workload", run.cascade.workload),
        code=code("replay_memory"),
    message:
        "Replay streams with duplicates through a memory, seed {wildcards.seed}"
    shell:
        "metann replay-memory --cascade={input.cascade:q} --probabilities {input.probabilities:q} {params.data:q}"
        " {params.memory:q} {params.workload:q} --seed={wildcards.seed} --output={output:q} --code={params.code} > {log:q} 2>&1"


rule run_cascade:
    input:
        **rules.prepare_data.output,
        cascade=f"{CASCADE}/cascade.json",
        weights=expand(
            f"{NETWORK}/weights.safetensors",
            network=cascade_networks,
            allow_missing=True,
        ),
        probabilities=expand(
            f"{NETWORK}/probabilities.parquet",
            network=cascade_networks,
            allow_missing=True,
        ),
    output:
        record=f"{CASCADE}/run/record.parquet",
        report=f"{CASCADE}/run/report.json",
        page=f"{CASCADE}/run/report.md",
    log:
        f"{CASCADE}/run/run_cascade.log",
    benchmark:
        f"{CASCADE}/run/run_cascade.tsv"
    threads: run.training.threads
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=lambda wildcards: gpus(run.training),
    params:
        batch_size=run.cascade.batch_size,
        memory=flags("memory", run.cascade.memory),
        workload=flags("workload", run.cascade.workload),
        device=run.training.device,
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.report),
        code=(
            code("run_cascade", *{family(name) for name in cascade_networks})
            if cascade_runs
            else ""
        ),
    message:
        "Run the chosen cascade, seed {wildcards.seed}"
    shell:
        "metann run-cascade --networks {input.weights:q} --cascade={input.cascade:q} --probabilities {input.probabilities:q}"
        " --data={params.data:q} --batch-size={params.batch_size} {params.memory:q} {params.workload:q} --device={params.device}"
        " --threads={threads} --seed={wildcards.seed} --output={params.output:q} --code={params.code} > {log:q} 2>&1"


rule collect_cascade:
    input:
        tables=rules.choose_cascade.output.tables,
        memory=expand(rules.replay_memory.output, seed=run.seeds),
        reports=(
            expand(rules.run_cascade.output.report, seed=run.seeds)
            if cascade_runs
            else []
        ),
    output:
        summary=report(
            f"{RESULTS}/cascade.md",
            category="Results",
            labels={"what": "summary of the cascades"},
        ),
        memory=f"{RESULTS}/tables/cascade_memory.parquet",
    log:
        f"{RESULTS}/cascade/collect_cascade.log",
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        run=lambda wildcards, output: folder(output.summary),
        reports=lambda wildcards, input: [f"--reports={path}" for path in input.reports],
        figures=[f"--figures={figure}" for figure in run.cascade.figures],
        code=code("collect_cascade"),
    message:
        "Summarise the cascades of {RESULTS}"
    shell:
        "metann collect-cascade --run={params.run:q} --memory {input.memory:q} {params.reports:q} {params.figures:q}"
        " --output={output.summary:q} --code={params.code} > {log:q} 2>&1"


rule draw_cascade_figure:
    input:
        tables=rules.choose_cascade.output.tables,
        memory=rules.collect_cascade.output.memory,
    output:
        png=report(
            f"{RESULTS}/figures/{{cascade_figure}}.png",
            caption="caption.rst",
            category="Figures",
            labels={"figure": "{cascade_figure}"},
        ),
        svg=f"{RESULTS}/figures/{{cascade_figure}}.svg",
    log:
        f"{RESULTS}/figures/{{cascade_figure}}.log",
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        run=lambda wildcards, output: folder(output.png, up=2),
        caption=lambda wildcards: cascade_caption(wildcards.cascade_figure),
        code=lambda wildcards: code(
            "draw_figure", f"metann.figures.{wildcards.cascade_figure}"
        ),
    message:
        "Draw {wildcards.cascade_figure}"
    shell:
        "metann draw-figure {wildcards.cascade_figure} --run={params.run:q} --png={output.png:q} --svg={output.svg:q} > {log:q} 2>&1"


rule cascade:
    input:
        rules.collect_cascade.output.summary,
        expand(rules.draw_cascade_figure.output, cascade_figure=run.cascade.figures),
