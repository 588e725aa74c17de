from metann.config.hypernetwork import CONTROLS

GENERATOR = f"{RESULTS}/{layout.GENERATOR}"
ADAPTED = f"{RESULTS}/{layout.ADAPTED}"
HYPERNETWORK_TABLES = (
    "results",
    "curves",
    "reliance",
    "codes",
    "interpolation",
    "layers",
    "tasks",
    "multiclass",
    "networks",
    "arms",
    "differences",
    "generators",
    "settings",
    "verdicts",
)
adaptations = run.hypernetwork.adaptations()


# The digest of a stage that builds the classifier.
hypernetwork_code = partial(
    stage_code, architectures=[run.hypernetwork.classifier.name]
)


wildcard_constraints:
    experiment=one_of(run.hypernetwork.experiments),
    generator=one_of(run.hypernetwork.trained),
    arm=one_of(run.hypernetwork.arms),
    shots=one_of([0, *run.hypernetwork.shots]),


# A control that an arm needs (one network for all tasks, one for each) is a generator too, so it is trained once for all shots.
rule train_generator:
    input:
        **rules.prepare_data.output,
    output:
        weights=f"{GENERATOR}/weights.safetensors",
        history=f"{GENERATOR}/training.csv",
        tasks=f"{GENERATOR}/tasks.parquet",
    log:
        f"{GENERATOR}/train_generator.log",
    benchmark:
        f"{GENERATOR}/train_generator.tsv"
    threads: run.hypernetwork.training.threads
    resources:
        mem_mb=grows(3000),
        runtime=grows(240),
        gpu=lambda wildcards: gpus(run.hypernetwork.training),
    params:
        experiment=lambda wildcards: flags(
            "experiment", run.hypernetwork.experiments[wildcards.experiment]
        ),
        generator=lambda wildcards: flags(
            "generator", run.hypernetwork.trained[wildcards.generator]
        ),
        classifier=flags("classifier", run.hypernetwork.classifier),
        training=flags("training", run.hypernetwork.training),
        data=lambda wildcards, input: folder(input.info),
        # Derived from output, which is not compared: the shots are checked before the training, and another number trains nothing.
        output=lambda wildcards, output: [
            f"--output={folder(output.weights)}",
            f"--shots={max(run.hypernetwork.shots)}",
        ],
        code=hypernetwork_code("train_generator"),
    message:
        "Train generator {wildcards.generator} on the tasks of {wildcards.experiment}, seed {wildcards.seed}"
    shell:
        "metann train-generator --name={wildcards.generator:q} --tasks={wildcards.experiment:q} {params.experiment:q}"
        " {params.generator:q} {params.classifier:q} {params.training:q} --data={params.data:q} --seed={wildcards.seed}"
        " {params.output:q} > {log:q} 2>&1"


rule describe_generator:
    input:
        **rules.prepare_data.output,
        weights=rules.train_generator.output.weights,
        tasks=rules.train_generator.output.tasks,
    output:
        **{
            name: f"{GENERATOR}/{name}.parquet"
            for name in (
                "reliance",
                "codes",
                "layers",
                "interpolation",
                "multiclass",
            )
        },
        classes=f"{GENERATOR}/classes.safetensors",
    log:
        f"{GENERATOR}/describe_generator.log",
    benchmark:
        f"{GENERATOR}/describe_generator.tsv"
    threads: run.hypernetwork.adaptation.threads
    resources:
        mem_mb=grows(3000),
        runtime=grows(60),
        gpu=lambda wildcards: gpus(run.hypernetwork.adaptation),
    params:
        adaptation=flags("adaptation", run.hypernetwork.adaptation),
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.codes),
        code=hypernetwork_code("describe_generator"),
    message:
        "Describe generator {wildcards.generator} of {wildcards.experiment}, seed {wildcards.seed}"
    shell:
        "metann describe-generator --weights={input.weights:q} --tasks={input.tasks:q} --data={params.data:q} {params.adaptation:q}"
        " --seed={wildcards.seed} --output={params.output:q} > {log:q} 2>&1"


