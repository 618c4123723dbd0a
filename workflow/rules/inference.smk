rule workspace:
    """The statistical model: rebinned templates, systematics, data."""
    input:
        histograms=f"{RESULTS}/histograms.root",
        closure=f"{RESULTS}/closure.json",
        code=code("workspace"),
    output:
        workspace=f"{RESULTS}/workspace.json",
        model=f"{RESULTS}/model.json",
    log:
        f"{RESULTS}/logs/workspace.log",
    benchmark:
        f"{RESULTS}/benchmarks/workspace.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        **needs("workspace"),
    params:
        settings=PLAN.workspace(),
    shell:
        "python -m agc_pipeline.stages.workspace --settings {params.settings:q}"
        " --histograms {input.histograms} --closure {input.closure}"
        " --output {output.workspace} --model {output.model} 2>&1 | tee {log}"


rule fit:
    """The measured cross section, with all parameters, correlations and yields."""
    input:
        workspace=rules.workspace.output.workspace,
        model=rules.workspace.output.model,
        code=code("fit"),
    output:
        f"{RESULTS}/fit.json",
    log:
        f"{RESULTS}/logs/fit.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("fit"),
    params:
        settings=PLAN.fit(),
    shell:
        "python -m agc_pipeline.stages.fit --settings {params.settings:q}"
        " --workspace {input.workspace} --model {input.model} --output {output} 2>&1 | tee {log}"
