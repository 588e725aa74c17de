from metann.config.mnn import MnnEvaluation
from metann.mnn.setting import functions_in
from metann.thresholds import format_threshold

SWITCH = NETWORK.replace("{network}", run.mnn.switch)
EXPERTS = f"{RESULTS}/{layout.EXPERTS}"
EXPERT = f"{RESULTS}/{layout.EXPERT}"
EVALUATION = f"{RESULTS}/{layout.EVALUATION}"

dataset_thresholds = [format_threshold(t) for t in run.mnn.dataset_thresholds]
cells = [
    function.slug
    for function in functions_in(run.mnn.test_thresholds, run.mnn.switch_functions)
]
# A rule's outputs are fixed, so there is one rule for each group of classes. Groups of one are a wildcard instead: Snakemake
# compares every file that it looks for with the outputs of every rule, which takes minutes for 1,000 rules.
class_groups = (
    [["{c}"]]
    if run.mnn.classes_per_job == 1
    else [
        range(first, min(first + run.mnn.classes_per_job, n_classes))
        for first in range(0, n_classes, run.mnn.classes_per_job)
    ]
)
MNN_TABLES = (
    "results",
    "choice",
    "controls",
    "curves",
    "expert_sets",
    "misclassified",
    "settings",
)
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
            expand(f"{EXPERT}/{{name}}", c=group, name=EXPERT_FILES, allow_missing=True),
        log:
            f"{EXPERTS}/train_expert_{group[0]}.log",
        benchmark:
            f"{EXPERTS}/train_expert_{group[0]}.tsv"
        threads: run.mnn.expert.threads
        resources:
            mem_mb=grows(3000),
            runtime=grows(120),
            gpu=gpus(run.mnn.expert),
        params:
            classes=lambda wildcards, output, group=group: [
                str(c).format(c=wildcards.get("c")) for c in group
            ],
            selection=lambda wildcards, input: [
                f"--selection={path}" for path in [*input.get("selection", [])]
            ],
            expert=flags("expert", run.mnn.expert),
            data=lambda wildcards, input: folder(input.info),
            output=lambda wildcards, output: folder(output[0], up=2),
            code=network_code("train_expert", run.mnn.switch),
        message:
            "Train experts of dataset threshold {wildcards.dataset_threshold}, seed {wildcards.seed}"
        shell:
            "metann train-expert --classes {params.classes} --dataset-threshold={wildcards.dataset_threshold}"
            " --switch={input.switch:q} --probabilities={input.probabilities:q} {params.selection:q} --data={params.data:q}"
            " {params.expert:q} --seed={wildcards.seed} --output={params.output:q} > {log:q} 2>&1"


# Snakemake does not run a job again for an output that nobody asks for. The results ask for one index that is named after
# all cells, instead of for every cell, which would fill the screen.
rule evaluate_mnn:
    input:
        switch=f"{SWITCH}/probabilities.parquet",
        experts=expand(
            f"{EXPERT}/expert_probabilities.parquet",
            c=range(n_classes),
            allow_missing=True,
        ),
        sets=expand(f"{EXPERT}/expert_set.json", c=range(n_classes), allow_missing=True),
    output:
        prefix=f"{EVALUATION}/prefix.parquet",
        index=f"{EVALUATION}/cells/index_{short_digest(cells)}.json",
        cells=[f"{EVALUATION}/cells/{cell}.parquet" for cell in cells],
    log:
        f"{EVALUATION}/evaluate_mnn.log",
    benchmark:
        f"{EVALUATION}/evaluate_mnn.tsv"
    localrule: True
    resources:
        mem_mb=grows(1500),
        runtime=grows(20),
    params:
        options=flags("", run.mnn, MnnEvaluation),
        output=lambda wildcards, output: folder(output.prefix),
        code=stage_code("evaluate_mnn"),
    message:
        "Evaluate dataset threshold {wildcards.dataset_threshold}, seed {wildcards.seed}, at every test threshold"
    shell:
        "metann evaluate-mnn --switch={input.switch:q} --experts {input.experts:q}"
        " --dataset-threshold={wildcards.dataset_threshold} {params.options:q} --output={params.output:q}"
        " --index={output.index:q} > {log:q} 2>&1"


rule collect_mnn:
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
        summary=report(
            f"{RESULTS}/mnn.md",
            category="Results",
            labels={"what": "summary of the meta neural network"},
        ),
        tables=[table(f"mnn_{name}") for name in MNN_TABLES],
    log:
        f"{RESULTS}/mnn/collect_mnn.log",
    benchmark:
        f"{RESULTS}/mnn/collect_mnn.tsv"
    localrule: True
    resources:
        mem_mb=grows(2000),
        runtime=grows(20),
    params:
        evaluations=lambda wildcards, input: [folder(path) for path in input.prefix],
        experts=expand(EXPERTS, seed=run.seeds, dataset_threshold=dataset_thresholds),
        controls=lambda wildcards, input: [
            f"--controls={path}" for path in input.controls
        ],
        statistics=flags("statistics", run.statistics),
        figures=[f"--figures={figure}" for figure in run.mnn.figures],
        output=lambda wildcards, output: folder(output.summary),
        code=stage_code("collect_mnn", captions=run.mnn.figures),
    message:
        f"Collect the results of the meta neural network of {RESULTS}"
    shell:
        "metann collect-mnn --evaluations {params.evaluations:q} --expert-sets {params.experts:q}"
        " {params.controls:q} {params.statistics:q} {params.figures:q} --output={params.output:q} > {log:q} 2>&1"


rule mnn:
    input:
        rules.collect_mnn.output.summary,
        figures("mnn"),
