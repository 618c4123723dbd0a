HISTOGRAM = directives("histogram")
PARTIAL_SUM = directives("partial_sum")
MERGE_DATASET = directives("merge_dataset")
PUBLISHED = directives("published")
MERGE = directives("merge")


rule histogram:
    """Histograms of a delivered batch, relative weights only."""
    input:
        **inputs(HISTOGRAM) | {"first": if_pool_is_there(HISTOGRAM.input["first"])},
    output:
        **outputs(HISTOGRAM),
    log:
        **HISTOGRAM.log,
    benchmark:
        HISTOGRAM.benchmark
    localrule: HISTOGRAM.local
    conda:
        "../../environment.yml"
    threads: HISTOGRAM.threads
    resources:
        **HISTOGRAM.resources,
    params:
        **HISTOGRAM.params,
    shell:
        HISTOGRAM.shell


rule partial_sum:
    """Sum of some of the histograms of a dataset that has too many for one job."""
    input:
        **inputs(PARTIAL_SUM),
    output:
        **outputs(PARTIAL_SUM),
    log:
        **PARTIAL_SUM.log,
    benchmark:
        PARTIAL_SUM.benchmark
    localrule: PARTIAL_SUM.local
    conda:
        "../../environment.yml"
    threads: PARTIAL_SUM.threads
    resources:
        **PARTIAL_SUM.resources,
    params:
        **PARTIAL_SUM.params,
    shell:
        PARTIAL_SUM.shell


rule merge_dataset:
    """Sum of the histograms of a dataset."""
    input:
        **inputs(MERGE_DATASET),
    output:
        **outputs(MERGE_DATASET),
    log:
        **MERGE_DATASET.log,
    benchmark:
        MERGE_DATASET.benchmark
    localrule: MERGE_DATASET.local
    conda:
        "../../environment.yml"
    threads: MERGE_DATASET.threads
    resources:
        **MERGE_DATASET.resources,
    params:
        **MERGE_DATASET.params,
    shell:
        MERGE_DATASET.shell


if PUBLISHED.wanted:

    rule published:
        """The published histograms, in place of ones from events."""
        input:
            **inputs(PUBLISHED),
        output:
            **outputs(PUBLISHED),
        log:
            **PUBLISHED.log,
        benchmark:
            PUBLISHED.benchmark
        localrule: PUBLISHED.local
        conda:
            "../../environment.yml"
        threads: PUBLISHED.threads
        resources:
            **PUBLISHED.resources,
        params:
            **PUBLISHED.params,
        shell:
            PUBLISHED.shell

else:

    rule merge:
        """Closure check, normalisation, the histogram file of all datasets, and their cost."""
        input:
            **inputs(MERGE),
        output:
            **outputs(MERGE),
        log:
            **MERGE.log,
        benchmark:
            MERGE.benchmark
        localrule: MERGE.local
        conda:
            "../../environment.yml"
        threads: MERGE.threads
        resources:
            **MERGE.resources,
        params:
            **MERGE.params,
        shell:
            MERGE.shell
