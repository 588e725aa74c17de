# What goes wrong on clusters, one rule each. An attempt writes its job down, because it cannot know whether it is the first.
import sys

CASES = ("flaky", "cancelled", "requeued", "slow", "hungry", "on_gpu")
# Snakemake shows SLURM's log only after a rule's log that is not empty; metann's commands write such a line too.
COUNT = (
    "echo $SLURM_JOB_ID >> {params.case}.attempts; echo SLURM job $SLURM_JOB_ID > {log}"
)


rule all:
    input:
        expand("{case}.txt", case=CASES),


rule flaky:
    output:
        "flaky.txt",
    log:
        "flaky.log",
    resources:
        mem_mb=600,
        runtime=2,
    params:
        case="flaky",
    shell:
        COUNT
        + "; test $(wc -l < flaky.attempts) -gt 1 && echo ${{CUDA_VISIBLE_DEVICES:-}} > {output}"


rule cancelled:
    output:
        "cancelled.txt",
    log:
        "cancelled.log",
    resources:
        mem_mb=600,
        runtime=5,
    params:
        case="cancelled",
    shell:
        COUNT
        + "; test $(wc -l < cancelled.attempts) -gt 1 || sleep 300; touch {output}"


rule requeued:
    output:
        "requeued.txt",
    log:
        "requeued.log",
    resources:
        mem_mb=600,
        runtime=10,
    params:
        case="requeued",
    shell:
        COUNT + "; test $(wc -l < requeued.attempts) -gt 1 || sleep 300; touch {output}"


rule slow:
    output:
        "slow.txt",
    log:
        "slow.log",
    resources:
        mem_mb=600,
        runtime=lambda wildcards, attempt: attempt,
    params:
        case="slow",
    shell:
        COUNT
        + "; test $(wc -l < slow.attempts) -gt 1 || sleep 300; echo {resources.runtime} > {output}"


rule hungry:
    output:
        "hungry.txt",
    log:
        "hungry.log",
    resources:
        mem_mb=lambda wildcards, attempt: 700 * attempt,
        runtime=2,
    params:
        case="hungry",
        python=sys.executable,
    shell:
        COUNT
        + "; {params.python} -c 'import time; x = bytearray(700_000_000); time.sleep(4)' >> {log} 2>&1 && echo {resources.mem_mb} > {output}"


rule on_gpu:
    output:
        "on_gpu.txt",
    log:
        "on_gpu.log",
    resources:
        mem_mb=600,
        runtime=2,
        gpu=1,
    params:
        case="on_gpu",
    shell:
        COUNT + "; echo $CUDA_VISIBLE_DEVICES > {output}"
