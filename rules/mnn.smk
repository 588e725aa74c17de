from metann.function_call import SwitchFunction
from metann.thresholds import format_threshold

SWITCH = f"{RESULTS}/networks/{run.mnn.switch}/seed_{{seed}}"
EXPERTS = f"{RESULTS}/experts/seed_{{seed}}/dataset_threshold_{{dataset_threshold}}"
EVALUATION = (
    f"{RESULTS}/evaluation/seed_{{seed}}/dataset_threshold_{{dataset_threshold}}"
)

dataset_thresholds = [format_threshold(t) for t in run.mnn.dataset_thresholds]
switch_functions = [SwitchFunction.parse(text) for text in run.mnn.switch_functions]
thresholds = [
    SwitchFunction(name="threshold", parameters=(t,)) for t in run.mnn.test_thresholds
]
# A rule's outputs are fixed, so there is one rule for each group of classes. Groups of one are a wildcard instead: Snakemake
# compares every file that it looks for with the outputs of every rule, which takes minutes for 1,000 rules.
class_groups = (
    [["{c}"]]
    if run.expert.classes_per_job == 1
    else [
        range(first, min(first + run.expert.classes_per_job, n_classes))
        for first in range(0, n_classes, run.expert.classes_per_job)
    ]
)
# Snakemake does not run a job again for an output that nobody asks for. The results ask for one file that is named after
# all cells, instead of for every cell, which would fill the screen.
cells_digest = short_digest(function.slug for function in thresholds + switch_functions)
TABLES = ("choice", "controls", "curves", "expert_sets", "misclassified")
EXPERT_FILES = (
    "weights.safetensors",
    "training.csv",
    "expert_set.json",
    "expert_probabilities.parquet",
)


wildcard_constraints:
    dataset_threshold=one_of(dataset_thresholds),
    c=r"\d+",


# `classes` takes `output` because Snakemake does not compare params that derive from it: another grouping trains nothing again.
for group in class_groups:

    rule:
        name:
            f"train_expert_{group[0]}" if len(class_groups) > 1 else "train_expert"
        input:
            **rules.prepare_data.output,
            switch=f"{SWITCH}/weights.safetensors",
            probabilities=f"{SWITCH}/probabilities.parquet",
            selection=(
                [f"{SWITCH}/out_of_fold.parquet"]
                if run.mnn.probabilities == "out_of_fold"
                else []
            ),
        output:
            [f"{EXPERTS}/class_{c}/{name}" for c in group for name in EXPERT_FILES],
        log:
            f"{EXPERTS}/train_expert_{group[0]}.log",
        benchmark:
            f"{EXPERTS}/train_expert_{group[0]}.tsv"
        threads: run.expert.threads
        resources:
            mem_mb=lambda wildcards, attempt: 3000 * attempt,
            runtime=lambda wildcards, attempt: 120 * attempt,
            gpu=gpus(run.expert),
        params:
            classes=lambda wildcards, output, group=group: [
                str(c).format(c=wildcards.get("c")) for c in group
            ],
            selection=lambda wildcards, input: [
                f"--selection={path}" for path in [*input.get("selection", [])]
            ],
            expert=flags("expert", run.expert, leave_out=["classes_per_job"]),
            data=lambda wildcards, input: folder(input.info),
            output=lambda wildcards, output: folder(output[0], up=2),
            code=code("train_expert", family(run.mnn.switch)),
        message:
            "Train experts of dataset threshold {wildcards.dataset_threshold}, seed {wildcards.seed}"
        shell:
            "metann train-expert --classes {params.classes} --dataset-threshold={wildcards.dataset_threshold}"
            " --switch={input.switch:q} --probabilities={input.probabilities:q} {params.selection:q} --data={params.data:q}"
            " {params.expert:q} --seed={wildcards.seed} --output={params.output:q} --code={params.code} > {log:q} 2>&1"


rule evaluate_mnn:
    input:
        switch=f"{SWITCH}/probabilities.parquet",
        experts=[
            f"{EXPERTS}/class_{c}/expert_probabilities.parquet"
            for c in range(n_classes)
        ],
        sets=[f"{EXPERTS}/class_{c}/expert_set.json" for c in range(n_classes)],
    output:
        prefix=f"{EVALUATION}/prefix.parquet",
        curve=f"{EVALUATION}/curve.parquet",
        index=f"{EVALUATION}/cells/index_{cells_digest}.json",
        cells=[
            f"{EVALUATION}/cells/{function.slug}.parquet"
            for function in thresholds + switch_functions
        ],
    log:
        f"{EVALUATION}/evaluate_mnn.log",
    benchmark:
        f"{EVALUATION}/evaluate_mnn.tsv"
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        thresholds=[format_threshold(t) for t in run.mnn.test_thresholds],
        functions=[f"--switch-functions={function}" for function in switch_functions],
        combine=run.mnn.combine,
        temperature=run.mnn.temperature,
        output=lambda wildcards, output: folder(output.prefix),
        code=code("evaluate_mnn"),
    message:
        "Evaluate dataset threshold {wildcards.dataset_threshold}, seed {wildcards.seed}, at every test threshold"
    shell:
        "metann evaluate-mnn --switch={input.switch:q} --experts {input.experts:q}"
        " --dataset-threshold={wildcards.dataset_threshold} --test-thresholds {params.thresholds} {params.functions:q}"
        " --combine={params.combine} --temperature={params.temperature} --output={params.output:q}"
        " --index={output.index:q} --code={params.code} > {log:q} 2>&1"


rule collect_results:
    input:
        index=expand(
            rules.evaluate_mnn.output.index,
            seed=run.seeds,
            dataset_threshold=dataset_thresholds,
        ),
        prefix=expand(
            rules.evaluate_mnn.output.prefix,
            seed=run.seeds,
            dataset_threshold=dataset_thresholds,
        ),
        controls=expand(
            f"{NETWORK}/probabilities.parquet",
            network=run.mnn.controls,
            seed=run.seeds,
        ),
    output:
        results=f"{RESULTS}/results.parquet",
        summary=report(
            f"{RESULTS}/summary.md",
            category="Results",
            labels={"what": "summary"},
        ),
        tables=expand(f"{RESULTS}/tables/{{table}}.parquet", table=TABLES),
    log:
        f"{RESULTS}/collect_results.log",
    benchmark:
        f"{RESULTS}/collect_results.tsv"
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        evaluations=lambda wildcards, input: [folder(path) for path in input.prefix],
        experts=expand(EXPERTS, seed=run.seeds, dataset_threshold=dataset_thresholds),
        controls=lambda wildcards, input: [
            f"--controls={path}" for path in input.controls
        ],
        statistics=flags("statistics", run.statistics),
        figures=[f"--figures={figure}" for figure in run.figures],
        output=lambda wildcards, output: folder(output.summary),
        code=code("collect_results"),
    message:
        "Collect the results of {RESULTS}"
    shell:
        "metann collect-results --evaluations {params.evaluations:q} --expert-sets {params.experts:q}"
        " {params.controls:q} {params.statistics:q} {params.figures:q} --output={params.output:q}"
        " --code={params.code} > {log:q} 2>&1"
