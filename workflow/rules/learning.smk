TRAIN = directives("train")
EXPORT_MODELS = directives("export_models")
TRACK = directives("track")


if TRAIN.wanted:

    rule train:
        """The models that assign jets to partons, and what they can do."""
        input:
            **inputs(TRAIN),
        output:
            **outputs(TRAIN),
        log:
            **TRAIN.log,
        benchmark:
            TRAIN.benchmark
        localrule: TRAIN.local
        conda:
            "../../environment.yml"
        threads: TRAIN.threads
        resources:
            **TRAIN.resources,
        params:
            **TRAIN.params,
        shell:
            TRAIN.shell


if EXPORT_MODELS.wanted:

    rule export_models:
        """The models in the layout that a Triton server loads."""
        input:
            **inputs(EXPORT_MODELS),
        output:
            **outputs(EXPORT_MODELS),
        log:
            **EXPORT_MODELS.log,
        benchmark:
            EXPORT_MODELS.benchmark
        localrule: EXPORT_MODELS.local
        conda:
            "../../environment.yml"
        threads: EXPORT_MODELS.threads
        resources:
            **EXPORT_MODELS.resources,
        params:
            **EXPORT_MODELS.params,
        shell:
            EXPORT_MODELS.shell


if TRACK.wanted:

    rule track:
        """The training kept by MLflow: the last job, so that a server that fails stops nothing."""
        input:
            **inputs(TRACK),
        output:
            **outputs(TRACK),
        log:
            **TRACK.log,
        benchmark:
            TRACK.benchmark
        localrule: TRACK.local
        conda:
            "../../environment.yml"
        threads: TRACK.threads
        resources:
            **TRACK.resources,
        params:
            **TRACK.params,
        shell:
            TRACK.shell
