if CONFIG.input.kind == "simulated":

    rule simulate:
        """One file of simulated events of a dataset."""
        input:
            code=code("simulate", *SIMULATION, physics=False),
        output:
            root=f"{RESULTS}/simulated/{{dataset}}/{{part}}.root",
            record=f"{RESULTS}/simulated/{{dataset}}/{{part}}.json",
        log:
            f"{RESULTS}/logs/simulate/{{dataset}}/{{part}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/simulate/{{dataset}}/{{part}}.tsv"
        conda:
            "../../environment.yml"
        resources:
            **needs("simulate"),
        params:
            settings=lambda wildcards: PLAN.simulate(wildcards.dataset, wildcards.part),
        shell:
            "python -m agc_pipeline.stages.simulate --settings {params.settings:q}"
            " --output {output.root} --record {output.record} 2>&1 | tee {log}"


rule fileset:
    """The list of inputs in coffea's shape."""
    input:
        # They tell the numbers of events.
        records=PLAN.records,
        code=code("fileset"),
    output:
        f"{RESULTS}/fileset.json",
    log:
        f"{RESULTS}/logs/fileset.log",
    benchmark:
        f"{RESULTS}/benchmarks/fileset.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        **needs("fileset"),
    params:
        settings=PLAN.fileset(),
    shell:
        "printf %s {params.settings:q} | python -m agc_pipeline.stages.fileset --settings -"
        " --output {output} 2>&1 | tee {log}"
