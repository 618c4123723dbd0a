SIMULATE = directives("simulate")
SIMULATE_PARTS = directives("simulate_parts")
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
        wildcard_constraints:
            dataset="|".join(PLAN.generated_datasets),
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


if SIMULATE_PARTS.wanted:

    rule simulate_parts:
        """Simulated datasets whose events are in a file of another one."""
        input:
            **inputs(SIMULATE_PARTS),
        output:
            **outputs(SIMULATE_PARTS),
        log:
            **SIMULATE_PARTS.log,
        benchmark:
            SIMULATE_PARTS.benchmark
        localrule: SIMULATE_PARTS.local
        conda:
            "../../environment.yml"
        threads: SIMULATE_PARTS.threads
        resources:
            **SIMULATE_PARTS.resources,
        params:
            **SIMULATE_PARTS.params,
        shell:
            SIMULATE_PARTS.shell


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
