if PLAN.trains:

    rule train:
        """The models that assign jets to partons, and what they can do."""
        input:
            files=PLAN.training_inputs(),
            code=code("train", "jet_assignment.training"),
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
