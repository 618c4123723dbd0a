REPRODUCE = directives("reproduce")
WORKSPACE = directives("workspace")
FIT = directives("fit")
RANKING = directives("ranking")
SCAN = directives("scan")
TOYS = directives("toys")
LIMIT = directives("limit")
PROPAGATE = directives("propagate")
PRESERVE = directives("preserve")
THRESHOLDS = directives("thresholds")
FEATURES = directives("features")
OPTIMISE = directives("optimise")


if REPRODUCE.wanted:

    rule reproduce:
        """A workspace that was given, in place of one from histograms."""
        input:
            **inputs(REPRODUCE),
        output:
            **outputs(REPRODUCE),
        log:
            **REPRODUCE.log,
        benchmark:
            REPRODUCE.benchmark
        localrule: REPRODUCE.local
        conda:
            "../../environment.yml"
        threads: REPRODUCE.threads
        resources:
            **REPRODUCE.resources,
        params:
            **REPRODUCE.params,
        shell:
            REPRODUCE.shell

else:

    rule workspace:
        """The statistical model: rebinned templates, systematics, data."""
        input:
            **inputs(WORKSPACE),
        output:
            **outputs(WORKSPACE),
        log:
            **WORKSPACE.log,
        benchmark:
            WORKSPACE.benchmark
        localrule: WORKSPACE.local
        conda:
            "../../environment.yml"
        threads: WORKSPACE.threads
        resources:
            **WORKSPACE.resources,
        params:
            **WORKSPACE.params,
        shell:
            WORKSPACE.shell


rule fit:
    """The measured cross section, with all parameters, correlations and yields."""
    input:
        **inputs(FIT),
    output:
        **outputs(FIT),
    log:
        **FIT.log,
    benchmark:
        FIT.benchmark
    localrule: FIT.local
    conda:
        "../../environment.yml"
    threads: FIT.threads
    resources:
        **FIT.resources,
    params:
        **FIT.params,
    shell:
        FIT.shell


rule ranking:
    """What each parameter does to the one of interest."""
    input:
        **inputs(RANKING),
    output:
        **outputs(RANKING),
    log:
        **RANKING.log,
    benchmark:
        RANKING.benchmark
    localrule: RANKING.local
    conda:
        "../../environment.yml"
    threads: RANKING.threads
    resources:
        **RANKING.resources,
    params:
        **RANKING.params,
    shell:
        RANKING.shell


rule scan:
    """Profile of the likelihood, and asymmetric uncertainties."""
    input:
        **inputs(SCAN),
    output:
        **outputs(SCAN),
    log:
        **SCAN.log,
    benchmark:
        SCAN.benchmark
    localrule: SCAN.local
    conda:
        "../../environment.yml"
    threads: SCAN.threads
    resources:
        **SCAN.resources,
    params:
        **SCAN.params,
    shell:
        SCAN.shell


rule toys:
    """Pseudo-experiments."""
    input:
        **inputs(TOYS),
    output:
        **outputs(TOYS),
    log:
        **TOYS.log,
    benchmark:
        TOYS.benchmark
    localrule: TOYS.local
    conda:
        "../../environment.yml"
    threads: TOYS.threads
    resources:
        **TOYS.resources,
    params:
        **TOYS.params,
    shell:
        TOYS.shell


rule limit:
    """Upper limit and significance."""
    input:
        **inputs(LIMIT),
    output:
        **outputs(LIMIT),
    log:
        **LIMIT.log,
    benchmark:
        LIMIT.benchmark
    localrule: LIMIT.local
    conda:
        "../../environment.yml"
    threads: LIMIT.threads
    resources:
        **LIMIT.resources,
    params:
        **LIMIT.params,
    shell:
        LIMIT.shell


if PROPAGATE.wanted:

    rule propagate:
        """The fit in all bins of all regions."""
        input:
            **inputs(PROPAGATE),
        output:
            **outputs(PROPAGATE),
        log:
            **PROPAGATE.log,
        benchmark:
            PROPAGATE.benchmark
        localrule: PROPAGATE.local
        conda:
            "../../environment.yml"
        threads: PROPAGATE.threads
        resources:
            **PROPAGATE.resources,
        params:
            **PROPAGATE.params,
        shell:
            PROPAGATE.shell


rule preserve:
    """The results in formats for others: HistFactory XML and a submission to HEPData."""
    input:
        **inputs(PRESERVE),
    output:
        **outputs(PRESERVE),
    log:
        **PRESERVE.log,
    benchmark:
        PRESERVE.benchmark
    localrule: PRESERVE.local
    conda:
        "../../environment.yml"
    threads: PRESERVE.threads
    resources:
        **PRESERVE.resources,
    params:
        **PRESERVE.params,
    shell:
        PRESERVE.shell


rule thresholds:
    """Histograms of a dataset for all combinations of thresholds; no part of a run."""
    input:
        **inputs(THRESHOLDS),
    output:
        **outputs(THRESHOLDS),
    log:
        **THRESHOLDS.log,
    benchmark:
        THRESHOLDS.benchmark
    localrule: THRESHOLDS.local
    conda:
        "../../environment.yml"
    threads: THRESHOLDS.threads
    resources:
        **THRESHOLDS.resources,
    params:
        **THRESHOLDS.params,
    shell:
        THRESHOLDS.shell


rule features:
    """Features of a dataset's events for discriminants, with all weights; no part of a run."""
    input:
        **inputs(FEATURES),
    output:
        **outputs(FEATURES),
    log:
        **FEATURES.log,
    benchmark:
        FEATURES.benchmark
    localrule: FEATURES.local
    conda:
        "../../environment.yml"
    threads: FEATURES.threads
    resources:
        **FEATURES.resources,
    params:
        **FEATURES.params,
    shell:
        FEATURES.shell


rule optimise:
    """Bin edges of the fit and thresholds by the expected uncertainty; no part of a run."""
    input:
        **inputs(OPTIMISE),
    output:
        **outputs(OPTIMISE),
    log:
        **OPTIMISE.log,
    benchmark:
        OPTIMISE.benchmark
    localrule: OPTIMISE.local
    conda:
        "../../environment.yml"
    threads: OPTIMISE.threads
    resources:
        **OPTIMISE.resources,
    params:
        **OPTIMISE.params,
    shell:
        OPTIMISE.shell
