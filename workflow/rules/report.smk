if VALIDATED:

    rule validate:
        """Comparison of the histograms with the published ones."""
        input:
            histograms=f"{RESULTS}/histograms.root",
            closure=f"{RESULTS}/closure.json",
            published=PUBLISHED,
            templates=PAGE_TEMPLATES,
            code=code("validate"),
        output:
            record=f"{RESULTS}/validation.json",
            page=f"{RESULTS}/validation.html",
        log:
            f"{RESULTS}/logs/validate.log",
        benchmark:
            f"{RESULTS}/benchmarks/validate.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        resources:
            **needs("validate"),
        params:
            settings=PLAN.validate(),
        shell:
            "python -m agc_pipeline.stages.validate --settings {params.settings:q}"
            " --histograms {input.histograms} --closure {input.closure}"
            " --output {output.record} --page {output.page} 2>&1 | tee {log}"


rule report:
    """One page with everything, and its figures as files."""
    input:
        # A run from a workspace has nothing of what comes before it.
        histograms=[] if PLAN.given else f"{RESULTS}/histograms.root",
        closure=[] if PLAN.given else f"{RESULTS}/closure.json",
        validation=rules.validate.output.record if VALIDATED else [],
        propagated=[] if PLAN.given else f"{RESULTS}/propagated.json",
        workspace=f"{RESULTS}/workspace.json",
        checks=f"{RESULTS}/checks.json",
        fit=rules.fit.output,
        ranking=rules.ranking.output,
        scan=rules.scan.output,
        toys=rules.toys.output,
        limit=rules.limit.output,
        performance=PERFORMANCE,
        training=TRAINING,
        templates=PAGE_TEMPLATES,
        code=code("report"),
    output:
        page=f"{RESULTS}/report.html",
        figures=directory(f"{RESULTS}/figures"),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("report"),
    params:
        settings=PLAN.report(),
        benchmarks=f"{RESULTS}/benchmarks",
        dask=f"{RESULTS}/dask",
        cost=f"--cost {PERFORMANCE[0]}" if PERFORMANCE else "",
        training=f"--training {TRAINING[0]}" if TRAINING else "",
    shell:
        "python -m agc_pipeline.stages.report --settings {params.settings:q}"
        " --histograms {input.histograms} --closure {input.closure}"
        " --validation {input.validation} --propagated {input.propagated}"
        " --workspace {input.workspace} --checks {input.checks} --fit {input.fit}"
        " --ranking {input.ranking} --scan {input.scan} --toys {input.toys} --limit {input.limit}"
        " {params.cost} {params.training} --benchmarks {params.benchmarks} --dask {params.dask}"
        " --output {output.page} --figures {output.figures}"
        " 2>&1 | tee {log}"
