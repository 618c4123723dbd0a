"""Keep the training of the models by MLflow."""

import argparse
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.learning import models, tracking, training_record
from agc_pipeline.provenance import distribution, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class TrackStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        tracking: ``learning.training.tracking``, the address.
    """

    analysis: str
    tracking: str


def stage(arguments: argparse.Namespace) -> None:
    """Send parameters, metrics, curves, models and figures, and write where they are."""
    settings = command.settings(TrackStage, arguments.settings)
    features = analyses.load_training(settings.analysis).FEATURES
    trained = models.read(arguments.models, features=features)
    figures = sorted(arguments.figures.glob("training_*.p[dn][fg]"))
    experiment, run_id = tracking.track(
        settings.tracking,
        trained,
        training_record.read(arguments.record),
        [arguments.record, *figures],
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
                inputs=[*trained.paths.values(), arguments.models / models.CARD, arguments.record],
            )
        ),
    )
    write_json(arguments.output, record.model_dump())


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--models", type=Path, required=True, help="folder with the models")
    options.add_argument("--record", type=Path, required=True, help="record of the training")
    options.add_argument("--figures", type=Path, required=True, help="folder with the figures")
    options.add_argument("--output", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
