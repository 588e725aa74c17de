rule prepare_data:
    output:
        images=f"{DATA}/images.npy",
        samples=f"{DATA}/samples.parquet",
        info=f"{DATA}/dataset.json",
    log:
        f"{DATA}/prepare_data.log",
    benchmark:
        f"{DATA}/prepare_data.tsv"
    localrule: True
    resources:
        mem_mb=grows(3000),
        runtime=grows(30),
    params:
        # A function, because braces in a path would be taken for wildcards.
        data=lambda wildcards: told_data,
        output=lambda wildcards, output: folder(output.info),
        files=photos,
        code=told_code,
    message:
        f"Prepare the images of {run.data.name}"
    shell:
        "metann prepare-data {params.data:q} --output={params.output:q} > {log:q} 2>&1"
