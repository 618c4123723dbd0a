"""Train the models that assign jets to partons, and judge each on events that it has not seen."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.datasets import InputFile, watched
from agc_pipeline.files import write_bytes, write_json
from agc_pipeline.learning.settings import TrainingSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.readers.settings import ReadingSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, has_threads, runs_with, uses, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class TrainStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        selection: ``physics.selection``, the analysis' own.
        learned: settings of the learned observables, likewise.
        training: ``learning.training``.
        files: to be read, as far as they are needed.
    """

    analysis: str
    selection: dict[str, object]
    learned: dict[str, object]
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
        learned=plan.physics[plan.learned.name],
        # Where a training is kept changes no model.
        training=plan.learning.training.model_copy(update={"tracking": None}),
        files=plan.training_files,
    )


def run(settings: TrainStage, options: TrainOptions) -> None:
    """Write both models, their card, and the record of what they can do.

    Raises:
        PipelineError: if there is nothing to train on, or with.
    """
    from importlib import import_module
    from typing import Any

    from agc_pipeline.columnar.processing import Processing
    from agc_pipeline.declaration.analysis import union
    from agc_pipeline.learning import evaluation, example_files, models, training, training_record
    from agc_pipeline.learning.examples import Examples
    from agc_pipeline.readers.arrays import ArrayColumns

    analysis = analyses.load(settings.analysis)
    learned = analysis.learned
    if learned is None:
        raise TypeError(f"{analysis.name} has no learned observables")
    xgboost = training.xgboost_distribution(learned.name)
    training.check_hyperparameters(settings.training)
    physics = import_module(learned.training)
    processing = Processing(
        analysis, analysis.selection(settings.selection), analysis.dataset(learned.trained_on)
    )
    own = analysis.learned_settings(settings.learned)

    def examples_of(arrays: Any) -> Examples:
        columns = ArrayColumns(arrays, analysis.layout)
        events = processing.nominal(columns, physics.MASK)
        examples: Examples = physics.examples(events, own)
        return examples

    columns = analysis.columns(processing.dataset, processing.selection, learned=True)
    examples, data = example_files.read(
        settings.files,
        union([columns, physics.READS]),
        analysis.layout,
        examples_of,
        options.reading,
        n_events_max=settings.training.n_events_max,
    )
    training.check_enough(examples, settings.training.n_events_min)
    trained = training.train_both(
        examples, physics.FEATURES, settings.training, threads=options.threads
    )
    rows, judged = evaluation.evaluate(examples, physics.FEATURES, trained)
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
        convention=learned.convention,
        even=cards["even"],
        odd=cards["odd"],
        configuration=settings.model_dump(exclude={"files"}),
        data=data,
        provenance=dict(made_by),
    )
    for parity, model in trained.items():
        write_bytes(models.path(options.models, parity), model.content)
    write_json(options.models / models.CARD, card.model_dump())
    record = training_record.TrainingRecord(
        wording=physics.WORDING,
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
        record.wording.part,
        *(100 * everything.part.value, 100 * everything.part.uncertainty, everything.n_events),
        record.wording.baseline,
        *(100 * everything.baseline.value, 100 * everything.baseline.uncertainty),
    )


STAGE = Stage(
    name="train",
    settings=TrainStage,
    options=TrainOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.trains,
    watched={"files": lambda plan: watched(plan.training_files)},
    generated={"models": lambda plan: plan.models},
    modules=lambda plan: (plan.learned.training,),
    # One for each model.
    threads=lambda _: 2,
    files=lambda plan: len(plan.training_files) if plan.trains else 1,
)
main = STAGE.main

if __name__ == "__main__":
    main()
