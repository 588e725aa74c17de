from metann.config.mnn import MnnEvaluation
from metann.mnn.setting import functions_in


include: "mnn_experts.smk"


EVALUATION = f"{RESULTS}/{layout.EVALUATION}"

cells = [
    function.slug
    for function in functions_in(run.mnn.test_thresholds, run.mnn.switch_functions)
]
opinions = [
    *([NETWORK.replace("{network}", run.mnn.second)] if run.mnn.second else []),
    *([f"{RESULTS}/{layout.GENERIC}"] if run.mnn.generic else []),
]
MNN_TABLES = (
    "results",
    "choice",
    "controls",
    "curves",
    "expert_sets",
    "misclassified",
    "self_check",
    "settings",
)
# Measured: 140 MB, and 37 bytes for each image and class (35 to collect): 2 MB a class are enough for 50,000 images.
TABLE_MB = 1500 + 2 * n_classes


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
        self_check=f"{EVALUATION}/self_check.parquet",
        index=f"{EVALUATION}/cells/index_{short_digest(cells)}.json",
        cells=[f"{EVALUATION}/cells/{cell}.parquet" for cell in cells],
    log:
        f"{EVALUATION}/evaluate_mnn.log",
    benchmark:
        f"{EVALUATION}/evaluate_mnn.tsv"
    localrule: True
    resources:
        mem_mb=grows(TABLE_MB),
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
            network=run.mnn.compared,
            seed=run.seeds,
        ),
        opinions=[
            f"{place}/probabilities.parquet".format(seed=seed)
            for place in opinions
            for seed in run.seeds
        ],
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
        mem_mb=grows(500 + TABLE_MB),
        runtime=grows(20),
    params:
        evaluations=lambda wildcards, input: [folder(path) for path in input.prefix],
        experts=expand(EXPERTS, seed=run.seeds, dataset_threshold=dataset_thresholds),
        controls=lambda wildcards, input: [
            f"--controls={path}" for path in input.controls
        ],
        opinions=lambda wildcards, input: [
            f"--opinions={path}" for path in input.opinions
        ],
        longer=[f"--longer={run.mnn.longer}"] if run.mnn.longer else [],
        statistics=flags("statistics", run.statistics),
        figures=[f"--figures={figure}" for figure in run.mnn.figures],
        output=lambda wildcards, output: folder(output.summary),
        code=stage_code("collect_mnn", captions=run.mnn.figures),
    message:
        f"Collect the results of the meta neural network of {RESULTS}"
    shell:
        "metann collect-mnn --evaluations {params.evaluations:q} --expert-sets {params.experts:q}"
        " {params.controls:q} {params.opinions:q} {params.longer:q} {params.statistics:q} {params.figures:q} --output={params.output:q} > {log:q} 2>&1"


rule mnn:
    input:
        rules.collect_mnn.output.summary,
        figures("mnn"),
