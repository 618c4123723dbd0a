"""Train the models that assign jets to partons, and judge each on events that it has not seen."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.datasets import InputFile, take, watched
from agc_pipeline.delivery.settings import ReadingSettings
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import write_bytes, write_json
from agc_pipeline.learning.settings import TrainingSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import (
    Options,
    Stage,
    has_threads,
    runs_with,
    uses,
    writes,
)

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class TrainStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        selection: ``physics.selection``, the analysis' own.
        jet_assignment: ``physics.jet_assignment``, likewise.
        training: ``learning.training``.
        files: to be read, as far as they are needed.
    """

    analysis: str
    selection: dict[str, object]
    jet_assignment: dict[str, object]
    training: TrainingSettings
    files: tuple[InputFile, ...]


class TrainOptions(Options):
    """What the stage is told beside its settings."""

    reading: ReadingSettings = runs_with(
        lambda plan: plan.config.delivery.reading, "how to read, which changes no model"
    )
    threads: int = has_threads("2 train both models at a time", default=1)
    models: Path = uses("models", "folder to write models to")
    record: Path = writes("training.json", "JSON record to write")


def configure(plan: "Plan") -> TrainStage:
    """What is trained, how, and on which files at most."""
    return TrainStage(
        analysis=plan.config.analysis,
        selection=plan.physics["selection"],
        jet_assignment=plan.physics["jet_assignment"],
        # Where a training is kept changes no model.
        training=plan.config.learning.training.model_copy(update={"tracking": None}),
        files=training_files(plan),
    )


def training_files(plan: "Plan") -> tuple[InputFile, ...]:
    """Files that models are trained on at most.

    Raises:
        ConfigurationError: if the run does not have it.
    """
    if plan.analysis.trained_on is None:
        raise TypeError(f"{plan.analysis.name} has no models")
    name = plan.analysis.dataset_name(*plan.analysis.trained_on)
    if name not in plan.datasets:
        raise ConfigurationError(
            f"the input has no {name}, which the models are trained on",
            place="jet_assignment",
            remedy="add it to the input, give the folder of an earlier training as "
            "`learning.models`, or set `jet_assignment: off`",
        )
    (taken,) = take((plan.datasets[name],), plan.config.learning.training.n_files_max)
    return taken.files


def run(settings: TrainStage, options: TrainOptions) -> None:
    """Write both models, their card, and the record of what they can do.

    Raises:
        PipelineError: if there is nothing to train on, or with.
    """
    from agc_pipeline.learning import evaluation, models, reading, records, training

    xgboost = training.installed()
    training.check_hyperparameters(settings.training)
    analysis = analyses.load(settings.analysis)
    physics = analyses.load_training(settings.analysis)
    examples, data = reading.read(
        settings.files,
        physics.COLUMNS,
        partial(
            physics.examples,
            analysis.selection(settings.selection),
            analysis.assignment(settings.jet_assignment),
        ),
        options.reading,
        n_events_max=settings.training.n_events_max,
    )
    training.check_enough(examples, settings.training.n_events_min)
    trained = training.train_both(
        examples, physics.FEATURES, settings.training, threads=options.threads
    )
    rows, judged = evaluation.judge(examples, physics.FEATURES, trained)
    made_by = provenance(
        "train",
        packages=("awkward", "numba", "numpy", "uproot", xgboost),
        settings=settings.model_dump(),
    )
    cards = {
        parity: models.TrainedModel(
            trained_on=parity,
            sha256=models.sha256(model.content),
            n_trees=model.n_trees,
            best_iteration=model.n_trees - 1,
            n_events=model.n_events,
            n_events_validation=model.n_events_validation,
            metrics=judged[parity].metrics,
        )
        for parity, model in trained.items()
    }
    card = models.ModelCard(
        features=physics.FEATURES,
        even=cards["even"],
        odd=cards["odd"],
        configuration=settings.model_dump(exclude={"files"}),
        data=data,
        provenance=dict(made_by),
    )
    for parity, model in trained.items():
        write_bytes(models.path(options.models, parity), model.content)
    write_json(options.models / models.CARD, card.model_dump())
    record = records.TrainingRecord(
        words=evaluation.words(physics.WORDING),
        edges=evaluation.edges(),
        rows=rows,
        even=judged["even"],
        odd=judged["odd"],
        models={parity: described.sha256 for parity, described in cards.items()},
        provenance=dict(made_by),
    )
    write_json(options.record, record.model_dump())
    everything = rows[0]
    log.info(
        "%s: right in %.1f +- %.1f %% of %d events, %s: %.1f +- %.1f %%",
        record.words.part,
        *(100 * everything.part.value, 100 * everything.part.uncertainty, everything.n_events),
        record.words.baseline,
        *(100 * everything.baseline.value, 100 * everything.baseline.uncertainty),
    )


STAGE = Stage(
    name="train",
    settings=TrainStage,
    options=TrainOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.trains,
    watched={"files": lambda plan: watched(training_files(plan))},
    made={"models": lambda plan: plan.models},
    physics=lambda _: ("jet_assignment.training",),
    # One for each model.
    threads=lambda _: 2,
    files=lambda plan: len(training_files(plan)),
)
main = STAGE.main

if __name__ == "__main__":
    main()
