VALIDATE = directives("validate")
REPORT = directives("report")
CRATE = directives("crate")


if VALIDATE.wanted:

    rule validate:
        """Comparison of the histograms with the published ones."""
        input:
            **inputs(VALIDATE),
        output:
            **outputs(VALIDATE),
        log:
            **VALIDATE.log,
        benchmark:
            VALIDATE.benchmark
        localrule: VALIDATE.local
        conda:
            "../../environment.yml"
        threads: VALIDATE.threads
        resources:
            **VALIDATE.resources,
        params:
            **VALIDATE.params,
        shell:
            VALIDATE.shell


rule report:
    """One page with everything, and its figures as files."""
    input:
        **inputs(REPORT),
    output:
        **outputs(REPORT),
    log:
        **REPORT.log,
    benchmark:
        REPORT.benchmark
    localrule: REPORT.local
    conda:
        "../../environment.yml"
    threads: REPORT.threads
    resources:
        **REPORT.resources,
    params:
        **REPORT.params,
    shell:
        REPORT.shell


rule crate:
    """The run as RO-Crate: every file of it, and what made it. Made when it is asked for."""
    input:
        **inputs(CRATE),
    output:
        **outputs(CRATE),
    log:
        **CRATE.log,
    localrule: CRATE.local
    conda:
        "../../environment.yml"
    threads: CRATE.threads
    resources:
        **CRATE.resources,
    params:
        **CRATE.params,
    shell:
        CRATE.shell
