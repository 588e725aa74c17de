import json

MIXTURE = f"{RESULTS}/{layout.MIXTURE}"
MIXTURE_EVALUATED = (
    "run",
    "experts",
    "confusion",
    "answers",
    "history",
    "pictures",
)
MIXTURE_TABLES = (
    "runs",
    "controls",
    "choice",
    "methods",
    "comparisons",
    "settings",
    "experts",
    "confusion",
    "history",
    "pictures",
    "settings",
)
# A control is a setting of one expert: the same trainer, the same optimizer, the same epochs.
settings = {setting.name: setting for setting in run.mixture.trained()}


wildcard_constraints:
    setting=one_of(settings),


rule train_mixture:
    input:
        **rules.prepare_data.output,
        sources=lambda wildcards: list(
            weights_by_name(
                settings[wildcards.setting].needs_phases_of(),
                settings,
                MIXTURE,
                "setting",
                wildcards.seed,
            ).values()
        ),
        embeddings=lambda wildcards: list(
            weights_by_name(
                settings[wildcards.setting].embeddings(),
                run.networks,
                NETWORK,
                "network",
                wildcards.seed,
            ).values()
        ),
    output:
        weights=f"{MIXTURE}/weights.safetensors",
        history=f"{MIXTURE}/training.csv",
    log:
        f"{MIXTURE}/train_mixture.log",
    benchmark:
        f"{MIXTURE}/train_mixture.tsv"
    threads: run.mixture.training.threads
    resources:
        mem_mb=grows(4000),
        runtime=grows(240),
        gpu=lambda wildcards: gpus(settings[wildcards.setting].training),
    params:
        # Its name is in the output's path; a preset spelled out in full is the same setting.
        setting=lambda wildcards: json.dumps(
            settings[wildcards.setting].model_dump(mode="json"), sort_keys=True
        ),
        sources=lambda wildcards: named_flags(
            "sources",
            weights_by_name(
                settings[wildcards.setting].needs_phases_of(),
                settings,
                MIXTURE,
                "setting",
                wildcards.seed,
            ),
        ),
        embeddings=lambda wildcards: named_flags(
            "embeddings",
            weights_by_name(
                settings[wildcards.setting].embeddings(),
                run.networks,
                NETWORK,
                "network",
                wildcards.seed,
            ),
        ),
        files=lambda wildcards: outside.get(f"mixture:{wildcards.setting}", ""),
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.weights),
        code=lambda wildcards: stage_code(
            "train_mixture", architectures=settings[wildcards.setting].architectures()
        ),
    message:
        "Train mixture {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "metann train-mixture --setting={params.setting:q} {params.sources:q} {params.embeddings:q} --data={params.data:q}"
        " --seed={wildcards.seed} --output={params.output:q} > {log:q} 2>&1"


rule export_gate:
    input:
        **rules.prepare_data.output,
        weights=f"{MIXTURE}/weights.safetensors",
    output:
        gate=f"{MIXTURE}/gate.parquet",
    log:
        f"{MIXTURE}/export_gate.log",
    benchmark:
        f"{MIXTURE}/export_gate.tsv"
    threads: run.mixture.training.threads
    resources:
        mem_mb=grows(4000),
        runtime=grows(30),
        gpu=lambda wildcards: gpus(settings[wildcards.setting].training),
    params:
        device=lambda wildcards: settings[wildcards.setting].training.device,
        data=lambda wildcards, input: folder(input.info),
        code=lambda wildcards: stage_code(
            "export_gate", architectures=settings[wildcards.setting].architectures()
        ),
    message:
        "Export the gate of mixture {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "metann export-gate --weights={input.weights:q} --data={params.data:q} --output={output.gate:q}"
        " --setting={wildcards.setting:q} --seed={wildcards.seed} --device={params.device} --threads={threads}"
        " > {log:q} 2>&1"


rule evaluate_mixture:
    input:
        **rules.prepare_data.output,
        gate=f"{MIXTURE}/gate.parquet",
        history=f"{MIXTURE}/training.csv",
    output:
        **{name: f"{MIXTURE}/evaluation/{name}.parquet" for name in MIXTURE_EVALUATED},
    log:
        f"{MIXTURE}/evaluation/evaluate_mixture.log",
    localrule: True
    resources:
        mem_mb=grows(1500),
        runtime=grows(10),
    params:
        data=lambda wildcards, input: folder(input.info),
        statistics=flags("statistics", run.statistics),
        output=lambda wildcards, output: folder(output.run),
        code=stage_code("evaluate_mixture"),
    message:
        "Evaluate mixture {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "metann evaluate-mixture --gate={input.gate:q} --history={input.history:q} --data={params.data:q}"
        " {params.statistics:q} --output={params.output:q} > {log:q} 2>&1"


rule collect_mixture:
    input:
        evaluations=expand(
            rules.evaluate_mixture.output.run, setting=settings, seed=run.seeds
        ),
        others=expand(
            f"{MIXTURE}/evaluation/{{name}}.parquet",
            name=MIXTURE_EVALUATED[1:],
            setting=settings,
            seed=run.seeds,
        ),
    output:
        summary=report(
            f"{RESULTS}/mixture.md",
            category="Results",
            labels={"what": "summary of the mixtures"},
        ),
        tables=expand(table("mixture_{name}"), name=MIXTURE_TABLES),
    log:
        f"{RESULTS}/mixture/collect_mixture.log",
    localrule: True
    resources:
        mem_mb=grows(2000),
        runtime=grows(20),
    params:
        evaluations=lambda wildcards, input: [
            f"--evaluations={folder(path)}" for path in input.evaluations
        ],
        run=lambda wildcards, output: folder(output.summary),
        figures=[f"--figures={figure}" for figure in run.mixture.figures],
        statistics=flags("statistics", run.statistics),
        code=stage_code("collect_mixture", figures=run.mixture.figures),
    message:
        f"Summarise the mixtures of {RESULTS}"
    shell:
        "metann collect-mixture {params.evaluations:q} --run={params.run:q} {params.figures:q}"
        " {params.statistics:q} --output={output.summary:q} > {log:q} 2>&1"


rule mixture:
    input:
        rules.collect_mixture.output.summary,
        figures("mixture"),
