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
        histograms=f"{RESULTS}/histograms.root",
        closure=f"{RESULTS}/closure.json",
        workspace=rules.workspace.output.workspace,
        fit=rules.fit.output,
        validation=rules.validate.output.record,
        performance=PERFORMANCE,
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
    shell:
        "python -m agc_pipeline.stages.report --settings {params.settings:q}"
        " --histograms {input.histograms} --closure {input.closure}"
        " --workspace {input.workspace} --fit {input.fit} --validation {input.validation}"
        " {params.cost} --benchmarks {params.benchmarks} --dask {params.dask} --output {output.page} --figures {output.figures}"
        " 2>&1 | tee {log}"
