rule histogram:
    """Histograms of a delivered batch, relative weights only."""
    input:
        manifest=f"{RESULTS}/manifests/{{dataset}}/{{batch}}.json",
        # None where jets are not assigned.
        models=PLAN.models,
        code=code("histogram"),
    output:
        f"{RESULTS}/histograms/{{dataset}}/{{batch}}.json",
    log:
        f"{RESULTS}/logs/histogram/{{dataset}}/{{batch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/histogram/{{dataset}}/{{batch}}.tsv"
    # Only from here can a cluster on a batch system be started.
    localrule: CONFIG.histograms.elsewhere
    conda:
        "../../environment.yml"
    threads: CONFIG.histograms.threads
    resources:
        **needs("histogram", PLAN.files_per_job),
        # Unlike parameters, resources are no reason to run a job again.
        execution=PLAN.execution(),
        scoring=PLAN.scoring(),
    params:
        settings=PLAN.histogram(),
        models=lambda wildcards, input: (
            Path(input.models[0]).parent if input.models else ""
        ),
        # No output: what fills the histograms may or may not write it.
        performance=f"{RESULTS}/dask/{{dataset}}/{{batch}}.html",
        known=f"{RESULTS}/known",
    shell:
        "python -m agc_pipeline.stages.histogram --settings {params.settings:q}"
        " --execution {resources.execution:q} --models={params.models:q}"
        " --scoring {resources.scoring:q}"
        " --performance {params.performance} --known {params.known}"
        " --manifest {input.manifest} --output {output} 2>&1 | tee {log}"


rule partial_sum:
    """Sum of some of the histograms of a dataset that has too many for one job."""
    input:
        batches=lambda wildcards: [
            f"{RESULTS}/histograms/{wildcards.dataset}/{name}.json"
            for name in PLAN.partial_summands(**wildcards)
        ],
        code=code("merge_dataset"),
    output:
        f"{RESULTS}/histograms/{{dataset}}/sum{{level}}/{{number}}.json",
    log:
        f"{RESULTS}/logs/partial_sum/{{dataset}}/{{level}}/{{number}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/partial_sum/{{dataset}}/{{level}}/{{number}}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        **needs("partial_sum"),
    shell:
        "python -m agc_pipeline.stages.merge_dataset --settings '{{}}'"
        " --batches {input.batches} --output {output} 2>&1 | tee {log}"


rule merge_dataset:
    """Sum of the histograms of a dataset."""
    input:
        batches=lambda wildcards: [
            f"{RESULTS}/histograms/{wildcards.dataset}/{name}.json"
            for name in PLAN.summands(wildcards.dataset)
        ],
        code=code("merge_dataset"),
    output:
        f"{RESULTS}/histograms/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/merge_dataset/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge_dataset/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        **needs("merge_dataset"),
    shell:
        "python -m agc_pipeline.stages.merge_dataset --settings '{{}}'"
        " --batches {input.batches} --output {output} 2>&1 | tee {log}"


if CONFIG.input.kind == "published":

    rule published:
        """The published histograms, in place of ones from events."""
        input:
            published=PUBLISHED,
            code=code("published"),
        output:
            histograms=f"{RESULTS}/histograms.root",
            closure=f"{RESULTS}/closure.json",
        log:
            f"{RESULTS}/logs/published.log",
        benchmark:
            f"{RESULTS}/benchmarks/published.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        resources:
            **needs("published"),
        params:
            settings=PLAN.published(),
        shell:
            "python -m agc_pipeline.stages.published --settings {params.settings:q}"
            " --histograms {output.histograms} --closure {output.closure} 2>&1 | tee {log}"

else:

    rule merge:
        """Closure check, normalisation, the histogram file of all datasets, and their cost."""
        input:
            datasets=[f"{RESULTS}/histograms/{dataset}.json" for dataset in DATASETS],
            fileset=rules.fileset.output,
            code=code("merge"),
        output:
            histograms=f"{RESULTS}/histograms.root",
            closure=f"{RESULTS}/closure.json",
            performance=f"{RESULTS}/performance.json",
        log:
            f"{RESULTS}/logs/merge.log",
        benchmark:
            f"{RESULTS}/benchmarks/merge.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        resources:
            **needs("merge"),
        params:
            settings=PLAN.merge(),
        shell:
            "python -m agc_pipeline.stages.merge --settings {params.settings:q}"
            " --datasets {input.datasets} --histograms {output.histograms}"
            " --closure {output.closure}"
            " --performance {output.performance} 2>&1 | tee {log}"
