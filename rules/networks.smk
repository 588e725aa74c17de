folds = run.mnn.folds if run.mnn else 0


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
        network=one_of(trained),
    threads: run.training.threads
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=lambda wildcards: gpus(run.training_of(wildcards.network)),
    params:
        network=lambda wildcards: network_flags(wildcards.network),
        training=lambda wildcards: flags("training", run.training_of(wildcards.network)),
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.weights),
        code=lambda wildcards: code("train_network", family(wildcards.network)),
    message:
        "Train network {wildcards.network}, seed {wildcards.seed}"
    shell:
        "metann train-network --name={wildcards.network:q} {params.network:q} {params.training:q} --data={params.data:q}"
        " --seed={wildcards.seed} --output={params.output:q} --code={params.code} > {log:q} 2>&1"


rule train_fold:
    input:
        **rules.prepare_data.output,
    output:
        weights=f"{NETWORK}/fold_{{fold}}/weights.safetensors",
        history=f"{NETWORK}/fold_{{fold}}/training.csv",
    log:
        f"{NETWORK}/fold_{{fold}}/train_network.log",
    benchmark:
        f"{NETWORK}/fold_{{fold}}/train_network.tsv"
    wildcard_constraints:
        network=one_of(trained),
    threads: run.training.threads
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=lambda wildcards: gpus(run.training_of(wildcards.network)),
    params:
        network=lambda wildcards: network_flags(wildcards.network),
        training=lambda wildcards: flags("training", run.training_of(wildcards.network)),
        folds=folds,
        data=lambda wildcards, input: folder(input.info),
        output=lambda wildcards, output: folder(output.weights),
        code=lambda wildcards: code("train_network", family(wildcards.network)),
    message:
        "Train network {wildcards.network} without fold {wildcards.fold}, seed {wildcards.seed}"
    shell:
        "metann train-network --name={wildcards.network:q} {params.network:q} {params.training:q} --data={params.data:q}"
        " --seed={wildcards.seed} --fold={wildcards.fold} --folds={params.folds} --output={params.output:q}"
        " --code={params.code} > {log:q} 2>&1"


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
    threads: run.training.threads
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
        gpu=lambda wildcards: gpus(run.training_of(wildcards.network)),
    params:
        device=lambda wildcards: run.training_of(wildcards.network).device,
        data=lambda wildcards, input: folder(input.info),
        code=lambda wildcards: code("export_probabilities", family(wildcards.network)),
    message:
        "Export the probabilities of network {wildcards.network}, seed {wildcards.seed}"
    shell:
        "metann export-probabilities --weights={input.weights:q} --data={params.data:q} --output={output.probabilities:q}"
        " --network={wildcards.network:q} --seed={wildcards.seed} --device={params.device} --threads={threads} --code={params.code}"
        " > {log:q} 2>&1"


rule export_out_of_fold:
    input:
        **rules.prepare_data.output,
        weights=expand(
            f"{NETWORK}/fold_{{fold}}/weights.safetensors",
            fold=range(folds),
            allow_missing=True,
        ),
    output:
        probabilities=f"{NETWORK}/out_of_fold.parquet",
    log:
        f"{NETWORK}/export_out_of_fold.log",
    benchmark:
        f"{NETWORK}/export_out_of_fold.tsv"
    wildcard_constraints:
        network=one_of(trained),
    threads: run.training.threads
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
        gpu=lambda wildcards: gpus(run.training_of(wildcards.network)),
    params:
        device=lambda wildcards: run.training_of(wildcards.network).device,
        data=lambda wildcards, input: folder(input.info),
        code=lambda wildcards: code("export_probabilities", family(wildcards.network)),
    message:
        "Export out-of-fold probabilities of network {wildcards.network}, seed {wildcards.seed}"
    shell:
        "metann export-probabilities --weights {input.weights:q} --out-of-fold --network={wildcards.network:q}"
        " --seed={wildcards.seed} --data={params.data:q} --output={output.probabilities:q} --device={params.device}"
        " --threads={threads} --code={params.code} > {log:q} 2>&1"


rule import_probabilities:
    input:
        lambda wildcards: [
            str(path)
            for path in (
                run.networks[wildcards.network].probabilities,
                run.networks[wildcards.network].labels,
            )
            if path
        ],
    output:
        probabilities=f"{NETWORK}/probabilities.parquet",
    log:
        f"{NETWORK}/import_probabilities.log",
    wildcard_constraints:
        network=one_of(imported),
    localrule: True
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        network=lambda wildcards: network_flags(wildcards.network),
        code=lambda wildcards: code("import_probabilities"),
    message:
        "Import the probabilities of {wildcards.network}"
    shell:
        "metann import-probabilities --name={wildcards.network:q} {params.network:q} --output={output.probabilities:q}"
        " --code={params.code} > {log:q} 2>&1"
