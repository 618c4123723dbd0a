if PLAN.given:

    rule reproduce:
        """A workspace that was given, in place of one from histograms."""
        input:
            given=CONFIG.input.path,
            code=code("reproduce"),
        output:
            workspace=f"{RESULTS}/workspace.json",
            model=f"{RESULTS}/model.json",
            checks=f"{RESULTS}/checks.json",
        log:
            f"{RESULTS}/logs/reproduce.log",
        benchmark:
            f"{RESULTS}/benchmarks/reproduce.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        resources:
            **needs("reproduce"),
        params:
            settings=PLAN.reproduce(),
        shell:
            "python -m agc_pipeline.stages.reproduce --settings {params.settings:q}"
            " --output {output.workspace} --model {output.model}"
            " --checks {output.checks} 2>&1 | tee {log}"

else:

    rule workspace:
        """The statistical model: rebinned templates, systematics, data."""
        input:
            histograms=f"{RESULTS}/histograms.root",
            closure=f"{RESULTS}/closure.json",
            code=code("workspace"),
        output:
            workspace=f"{RESULTS}/workspace.json",
            model=f"{RESULTS}/model.json",
            checks=f"{RESULTS}/checks.json",
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
            " --output {output.workspace} --model {output.model}"
            " --checks {output.checks} 2>&1 | tee {log}"


rule fit:
    """The measured cross section, with all parameters, correlations and yields."""
    input:
        workspace=f"{RESULTS}/workspace.json",
        model=f"{RESULTS}/model.json",
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


rule ranking:
    """What each parameter does to the one of interest."""
    input:
        workspace=f"{RESULTS}/workspace.json",
        fit=rules.fit.output,
        code=code("ranking"),
    output:
        f"{RESULTS}/ranking.json",
    log:
        f"{RESULTS}/logs/ranking.log",
    benchmark:
        f"{RESULTS}/benchmarks/ranking.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("ranking"),
    params:
        settings=PLAN.ranking(),
    shell:
        "python -m agc_pipeline.stages.ranking --settings {params.settings:q}"
        " --workspace {input.workspace} --fit {input.fit} --output {output} 2>&1 | tee {log}"


rule scan:
    """Profile of the likelihood, and asymmetric uncertainties."""
    input:
        workspace=f"{RESULTS}/workspace.json",
        fit=rules.fit.output,
        code=code("scan"),
    output:
        f"{RESULTS}/scan.json",
    log:
        f"{RESULTS}/logs/scan.log",
    benchmark:
        f"{RESULTS}/benchmarks/scan.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("scan"),
    params:
        settings=PLAN.scan(),
    shell:
        "python -m agc_pipeline.stages.scan --settings {params.settings:q}"
        " --workspace {input.workspace} --fit {input.fit} --output {output} 2>&1 | tee {log}"


rule toys:
    """Pseudo-experiments."""
    input:
        workspace=f"{RESULTS}/workspace.json",
        fit=rules.fit.output,
        code=code("toys"),
    output:
        f"{RESULTS}/toys.json",
    log:
        f"{RESULTS}/logs/toys.log",
    benchmark:
        f"{RESULTS}/benchmarks/toys.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("toys"),
    params:
        settings=PLAN.toys(),
    shell:
        "python -m agc_pipeline.stages.toys --settings {params.settings:q}"
        " --workspace {input.workspace} --fit {input.fit} --output {output} 2>&1 | tee {log}"


rule limit:
    """Upper limit and significance."""
    input:
        workspace=f"{RESULTS}/workspace.json",
        fit=rules.fit.output,
        code=code("limit"),
    output:
        f"{RESULTS}/limit.json",
    log:
        f"{RESULTS}/logs/limit.log",
    benchmark:
        f"{RESULTS}/benchmarks/limit.tsv"
    conda:
        "../../environment.yml"
    resources:
        **needs("limit"),
    params:
        settings=PLAN.limit(),
    shell:
        "python -m agc_pipeline.stages.limit --settings {params.settings:q}"
        " --workspace {input.workspace} --fit {input.fit} --output {output} 2>&1 | tee {log}"


if not PLAN.given:

    rule propagate:
        """The fit in all bins of all regions."""
        input:
            histograms=f"{RESULTS}/histograms.root",
            workspace=f"{RESULTS}/workspace.json",
            fit=rules.fit.output,
            code=code("propagate"),
        output:
            f"{RESULTS}/propagated.json",
        log:
            f"{RESULTS}/logs/propagate.log",
        benchmark:
            f"{RESULTS}/benchmarks/propagate.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        resources:
            **needs("propagate"),
        params:
            settings=PLAN.propagate(),
        shell:
            "python -m agc_pipeline.stages.propagate --settings {params.settings:q}"
            " --histograms {input.histograms} --workspace {input.workspace} --fit {input.fit}"
            " --output {output} 2>&1 | tee {log}"


rule preserve:
    """The results in formats for others: HistFactory XML and a submission to HEPData."""
    input:
        workspace=f"{RESULTS}/workspace.json",
        fit=rules.fit.output,
        ranking=rules.ranking.output,
        scan=rules.scan.output,
        code=code("preserve"),
    output:
        record=f"{RESULTS}/preservation.json",
        archive=f"{RESULTS}/hepdata.tar.gz",
        hepdata=directory(f"{RESULTS}/hepdata"),
        histfactory=directory(f"{RESULTS}/histfactory"),
    log:
        f"{RESULTS}/logs/preserve.log",
    benchmark:
        f"{RESULTS}/benchmarks/preserve.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        **needs("preserve"),
    params:
        settings=PLAN.preserve(),
    shell:
        "python -m agc_pipeline.stages.preserve --settings {params.settings:q}"
        " --workspace {input.workspace} --fit {input.fit} --ranking {input.ranking}"
        " --scan {input.scan} --histfactory {output.histfactory} --hepdata {output.hepdata}"
        " --archive {output.archive} --output {output.record} 2>&1 | tee {log}"
