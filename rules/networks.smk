folds = run.mnn.folds if run.mnn else 0
longer = run.mnn.longer if run.mnn else None  # trained by `train_longer`
# Where there is a choice, what experts wait for begins first, then what takes longest; tables and figures can wait.
waited_for = {run.mnn.switch, run.mnn.second} if run.mnn else set()


rule train_network:
    input:
        **rules.prepare_data.output,
    output:
        weights=f"{NETWORK}/weights.safetensors",
        history=f"{NETWORK}/training.csv",
    log:
        f"{NETWORK}/train_network.log",
    benchmark:
        f"{NETWORK}/train_network.tsv"
    wildcard_constraints:
        network=one_of(name for name in trained if name != longer),
    priority: lambda wildcards: 2 if wildcards.network in waited_for else 1
    threads: run.training.threads
    resources:
        mem_mb=grows(3000),
        runtime=grows(240),
        gpu=lambda wildcards: gpus(run.training_of(wildcards.network)),
    params:
        network=lambda wildcards: network_flags(wildcards.network),
        training=lambda wildcards: flags("training", run.training_of(wildcards.network)),
        fold=[],
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.weights),
        files=lambda wildcards: outside.get(wildcards.network, ""),
        code=lambda wildcards: network_code("train_network", wildcards.network),
    message:
        "Train network {wildcards.network}, seed {wildcards.seed}"
    shell:
        "metann train-network --name={wildcards.network:q} {params.network:q} {params.training:q} {params.fold} --data={params.data:q}"
        " --seed={wildcards.seed} --output={params.output:q} > {log:q} 2>&1"


use rule train_network as train_fold with:
    output:
        weights=f"{RESULTS}/{layout.FOLD}/weights.safetensors",
        history=f"{RESULTS}/{layout.FOLD}/training.csv",
    log:
        f"{RESULTS}/{layout.FOLD}/train_network.log",
    benchmark:
        f"{RESULTS}/{layout.FOLD}/train_network.tsv"
    params:
        fold=lambda wildcards: [f"--fold={wildcards.fold}", f"--folds={folds}"],
    message:
        "Train network {wildcards.network} without fold {wildcards.fold}, seed {wildcards.seed}"


rule export_probabilities:
    input:
        **rules.prepare_data.output,
        weights=f"{NETWORK}/weights.safetensors",
    output:
        probabilities=f"{NETWORK}/probabilities.parquet",
    log:
        f"{NETWORK}/export_probabilities.log",
    benchmark:
        f"{NETWORK}/export_probabilities.tsv"
    wildcard_constraints:
        network=one_of(trained),
    priority: lambda wildcards: 2 if wildcards.network in waited_for else 1
    threads: run.training.threads
    resources:
        mem_mb=grows(3000),
        runtime=grows(30),
        gpu=lambda wildcards: gpus(run.training_of(wildcards.network)),
    params:
        fold=[],
        device=lambda wildcards: run.training_of(wildcards.network).device,
        data=lambda wildcards, input: folder(input.info),
        code=lambda wildcards: network_code("export_probabilities", wildcards.network),
    message:
        "Export the probabilities of network {wildcards.network}, seed {wildcards.seed}"
    shell:
        "metann export-probabilities --weights {input.weights:q} {params.fold} --data={params.data:q} --output={output.probabilities:q}"
        " --network={wildcards.network:q} --seed={wildcards.seed} --device={params.device} --threads={threads} > {log:q} 2>&1"


use rule export_probabilities as export_out_of_fold with:
    input:
        **rules.prepare_data.output,
        weights=expand(
            f"{RESULTS}/{layout.FOLD}/weights.safetensors",
            fold=range(folds),
            allow_missing=True,
        ),
    output:
        probabilities=f"{NETWORK}/out_of_fold.parquet",
    log:
        f"{NETWORK}/export_out_of_fold.log",
    benchmark:
        f"{NETWORK}/export_out_of_fold.tsv"
    params:
        fold=["--out-of-fold"],
    message:
        "Export out-of-fold probabilities of network {wildcards.network}, seed {wildcards.seed}"


rule import_probabilities:
    input:
        lambda wildcards: [
            str(path) for path in files_of(run.networks[wildcards.network])
        ],
    output:
        probabilities=f"{NETWORK}/probabilities.parquet",
    log:
        f"{NETWORK}/import_probabilities.log",
    wildcard_constraints:
        network=one_of(imported),
    localrule: True
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        network=lambda wildcards: network_flags(wildcards.network),
        files=lambda wildcards: outside.get(wildcards.network, ""),
        code=stage_code("import_probabilities"),
    message:
        "Import the probabilities of {wildcards.network}"
    shell:
        "metann import-probabilities --name={wildcards.network:q} {params.network:q} --output={output.probabilities:q}"
        " > {log:q} 2>&1"
