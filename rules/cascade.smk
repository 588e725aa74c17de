from metann.config.cascade import CascadeChoice, CascadeSearch

CASCADE = f"{RESULTS}/{layout.CASCADE}"
CASCADE_TABLES = (
    "results",
    "networks",
    "complementarity",
    "in_sample",
    "curves",
    "chains",
    "frontier",
)
cascade_networks = run.cascade.network_names(list(run.networks))
# Imported tables have no images and no weights: nothing can be run, and only an ideal memory replayed.
cascade_runs = not set(cascade_networks) & set(imported)


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
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        options=flags("", run.cascade, CascadeSearch),
        statistics=flags("statistics", run.statistics),
        output=lambda wildcards, output: folder(output.results),
        code=stage_code("search_cascade"),
    message:
        "Search the thresholds of all pairs of networks, seed {wildcards.seed}"
    shell:
        "metann search-cascade --probabilities {input:q} {params.options:q} {params.statistics:q} --seed={wildcards.seed}"
        " --output={params.output:q} > {log:q} 2>&1"


rule choose_cascade:
    input:
        expand(rules.search_cascade.output, seed=run.seeds),
    output:
        tables=[
            table(f"cascade_{name}")
            for name in (*CASCADE_TABLES, "ranking", "pairs", "choice", "settings")
        ],
        chosen=expand(f"{CASCADE}/cascade.json", seed=run.seeds),
    log:
        f"{RESULTS}/cascade/choose_cascade.log",
    localrule: True
    resources:
        mem_mb=grows(1500),
        runtime=grows(10),
    params:
        searches=lambda wildcards, output: [folder(path) for path in output.chosen],
        options=flags("", run.cascade, CascadeChoice),
        output=lambda wildcards, output: folder(output.tables[0], up=2),
        code=stage_code("choose_cascade"),
    message:
        "Choose a cascade on validation"
    shell:
        "metann choose-cascade --searches {params.searches:q} {params.options:q}"
        " --output={params.output:q} > {log:q} 2>&1"


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
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        data=lambda wildcards, input: (
            [f"--data={folder(input.info)}"] if cascade_runs else []
        ),
        memory=flags("memory", run.cascade.memory),
        workload=flags("workload", run.cascade.workload),
        code=stage_code("replay_memory"),
    message:
        "Replay streams with duplicates through a memory, seed {wildcards.seed}"
    shell:
        "metann replay-memory --cascade={input.cascade:q} --probabilities {input.probabilities:q} {params.data:q}"
        " {params.memory:q} {params.workload:q} --seed={wildcards.seed} --output={output:q} > {log:q} 2>&1"


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
        mem_mb=grows(3000),
        runtime=grows(60),
        gpu=lambda wildcards: gpus(run.training),
    params:
        batch_size=run.cascade.batch_size,
        memory=flags("memory", run.cascade.memory),
        workload=flags("workload", run.cascade.workload),
        device=run.training.device,
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.report),
        code=(
            stage_code(
                "run_cascade",
                architectures=[
                    run.networks[name].architecture for name in cascade_networks
                ],
            )
            if cascade_runs
            else ""
        ),
    message:
        "Run the chosen cascade, seed {wildcards.seed}"
    shell:
        "metann run-cascade --networks {input.weights:q} --cascade={input.cascade:q} --probabilities {input.probabilities:q}"
        " --data={params.data:q} --batch-size={params.batch_size} {params.memory:q} {params.workload:q} --device={params.device}"
        " --threads={threads} --seed={wildcards.seed} --output={params.output:q} > {log:q} 2>&1"


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
        memory=table("cascade_memory"),
    log:
        f"{RESULTS}/cascade/collect_cascade.log",
    localrule: True
    resources:
        mem_mb=grows(1500),
        runtime=grows(10),
    params:
        run=lambda wildcards, output: folder(output.summary),
        reports=lambda wildcards, input: [f"--reports={path}" for path in input.reports],
        figures=[f"--figures={figure}" for figure in run.cascade.figures],
        code=stage_code("collect_cascade", captions=run.cascade.figures),
    message:
        f"Summarise the cascades of {RESULTS}"
    shell:
        "metann collect-cascade --run={params.run:q} --memory {input.memory:q} {params.reports:q} {params.figures:q}"
        " --output={output.summary:q} > {log:q} 2>&1"


rule cascade:
    input:
        rules.collect_cascade.output.summary,
        figures("cascade"),
