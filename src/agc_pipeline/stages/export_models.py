"""Write the models that assign jets in the layout that a Triton server loads."""

import argparse
import logging
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.learning import models, repository
from agc_pipeline.learning.settings import ServedModel
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class ExportModelsStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        served: names and sizes of ``learning.triton``.
    """

    analysis: str
    served: ServedModel


def stage(arguments: argparse.Namespace) -> None:
    """Write the repository.

    Raises:
        PipelineError: if the models are not the ones of the analysis, or cannot be served under
            the names that the settings have for them.
    """
    settings = command.settings(ExportModelsStage, arguments.settings)
    features = analyses.load_training(settings.analysis).FEATURES
    found = models.read(arguments.models, features=features)
    repository.write(found, arguments.output, settings.served)
    log.info("%s: models %s", arguments.output / settings.served.model, found.digest)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--models", type=Path, required=True, help="folder of the models")
    options.add_argument("--output", type=Path, required=True, help="repository to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
