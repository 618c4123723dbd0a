rule deliver:
    """Skims of a batch of files of a dataset, with their manifest."""
    input:
        files=lambda wildcards: PLAN.local_inputs(wildcards.dataset, wildcards.batch),
        code=code("deliver", "preselection"),
    output:
        manifest=f"{RESULTS}/manifests/{{dataset}}/{{batch}}.json",
        skims=directory(f"{RESULTS}/skims/{{dataset}}/{{batch}}"),
    log:
        f"{RESULTS}/logs/deliver/{{dataset}}/{{batch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/deliver/{{dataset}}/{{batch}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("deliver", PLAN.files_per_job),
    params:
        settings=lambda wildcards: PLAN.deliver(wildcards.dataset, wildcards.batch),
    shell:
        "python -m agc_pipeline.stages.deliver --settings {params.settings:q}"
        " --manifest {output.manifest} --skims {output.skims} 2>&1 | tee {log}"
