# The experts of the meta neural network, and the controls that are trained as long as they are.
from metann.plan.grouping import UNKNOWN, auto_classes
from metann.thresholds import format_threshold

SWITCH = NETWORK.replace("{network}", run.mnn.switch)
EXPERTS = f"{RESULTS}/{layout.EXPERTS}"
EXPERT = f"{RESULTS}/{layout.EXPERT}"

dataset_thresholds = [format_threshold(t) for t in run.mnn.dataset_thresholds]
automatic = run.mnn.classes_per_job == "auto" and planned is None
per_job = run.mnn.classes_in_a_job(
    n_classes,
    (
        auto_classes(
            Path(RESULTS),
            run,
            n_classes,
            main=workflow.is_main_process,
            local=workflow.local_exec,
            places=places(workflow.resource_settings, run.mnn.expert),
        )
        if automatic
        else UNKNOWN
    ),
)
# A rule's outputs are fixed, so there is one rule for each group of classes. Groups of one are a wildcard instead: Snakemake
# compares every file that it looks for with the outputs of every rule, which takes minutes for 1,000 rules.
class_groups = (
    [["{c}"]]
    if per_job == 1
    else [
        range(first, min(first + per_job, n_classes))
        for first in range(0, n_classes, per_job)
    ]
)
# The controls are trained as long as the experts of the lowest dataset threshold, whose sets are the largest.
most_training = min(dataset_thresholds, key=float)
counted = f"{EXPERTS}/training.json".replace("{dataset_threshold}", most_training)
unsure = [] if run.mnn.unsure is None else [f"--unsure={run.mnn.unsure}"]
body = (
    {"body": f"{NETWORK.replace('{network}', run.mnn.second)}/weights.safetensors"}
    if run.mnn.expert.body == "second"
    else {}
)
selection = (
    {"selection": f"{SWITCH}/out_of_fold.parquet"}
    if run.mnn.probabilities == "out_of_fold"
    else {}
)
EXPERT_FILES = (
    "weights.safetensors",
    "training.csv",
    "expert_set.json",
    "expert_probabilities.parquet",
)
GENERIC_FILES = (*EXPERT_FILES[:-1], "probabilities.parquet")
# Of the experts of single classes and of the generic one.
TRAIN_EXPERT = (
    "metann train-expert {params.who} --dataset-threshold={params.threshold}"
    " --switch={input.switch:q} --probabilities={input.probabilities:q} {params.given:q} {params.unsure} --data={params.data:q}"
    " {params.expert:q} --seed={wildcards.seed} --output={params.output:q} > {log:q} 2>&1"
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
            **selection,
            **body,
            switch=f"{SWITCH}/weights.safetensors",
            probabilities=f"{SWITCH}/probabilities.parquet",
        output:
            expand(f"{EXPERT}/{{name}}", c=group, name=EXPERT_FILES, allow_missing=True),
        log:
            f"{EXPERTS}/train_expert_{group[0]}.log",
        benchmark:
            f"{EXPERTS}/train_expert_{group[0]}.tsv"
        # The longest controls are counted from the training of the lowest threshold's experts.
        priority: lambda wildcards: 2 if wildcards.dataset_threshold == most_training else 1
        threads: run.mnn.expert.threads
        resources:
            mem_mb=grows(6000 if run.mnn.expert.tail else 3000),
            runtime=grows(120),
            gpu=gpus(run.mnn.expert),
        params:
            who=lambda wildcards, output, group=group: [
                "--classes",
                *(str(c).format(c=wildcards.get("c")) for c in group),
            ],
            threshold=lambda wildcards: wildcards.dataset_threshold,
            unsure=unsure,
            given=lambda wildcards, input: given_flags(
                input, "selection", "body", "generic"
            ),
            expert=flags("expert", run.mnn.expert),
            data=lambda wildcards, input: folder(input.info),
            output=lambda wildcards, output: folder(output[0], up=2),
            code=network_code("train_expert", run.mnn.switch),
        message:
            "Train experts of dataset threshold {wildcards.dataset_threshold}, seed {wildcards.seed}"
        shell:
            TRAIN_EXPERT


rule count_training:
    input:
        **{
            "second": path.replace("weights.safetensors", "training.csv")
            for path in body.values()
        },
        switch=f"{SWITCH}/probabilities.parquet",
        history=f"{SWITCH}/training.csv",
        experts=expand(
            f"{EXPERT}/{{name}}",
            c=range(n_classes),
            name=EXPERT_FILES,
            allow_missing=True,
        ),
    output:
        training=f"{EXPERTS}/training.json",
    log:
        f"{EXPERTS}/count_training.log",
    priority: 2
    localrule: True
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        experts=lambda wildcards, output: folder(output.training),
        second=lambda wildcards, input: [
            f"--second={path}" for path in [input.get("second")] if path
        ],
        code=stage_code("count_training"),
    message:
        "Count the training of switch and experts, dataset threshold {wildcards.dataset_threshold}, seed {wildcards.seed}"
    shell:
        "metann count-training --experts={params.experts:q} --switch={input.switch:q} --history={input.history:q}"
        " {params.second:q} --output={output.training:q} > {log:q} 2>&1"


# One expert for all classes, trained as long as all of them together: what it gains is not specialisation.
rule train_generic:
    input:
        **rules.prepare_data.output,
        **selection,
        **body,
        switch=f"{SWITCH}/weights.safetensors",
        probabilities=f"{SWITCH}/probabilities.parquet",
        generic=counted,
    output:
        [f"{RESULTS}/{layout.GENERIC}/{name}" for name in GENERIC_FILES],
    log:
        f"{RESULTS}/{layout.GENERIC}/train_generic.log",
    benchmark:
        f"{RESULTS}/{layout.GENERIC}/train_generic.tsv"
    priority: 1
    threads: run.mnn.expert.threads
    resources:
        mem_mb=grows(6000 if run.mnn.expert.tail else 3000),
        runtime=grows(240),
        gpu=gpus(run.mnn.expert),
    params:
        who=[],
        threshold=most_training,
        unsure=unsure,
        given=lambda wildcards, input: given_flags(
            input, "selection", "body", "generic"
        ),
        expert=flags("expert", run.mnn.expert),
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output[0]),
        code=network_code("train_expert", run.mnn.switch),
    message:
        "Train the generic expert, seed {wildcards.seed}"
    shell:
        TRAIN_EXPERT


# The switch with all the training of switch and experts.
use rule train_network as train_longer with:
    input:
        **rules.prepare_data.output,
        epochs=counted,
    wildcard_constraints:
        network=one_of([longer] if longer else []),
    priority: 2
    params:
        fold=lambda wildcards, input: [f"--epochs-of={input.epochs}"],
    message:
        "Train network {wildcards.network}, seed {wildcards.seed}, as long as switch and experts"
