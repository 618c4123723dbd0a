"""Write the models that assign jets in the layout that a Triton server loads."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.learning.settings import ServedModel
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, uses

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class ExportModelsStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        served: names and sizes of ``learning.triton``.
    """

    analysis: str
    served: ServedModel


def repository_folder(plan: "Plan") -> str:
    """Folder of the repository."""
    return f"{plan.folder}/models/triton"


class ExportModelsOptions(Options):
    """What the stage is told beside its settings."""

    models: Path = uses(lambda plan: plan.models_folder, "folder of the models")
    output: Path = uses(repository_folder, "repository to write")


def configure(plan: "Plan") -> ExportModelsStage:
    """Names and sizes: how a server is asked changes nothing of them."""
    served = plan.learning.triton.model_dump(include=set(ServedModel.model_fields))
    return ExportModelsStage(
        analysis=plan.config.analysis, served=ServedModel.model_validate(served)
    )


def exported(plan: "Plan") -> list[str]:
    """Files of the repository: none where jets are not assigned."""
    from agc_pipeline.learning import repository

    if not plan.assigns:
        return []
    paths = repository.files(Path(repository_folder(plan)), plan.learning.triton)
    return [str(path) for path in paths]


def run(settings: ExportModelsStage, options: ExportModelsOptions) -> None:
    """Write the repository.

    Raises:
        PipelineError: if the models are not the ones of the analysis, or cannot be served under
            the names that the settings have for them.
    """
    from agc_pipeline.learning import models, repository

    learned = analyses.load(settings.analysis).learned
    if learned is None:
        raise TypeError(f"the analysis {settings.analysis} has no learned observables")
    pair = models.read(options.models, features=learned.features, convention=learned.convention)
    repository.write(pair, options.output, settings.served)
    log.info("%s: models %s", options.output / settings.served.model, pair.digest)


STAGE = Stage(
    name="export_models",
    settings=ExportModelsStage,
    options=ExportModelsOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.assigns,
    watched={"models": lambda plan: plan.models},
    external=lambda plan: plan.external_models,
    generated={"repository": exported},
    modules=lambda plan: (plan.learned.training,),
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
