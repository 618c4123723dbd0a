if PLAN.trains:

    rule train:
        """The models that assign jets to partons, and what they can do."""
        input:
            files=PLAN.training_inputs(),
            code=code("train", *LEARNED),
        output:
            models=PLAN.models,
            record=f"{RESULTS}/training.json",
        log:
            f"{RESULTS}/logs/train.log",
        benchmark:
            f"{RESULTS}/benchmarks/train.tsv"
        conda:
            "../../environment.yml"
        # One for each model.
        threads: 2
        resources:
            **needs("train", len(PLAN.training_files)),
            # Unlike parameters, resources are no reason to run a job again.
            reading=PLAN.reading(),
        params:
            settings=PLAN.train(),
            models=f"{RESULTS}/models",
        shell:
            "printf %s {params.settings:q} | python -m agc_pipeline.stages.train --settings -"
            " --reading {resources.reading:q} --threads {threads}"
            " --models {params.models} --record {output.record} 2>&1 | tee {log}"


if PLAN.assigns:

    rule export_models:
        """The models in the layout that a Triton server loads."""
        input:
            models=PLAN.models,
            code=code("export_models", *LEARNED),
        output:
            PLAN.exported,
        log:
            f"{RESULTS}/logs/export_models.log",
        benchmark:
            f"{RESULTS}/benchmarks/export_models.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        resources:
            **needs("export_models"),
        params:
            settings=PLAN.export_models(),
            models=lambda wildcards, input: Path(input.models[0]).parent,
            repository=PLAN.repository,
        shell:
            "python -m agc_pipeline.stages.export_models --settings {params.settings:q}"
            " --models {params.models:q} --output {params.repository:q} 2>&1 | tee {log}"


if PLAN.tracks:

    rule track:
        """The training kept by MLflow: the last job, so that a server that fails stops nothing."""
        input:
            models=PLAN.models,
            record=f"{RESULTS}/training.json",
            page=f"{RESULTS}/report.html",
            figures=f"{RESULTS}/figures",
            code=code("track", *LEARNED),
        output:
            f"{RESULTS}/tracked.json",
        log:
            f"{RESULTS}/logs/track.log",
        benchmark:
            f"{RESULTS}/benchmarks/track.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        resources:
            **needs("track"),
        params:
            settings=PLAN.track(),
            models=f"{RESULTS}/models",
        shell:
            "python -m agc_pipeline.stages.track --settings {params.settings:q}"
            " --models {params.models} --record {input.record} --figures {input.figures}"
            " --output {output} 2>&1 | tee {log}"
