"""Keep the training of the models by MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.provenance import distribution, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, reads, uses, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


class TrackStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        tracking: ``learning.training.tracking``, the address.
    """

    analysis: str
    tracking: str


class TrackOptions(Options):
    """What the stage is told beside its settings."""

    models: Path = uses("models", "folder with the models")
    record: Path = reads("training.json", "record of the training")
    figures: Path = reads("figures", "folder with the figures")
    output: Path = writes("tracked.json", "JSON record to write")


def configure(plan: "Plan") -> TrackStage:
    """Where the training is kept."""
    return TrackStage(analysis=plan.config.analysis, tracking=str(plan.learning.training.tracking))


def run(settings: TrackStage, options: TrackOptions) -> None:
    """Send parameters, metrics, curves, models and figures, and write where they are."""
    from agc_pipeline.learning import models, tracking, training_record

    learned = analyses.load(settings.analysis).learned
    if learned is None:
        raise TypeError(f"the analysis {settings.analysis} has no learned observables")
    trained = models.read(options.models, features=learned.features, convention=learned.convention)
    figures = sorted(options.figures.glob("training_*.p[dn][fg]"))
    experiment, run_id = tracking.track(
        settings.tracking,
        trained,
        training_record.read(options.record),
        [options.record, *figures],
    )
    record = tracking.TrackRecord(
        address=settings.tracking,
        experiment=experiment,
        run_id=run_id,
        models=trained.digest,
        provenance=dict(
            provenance(
                "track",
                packages=[distribution("mlflow") or "mlflow"],
                settings=settings.model_dump(),
                inputs=[*trained.paths.values(), options.models / models.CARD, options.record],
            )
        ),
    )
    write_json(options.output, record.model_dump())


STAGE = Stage(
    name="track",
    settings=TrackStage,
    options=TrackOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.tracks,
    # The report: it is the last job, so that a server that fails stops nothing.
    watched={
        "models": lambda plan: plan.models,
        "page": "report.html",
    },
    modules=lambda plan: (plan.learned.training,),
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