rule adapt_tasks:
    input:
        **rules.prepare_data.output,
        weights=rules.train_generator.output.weights,
        tasks=rules.train_generator.output.tasks,
        controls=lambda wildcards: [
            rules.train_generator.output.weights.format(
                seed=wildcards.seed,
                experiment=wildcards.experiment,
                generator=CONTROLS[wildcards.arm],
            )
            for arm in [wildcards.arm]
            if arm in CONTROLS
        ],
    output:
        table=f"{ADAPTED}.parquet",
        curve=f"{ADAPTED}_curve.parquet",
    log:
        f"{ADAPTED}.log",
    benchmark:
        f"{ADAPTED}.tsv"
    threads: run.hypernetwork.adaptation.threads
    resources:
        mem_mb=grows(3000),
        runtime=grows(120),
        gpu=lambda wildcards: gpus(run.hypernetwork.adaptation),
    params:
        controls=lambda wildcards, input: [
            f"--controls={path}" for path in [*input.controls]
        ],
        adaptation=flags("adaptation", run.hypernetwork.adaptation),
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.table),
        code=hypernetwork_code("adapt_tasks"),
    message:
        "Learn the held-out tasks of {wildcards.experiment}: {wildcards.arm}, {wildcards.shots} shots, generator {wildcards.generator},"
        " seed {wildcards.seed}"
    shell:
        "metann adapt-tasks --arm={wildcards.arm} --shots={wildcards.shots} --weights={input.weights:q} --tasks={input.tasks:q}"
        " {params.controls:q} --data={params.data:q} {params.adaptation:q} --seed={wildcards.seed} --output={params.output:q}"
        " > {log:q} 2>&1"


rule evaluate_hypernetwork:
    input:
        tasks=rules.train_generator.output.tasks,
        described=rules.describe_generator.output,
        adapted=[
            f"{GENERATOR}/adapt/{arm}_{shots}.parquet" for arm, shots in adaptations
        ],
    output:
        **{
            name: f"{GENERATOR}/evaluation/{name}.parquet"
            for name in HYPERNETWORK_TABLES[:8]
        },
    log:
        f"{GENERATOR}/evaluation/evaluate_hypernetwork.log",
    localrule: True
    resources:
        mem_mb=grows(1500),
        runtime=grows(20),
    params:
        generator=lambda wildcards, input: folder(input.tasks),
        multiclass=lambda wildcards, input: f"{folder(input.tasks)}/multiclass.parquet",
        confidence=run.statistics.confidence,
        output=lambda wildcards, output: folder(output.results),
        code=stage_code("evaluate_hypernetwork"),
    message:
        "Evaluate generator {wildcards.generator} of {wildcards.experiment}, seed {wildcards.seed}"
    shell:
        "metann evaluate-hypernetwork --generator={params.generator:q} --adapted {input.adapted:q} --multiclass={params.multiclass:q}"
        " --confidence={params.confidence} --output={params.output:q} > {log:q} 2>&1"


rule collect_hypernetwork:
    input:
        evaluations=expand(
            rules.evaluate_hypernetwork.output.results,
            seed=run.seeds,
            experiment=run.hypernetwork.experiments,
            generator=run.hypernetwork.generators,
        ),
        networks=expand(
            f"{NETWORK}/probabilities.parquet", network=run.networks, seed=run.seeds
        ),
    output:
        summary=report(
            f"{RESULTS}/{layout.PAGE}".format(family="hypernetwork"),
            category="Results",
            labels={"what": "summary of the hypernetworks"},
        ),
        tables=[table(f"hypernetwork_{name}") for name in HYPERNETWORK_TABLES],
    log:
        f"{RESULTS}/hypernetwork/collect_hypernetwork.log",
    localrule: True
    resources:
        mem_mb=grows(1500),
        runtime=grows(10),
    params:
        evaluations=lambda wildcards, input: [
            folder(path) for path in input.evaluations
        ],
        networks=lambda wildcards, input: [
            f"--networks={path}" for path in [*input.networks]
        ],
        figures=[f"--figures={figure}" for figure in run.hypernetwork.figures],
        output=lambda wildcards, output: folder(output.summary),
        code=stage_code("collect_hypernetwork", figures=run.hypernetwork.figures),
    message:
        f"Summarise the hypernetworks of {RESULTS}"
    shell:
        "metann collect-hypernetwork --evaluations {params.evaluations:q} {params.networks:q} {params.figures:q}"
        " --output={params.output:q} > {log:q} 2>&1"


rule hypernetwork:
    input:
        rules.collect_hypernetwork.output.summary,
        figures("hypernetwork"),
