SIMULATE = directives("simulate")
FILESET = directives("fileset")


if SIMULATE.wanted:

    rule simulate:
        """One file of simulated events of a dataset."""
        input:
            **inputs(SIMULATE),
        output:
            **outputs(SIMULATE),
        log:
            **SIMULATE.log,
        benchmark:
            SIMULATE.benchmark
        localrule: SIMULATE.local
        conda:
            "../../environment.yml"
        threads: SIMULATE.threads
        resources:
            **SIMULATE.resources,
        params:
            **SIMULATE.params,
        shell:
            SIMULATE.shell


rule fileset:
    """The list of inputs in coffea's shape."""
    input:
        **inputs(FILESET),
    output:
        **outputs(FILESET),
    log:
        **FILESET.log,
    benchmark:
        FILESET.benchmark
    localrule: FILESET.local
    conda:
        "../../environment.yml"
    threads: FILESET.threads
    resources:
        **FILESET.resources,
    params:
        **FILESET.params,
    shell:
        FILESET.shell
