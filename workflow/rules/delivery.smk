if workflow.is_main_process:
    for line in PLAN.chosen():
        logger.info(line)


rule deliver:
    """Skims of a batch of files of a dataset, with their manifest."""
    input:
        files=lambda wildcards: PLAN.local_inputs(wildcards.dataset, wildcards.batch),
        code=code("deliver"),
    output:
        f"{RESULTS}/manifests/{{dataset}}/{{batch}}.json",
    log:
        text=f"{RESULTS}/logs/deliver/{{dataset}}/{{batch}}.log",
        failures=f"{RESULTS}/logs/deliver/{{dataset}}/{{batch}}.failures.json",
    benchmark:
        f"{RESULTS}/benchmarks/deliver/{{dataset}}/{{batch}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("deliver", PLAN.files_per_job),
        # Unlike parameters, resources are no reason to run a job again.
        reading=PLAN.reading(),
    params:
        settings=lambda wildcards: PLAN.deliver(wildcards.dataset, wildcards.batch),
        # No output of Snakemake's: it would be removed before the job, with all that is intact.
        skims=f"{RESULTS}/skims/{{dataset}}",
    shell:
        "printf %s {params.settings:q} | python -m agc_pipeline.stages.deliver --settings -"
        " --reading {resources.reading:q}"
        " --manifest {output} --skims {params.skims} --failures {log.failures}"
        " 2>&1 | tee {log.text}"


rule delivery_plan:
    """What would be delivered, from where, and how many bytes: told, not done."""
    input:
        code=code("delivery_plan"),
    log:
        f"{RESULTS}/logs/delivery_plan.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        **needs("delivery_plan"),
    params:
        settings=lambda wildcards: PLAN.delivery_plan(),
        skims=f"{RESULTS}/skims",
    shell:
        "printf %s {params.settings:q} | python -m agc_pipeline.stages.delivery_plan --settings -"
        " --skims {params.skims} 2>&1 | tee {log}"
